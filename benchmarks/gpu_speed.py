"""The steps of the check on a GPU that take times: of draws, of what draws are made of, and of each kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import rmtsim
from benchmarks.gpu_profile import profiled
from benchmarks.timing import Timing, elapsed
from rmtsim.arrays import gpu, gpu_device, gpu_launch
from rmtsim.arrays.backend import DTYPES, DtypeName, array_module
from rmtsim.kernels.cost import flops
from rmtsim.kernels.memory import batch_size
from rmtsim.model.choices import LayerName
from rmtsim.model.point import Point

Row = dict[str, Any]

_LINEAR, _HIDDEN = partial(Point, "linear", "ce"), partial(Point, "one_hidden", "ce")


class Timed(NamedTuple):
    """Draws to time: how many in a call on the GPU, and on one core of the CPU; seconds of one that were aimed at."""

    point: Point
    layers: tuple[LayerName, ...] | None
    draws: int
    on_cpu: int
    aim: float | None


SPEED = (
    Timed(_LINEAR(100, 64, 128), None, 2048, 64, 7e-6),
    Timed(_LINEAR(10, 500, 1000), None, 512, 4, 20e-6),
    Timed(_LINEAR(1000, 1000, 1000), None, 64, 1, 0.17e-3),
    Timed(_HIDDEN(100, 500, 1000, 8), ("hidden",), 64, 1, 0.1e-3),
    Timed(_HIDDEN(100, 500, 1000, 8), None, 16, 1, None),
    Timed(_LINEAR(128_256, 1024, 1024), None, 3, 0, 13e-3),
)

#: What stands for them on the emulator.
SMALL = (_LINEAR(10, 20, 60), _HIDDEN(10, 20, 60, 3))

#: Draws in a batch that are tried where draws are small.
_BATCHES = (16, 64, 256, 1024)

#: Sizes (n, k, c) of products (n, c) by (c, k) whose rate is measured: of draws of the points above, and a large one.
_PRODUCTS = ((1000, 1000, 1000), (1024, 4096, 1024), (8192, 8192, 8192))

#: Bytes that are copied from array to array, and repeats of what is short.
_COPIED, _SHORT = 2**30, 1000


def speed(small: bool) -> Iterator[Row]:
    """Time a draw on the GPU, in batches and one by one, and on one core of the CPU; and the share of the peak."""
    for dtype in DTYPES:
        order = 64 if small else 8192
        peak = _product_rate(dtype, order, order, order)
        yield {"dtype": dtype, "product_TFLOPs": peak / 1e12}
        for timed in [Timed(point, None, 4, 2, None) for point in SMALL] if small else SPEED:
            yield {"dtype": dtype, **_time(timed, dtype, peak)}


def _time(timed: Timed, dtype: DtypeName, peak: float) -> Row:
    point, layers = timed.point, timed.layers or timed.point.layers
    simulate = partial(rmtsim.simulate, point, dtype=dtype, layers=layers)
    row: Row = {"point": str(point), "layers": layers, "aim": timed.aim}
    for name, batch in (("s_per_draw", None), ("s_per_draw_one_by_one", 1)):
        count = timed.draws if batch is None else max(2, timed.draws // 16)
        row[name] = _median(partial(simulate, count, backend="cupy", batch=batch), 3) / count
    row["batch"] = batch_size(point, layers, dtype, gpu_device.free_memory(), gpu=True)
    row["share_of_peak"] = flops(point, layers, gpu=True) / row["s_per_draw"] / peak
    if timed.on_cpu and dtype == "float32":
        row["cpu_s_per_draw"] = elapsed(partial(simulate, timed.on_cpu, threads=1)) / timed.on_cpu
    return row


def profile(small: bool) -> Iterator[Row]:
    """Say which kernels take the time of the device, and for what share of the time it works."""
    for dtype in DTYPES:
        for timed in () if small else SPEED:
            layers = timed.layers or timed.point.layers
            call = partial(rmtsim.simulate, timed.point, timed.draws, backend="cupy", dtype=dtype, layers=layers)
            yield {"point": str(timed.point), "dtype": dtype, "layers": layers, "draws": timed.draws, **profiled(call)}


def rates(small: bool) -> Iterator[Row]:
    """Time what draws are made of: launches, waits, copies and products of matrices."""
    cupy = array_module("cupy")
    wait, few, made = cupy.cuda.Device().synchronize, cupy.zeros((1, 16)), cupy.empty(1)

    def repeated(work: Callable[[], Any]) -> float:
        """Return the seconds of one of many, which are waited for together."""
        count = 10 if small else _SHORT

        def call() -> None:
            for _ in range(count):
                work()
            wait()

        return _median(call, 3) / count

    own = partial(gpu_launch.launch, "total", "float64", (1,), (32,), few, np.int64(16), made)
    yield {"s_of_a_launch": repeated(lambda: few + 1), "s_of_our_launch": repeated(own)}
    yield {"s_of_a_wait": repeated(lambda: cupy.asnumpy(made))}
    yield {"copied_TBs": _copy_rate(2**10 if small else _COPIED) / 1e12}
    for dtype in DTYPES:
        for sizes in [(20, 20, 20)] if small else _PRODUCTS:
            yield {"product": sizes, "dtype": dtype, "TFLOPs": _product_rate(dtype, *sizes) / 1e12}


def batches(small: bool) -> Iterator[Row]:
    """Time small draws in batches of several sizes."""
    for point in SMALL[:1] if small else [timed.point for timed in SPEED[:2]]:
        for size in _BATCHES[:1] if small else _BATCHES:
            call = partial(rmtsim.simulate, point, 2 * size, backend="cupy", dtype="float32", batch=size)
            yield {"point": str(point), "batch": size, "s_of_a_draw_in_it": _median(call, 3) / (2 * size)}


def _copy_rate(size: int) -> float:
    """Bytes a second that are read and written as an array is copied on the device."""
    cupy = array_module("cupy")
    array, device = cupy.zeros(size // 4, dtype=np.float32), cupy.cuda.Device()

    def copy() -> None:
        array.copy()
        device.synchronize()

    return 2 * size / _median(copy, 5)


def _product_rate(dtype: DtypeName, n: int, k: int, c: int) -> float:
    """Flops a second of a plain matrix product of normals: ones would be multiplied faster."""
    A, B = (gpu.normals([bytes(16)], range(rows), c, 1.0, dtype)[0] for rows in (n, k))
    device = array_module("cupy").cuda.Device()

    def product() -> None:
        gpu.products(A, B)
        device.synchronize()

    return 2 * n * k * c / _median(product, 5)


def _median(call: Callable[[], Any], repeats: int) -> float:
    """Return the median of the seconds of a call, after one that is not timed."""
    call()
    return Timing.of([elapsed(call) for _ in range(repeats)]).seconds
