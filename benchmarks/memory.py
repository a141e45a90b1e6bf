"""Peak memory of one draw against its estimate, and the time of draws that are large."""

from __future__ import annotations

import statistics
import time
from typing import Any

import rmtsim
from benchmarks import fresh
from benchmarks.report import Part, Row, Table, Target
from rmtsim.arrays.machine import usable_memory
from rmtsim.kernels.memory import BASE, fitting_tiling, memory
from rmtsim.model.point import Point

_GIB = 2**30
_THREADS = 2

#: C → draws that are timed, where they are not two.
_DRAWS = {128_256: 3, 1_000_000: 1}

#: Points, with budgets in GiB (None: what the machine can spare).
_LARGE: list[tuple[Point, float | None]] = [
    (Point("linear", "ce", 1_000_000, 512, 512), None),
    (Point("linear", "ce", 128_256, 1024, 1024), None),
    (Point("linear", "ce", 1000, 200, 20_000), None),
    (Point("linear", "ce", 1000, 200, 20_000), 2.0),
    (Point("linear", "ce", 1000, 200, 20_000), 1.0),
    (Point("one_hidden", "ce", 100_000, 64, 512, 8), None),
]
_QUICK: list[tuple[Point, float | None]] = [
    (Point("linear", "ce", 20_000, 64, 128), None),
    (Point("linear", "ce", 200, 50, 6000), 0.4),
    (Point("one_hidden", "ce", 5000, 64, 256, 4), None),
]


def run(quick: bool) -> Part:
    """Compute each point's draws in a process of its own."""
    rows = [
        _row(point, budget, draws=1 if quick else _DRAWS.get(point.n_classes, 2))
        for point, budget in (_QUICK if quick else _LARGE)
    ]
    targets = []
    for row in rows:
        where = f"at (C, d, N) = ({row['C']}, {row['d']}, {row['N']})"
        targets.append(Target(f"peak over estimate {where}", row["peak_over_estimate"], 1.0))
        if row["C"] == 1_000_000:
            targets.append(Target(f"peak memory {where}, GiB", row["peak_GiB"], 1.5))
        if row["C"] == 128_256:
            targets.append(Target(f"time of one draw {where}, s", row["s"], 15.0))
    about = (
        f"Draws in float32 with {_THREADS} threads, all layers, each point in a process of its own. Peak is the "
        "resident memory after the first draw, Python and its packages included; the estimate is that of "
        "rmtsim.kernels.memory with its 220 MiB for Python. The draw's own part is the estimate without them, and the "
        "peak less what was resident before the draw; it holds the buffers of BLAS and the threads' stacks too. Times "
        "are medians over the draws; from and to are the fastest and the slowest. Block pairs are the ordered pairs of "
        "classes, C(C − 1), all of which are counted exactly."
    )
    return Part(about, [Table("Peak memory and time of large draws", rows)], [] if quick else targets)


def _row(point: Point, budget: float | None, draws: int) -> Row:
    limit = usable_memory() if budget is None else budget * _GIB
    cut = fitting_tiling(point, point.layers, "float32", limit, threads=_THREADS)
    estimate = BASE + memory(point, point.layers, "float32", cut, threads=_THREADS)
    arguments = {"point": [point.model, point.n_classes, point.dim, point.n_samples, point.width], "budget": limit}
    found = fresh.call("memory", "some_draws", draws=draws, **arguments)
    if "error" in found:
        raise RuntimeError(f"{point}: {found['error']}: {found['message']}")
    times = found["seconds"]
    return {
        "model": point.model,
        "C": point.n_classes,
        "d": point.dim,
        "N": point.n_samples,
        "m": point.width,
        "budget_GiB": budget,
        "estimate_GiB": estimate / _GIB,
        "peak_GiB": found["peak_bytes"] / _GIB,
        "peak_over_estimate": found["peak_bytes"] / estimate,
        "draw_estimate_MiB": (estimate - BASE) / 2**20,
        "draw_MiB": (found["peak_bytes"] - found["before_bytes"]) / 2**20,
        "s": statistics.median(times),
        "from_s": min(times),
        "to_s": max(times),
        "draws": len(times),
        "block_pairs": point.n_classes * (point.n_classes - 1),
    }


def some_draws(point: list[Any], budget: float, draws: int) -> dict[str, Any]:
    """Time draws one by one; read the peak of memory after the first, and what there was before it."""
    model, n_classes, dim, n_samples, width = point
    here = Point(model, "ce", n_classes, dim, n_samples, width)
    before, peak, seconds = fresh.peak_memory(), 0, []
    for k in range(draws):
        start = time.perf_counter()
        rmtsim.simulate(here, range(k, k + 1), dtype="float32", threads=_THREADS, memory=budget)
        seconds.append(time.perf_counter() - start)
        peak = peak or fresh.peak_memory()
    return {"seconds": seconds, "peak_bytes": peak, "before_bytes": before}
