"""How near a draw comes to the time of its bare BLAS calls and normal numbers."""

from __future__ import annotations

from functools import partial

import rmtsim
from benchmarks.bare import BareDraw
from benchmarks.report import Part, Row, Table, Target
from benchmarks.timing import SPREAD, Timing, elapsed
from rmtsim.kernels.cost import flops
from rmtsim.model.point import Point

#: (C, d, N) → repeats.
_SIZES = {(1000, 1000, 1000): 11, (100_000, 512, 1024): 3}
_QUICK = {(1000, 200, 300): 3, (10_000, 64, 600): 3}
_BOUND = 1.3


def run(quick: bool) -> Part:
    """Time draws and their floors in turn."""
    over: list[Row] = []
    speed: list[Row] = []
    targets: list[Target] = []
    for sizes, repeats in (_QUICK if quick else _SIZES).items():
        for dtype in ("float32", "float64"):
            point = Point("linear", "ce", *sizes)
            found = _times(point, dtype, repeats)
            name = {"C": point.n_classes, "d": point.dim, "N": point.n_samples, "dtype": dtype}
            over.append(name | _over_floor(found))
            speed.append(name | _speed(found, flops(point, ("linear",))))
            what = f"draw over floor at (C, d, N) = {sizes}, {dtype}"
            targets.append(Target(what, over[-1]["draw_over_floor"], _BOUND))
    about = (
        "One draw of the linear CE model on one core, over its floor: the same BLAS calls on arrays that are there, "
        "and a fill of the same normal numbers. GFLOP/s count matrix products alone, symmetric ones at half price. "
        f"{SPREAD} Draw and floor take turns; products are the floor less the fills; the ratio is that of medians."
    )
    return Part(
        about,
        [Table("Time of one draw over its floor", over), Table("Speed of the same draws", speed)],
        [] if quick else targets,
    )


def _times(point: Point, dtype: str, repeats: int) -> dict[str, Timing]:
    """Time draw, floor, the floor's fills alone, and the draw with two threads."""
    bare = BareDraw(point, dtype)
    draw = partial(rmtsim.simulate, point, dtype=dtype)
    times: dict[str, list[float]] = {"draw": [], "floor": [], "fills": [], "two": []}
    warm_up = Point("linear", "ce", min(point.n_classes, 2 * 512), point.dim, point.n_samples)
    rmtsim.simulate(warm_up, 1, dtype=dtype)
    for k in range(repeats):
        times["draw"].append(elapsed(partial(draw, range(k, k + 1), threads=1)))
        times["floor"].append(elapsed(bare.fills_and_products))
        times["fills"].append(elapsed(bare.fills))
        times["two"].append(elapsed(partial(draw, range(k, k + 1), threads=2)))
    return {name: Timing.of(values) for name, values in times.items()}


def _over_floor(found: dict[str, Timing]) -> Row:
    return {
        **found["draw"].columns("s", "draw_"),
        **found["floor"].columns("s", "floor_"),
        "draw_over_floor": found["draw"].seconds / found["floor"].seconds,
    }


def _speed(found: dict[str, Timing], work: float) -> Row:
    """Parts of the floor, flops per second, and what a second thread gains."""
    products = found["floor"].seconds - found["fills"].seconds
    return {
        "products_s": products,
        "fills_s": found["fills"].seconds,
        "GFLOP/s_draw": work / found["draw"].seconds / 1e9,
        "GFLOP/s_products": work / products / 1e9,
        **found["two"].columns("s", "two_threads_"),
        "speedup_of_two_threads": found["draw"].seconds / found["two"].seconds,
    }
