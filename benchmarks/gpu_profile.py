"""Which kernels take the time of a GPU, as the profiler of PyTorch sees them: those of any library in the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.timing import elapsed

#: Kernels that are told, those that take longest first.
_TOLD = 12


def profiled(call: Callable[[], Any]) -> dict[str, Any]:
    """Return the seconds of a call, those in which the device works, and of its kernels the name, count and seconds.

    Without PyTorch and its profiler, which rmtsim itself does not need, the answer says so.
    """
    try:
        from torch.profiler import ProfilerActivity, profile
    except ImportError as error:
        return {"no_profile": f"PyTorch is not there ({error})"}
    call()
    seconds = elapsed(call)
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        call()
    kernels = [event for event in found.key_averages() if event.self_device_time_total > 0]
    kernels.sort(key=lambda event: -event.self_device_time_total)
    return {
        "seconds": seconds,
        "device_seconds": sum(event.self_device_time_total for event in kernels) / 1e6,
        "launches": sum(event.count for event in kernels),
        "kernels": [[event.key[:80], event.count, event.self_device_time_total / 1e6] for event in kernels[:_TOLD]],
    }
