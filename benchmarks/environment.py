"""What a measurement ran on."""

from __future__ import annotations

import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rmtsim.arrays.machine import processor, total_memory
from rmtsim.arrays.threads import cores
from rmtsim.text.sizes import format_bytes

_PACKAGES = ("rmtsim", "numpy", "scipy", "pandas", "pyarrow", "jax", "torch")


def machine() -> dict[str, Any]:
    """Return processor, cores that this process may use, bytes of memory and operating system."""
    return {"processor": processor(), "cores": cores(), "memory_bytes": total_memory(), "system": platform.system()}


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that are measured; None for one that is not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def sentence(record: dict[str, Any]) -> str:
    """Say the same in a line."""
    here = record["machine"]
    return (
        f"{here['processor']}, {here['cores']} cores, {format_bytes(here['memory_bytes'])}; "
        f"NumPy {record['versions']['numpy']}, {record['blas']}; load {record['load_average_before']}"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def of_run(name: str, seconds: float) -> str:
    """Return the sentence of a page on the benchmark that wrote it: when, where, and in how much processor time."""
    here = f"{machine()['processor']}, NumPy {versions()['numpy']}"
    return (
        f"*Written by `python -m benchmarks --only {name}` on {date.today().isoformat()} ({here}); every number is "
        f"from that run, which took {seconds:.0f} s of processor time.*"
    )
