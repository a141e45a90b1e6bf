"""The same draws on a GPU: agreement with NumPy, speed of matrix products, draws per second. Needs CuPy and a GPU."""

from __future__ import annotations

from functools import partial

import numpy as np

import rmtsim
from benchmarks.report import Part, Row, Table, Target
from benchmarks.timing import SPREAD, Timing, elapsed
from rmtsim.arrays.backend import array_module, get_backend, to_numpy
from rmtsim.kernels.cost import flops, normals
from rmtsim.model.point import Point
from rmtsim.sampling.draws import sample

#: Points of the comparison with NumPy, with more than a chunk of classes and more than a tile of samples among them.
_AGREE = [
    Point("linear", "ce", 1000, 500, 1000),
    Point("linear", "ce", 20_000, 256, 512),
    Point("linear", "ce", 100, 64, 5000),
    Point("one_hidden", "ce", 1000, 500, 1000, 8),
]
_BOUNDS = {"float32": 1e-5, "float64": 1e-12}

#: (C, d, N) → draws in a timed call.
_SPEED = {(1000, 1000, 1000): 100, (128_256, 1024, 1024): 3, (1_000_000, 512, 512): 2}
_PRODUCT = 8192
_REPEATS = 5


def run(quick: bool) -> Part:
    """Compare and time, on the current device; raises InputError where there is none."""
    xp = array_module("cupy")
    device = xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["name"].decode()
    agreement = [_agreement(point, dtype) for point in _AGREE[:: 3 if quick else 1] for dtype in _BOUNDS]
    peaks = {dtype: _product_speed(dtype, 1024 if quick else _PRODUCT) for dtype in _BOUNDS}
    sizes = {(1000, 1000, 1000): 3} if quick else _SPEED
    speed = [_speed(sizes_, draws, dtype, peaks[dtype]) for sizes_, draws in sizes.items() for dtype in _BOUNDS]
    targets = [
        Target(f"largest relative difference from NumPy in float64, {dtype}", worst, bound)
        for dtype, bound in _BOUNDS.items()
        for worst in [max(row["largest_difference"] for row in agreement if row["dtype"] == dtype)]
    ]
    about = f"{device}, CuPy {xp.__version__}, TF32 off. {SPREAD} GFLOP/s count matrix products alone."
    tables = [
        Table("Relative difference of statistics from NumPy's in float64 of the same arrays", agreement),
        Table(
            f"Matrix product of order {1024 if quick else _PRODUCT}",
            [{"dtype": t, "GFLOP/s": v} for t, v in peaks.items()],
        ),
        Table("Draws, with the making of their normals on the device", speed),
    ]
    return Part(about, tables, targets)


def _agreement(point: Point, dtype: str) -> Row:
    """Largest relative difference over all layers of one draw that both are given."""
    X, V, W, y, _ = sample(point, range(1), 0, dtype=dtype, xp=np, labels=True)
    found = []
    for xp, precision in ((np, "float64"), (array_module("cupy"), dtype)):
        X_, V_, W_ = (None if A is None else xp.asarray(A.astype(precision)) for A in (X, V.all(), W))
        labels = None if W is None or y is None else xp.asarray(y)
        found.append(rmtsim.block_norms(X_, V_, W=W_, y=labels, loss=point.loss))
    host, device = found
    differences = [
        abs(to_numpy(b) / to_numpy(a) - 1).max()
        for layer in host
        for a, b in zip(host[layer], device[layer], strict=True)
    ]
    name = {"model": point.model, "C": point.n_classes, "d": point.dim, "N": point.n_samples, "dtype": dtype}
    return name | {"largest_difference": float(np.nanmax(differences))}


def _product_speed(dtype: str, order: int) -> float:
    """GFLOP/s of a plain matrix product: the peak that draws are held against."""
    xp = array_module("cupy")
    A = xp.asarray(np.random.default_rng(0).standard_normal((order, order)).astype(dtype))  # ones are multiplied faster

    def product() -> None:
        A @ A
        xp.cuda.Device().synchronize()

    product()
    return 2 * order**3 / Timing.of([elapsed(product) for _ in range(_REPEATS)]).seconds / 1e9


def _speed(sizes: tuple[int, int, int], draws: int, dtype: str, peak: float) -> Row:
    """Draws per second through `rmtsim.simulate`, whose results come back to the host, and the share of the peak."""
    point, xp = Point("linear", "ce", *sizes), array_module("cupy")
    simulate = partial(rmtsim.simulate, point, backend="cupy", dtype=dtype)
    simulate(1)
    get_backend("cupy").release_memory()
    timing = Timing.of([elapsed(partial(simulate, range(k, k + draws))) for k in range(_REPEATS)])
    pool = xp.get_default_memory_pool()
    rate = flops(point, ("linear",), gpu=True) * draws / timing.seconds / 1e9
    return {
        "C": point.n_classes,
        "d": point.dim,
        "N": point.n_samples,
        "dtype": dtype,
        "draws_per_s": draws / timing.seconds,
        "spread_percent": 100 * timing.spread,
        "GFLOP/s": rate,
        "percent_of_product": 100 * rate / peak,
        "normals_per_draw": normals(point, ("linear",), gpu=True),
        "device_GB": pool.total_bytes() / 1e9,
    }
