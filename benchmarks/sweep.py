"""What a sweep adds to the work of its batches, and what a second core is worth as a worker or as a thread."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from unittest.mock import patch

from benchmarks.report import Part, Row, Table, Target
from benchmarks.timing import SPREAD, Timing
from rmtsim.arrays.machine import usable_memory
from rmtsim.kernels.cost import cost
from rmtsim.store import Store
from rmtsim.sweeps import runner
from rmtsim.sweeps.batches import Batch, Result
from rmtsim.sweeps.pace import TARGET_SECONDS, Pace
from rmtsim.sweeps.resources import Resources
from rmtsim.sweeps.spec import Spec, from_document

#: (C, d, N) of small draws, which are computed in batches, and of large ones.
_SIZES = ((100, 64, 128), (1000, 500, 1000))
#: Batches of a sweep, of a second or two each: as many for every worker.
_BATCHES = 4

#: (workers, threads of each).
_SHARES = ((1, 1), (2, 1), (1, 2))


def run(quick: bool) -> Part:
    """Run the same sweep in three ways, in turn."""
    rows: list[Row] = []
    targets: list[Target] = []
    for sizes in _SIZES[:1] if quick else _SIZES:
        found = _ways(sizes, batches=1 if quick else _BATCHES, repeats=1 if quick else 3)
        rows += found
        alone, workers, _ = found
        where = f"at (C, d, N) = {sizes}"
        share = alone["share_in_batches"]
        targets += [
            Target(f"share of wall time in batches, one worker, {where}", share, 0.9, at_most=False),
            Target(f"two workers over one {where}", workers["speedup"], 1.7, at_most=False),
        ]
    about = (
        "Sweeps of linear CE in float64 through rmtsim.sweeps.runner.run on a new store, BLAS with one thread. Share "
        "in batches is the time inside Batch.compute, summed over the workers, over workers × wall time; the rest is "
        f"the store, the stopping rule and waiting. {SPREAD} The three ways take turns."
    )
    return Part(about, [Table("Workers and threads", rows)], [] if quick else targets)


def _ways(sizes: tuple[int, int, int], batches: int, repeats: int) -> list[Row]:
    """Time a sweep of one point by every share of workers and threads."""
    C, d, N = sizes
    (point,) = _spec(sizes, 10**6).points()
    pace, work = Pace(), cost(point, ("linear",))
    draws = round(batches * TARGET_SECONDS / pace.seconds(point, work))
    spec = _spec(sizes, draws)
    walls: dict[tuple[int, int], list[float]] = {share: [] for share in _SHARES}
    shares: dict[tuple[int, int], list[float]] = {share: [] for share in _SHARES}
    for _ in range(repeats):
        for workers, threads in _SHARES:
            wall, inside = _run(spec, workers, threads)
            walls[workers, threads].append(wall)
            shares[workers, threads].append(inside / (workers * wall))
    one = Timing.of(walls[_SHARES[0]]).seconds
    return [
        {
            "C": C,
            "d": d,
            "N": N,
            "draws": draws,
            "workers": share[0],
            "threads_each": share[1],
            **(timing := Timing.of(walls[share])).columns("s"),
            "draws_per_s": draws / timing.seconds,
            "speedup": one / timing.seconds,
            "share_in_batches": Timing.of(shares[share]).seconds,
        }
        for share in _SHARES
    ]


def _spec(sizes: tuple[int, int, int], draws: int) -> Spec:
    """Return a sweep of one point and exactly this number of draws."""
    C, d, N = sizes
    return from_document(
        {
            "name": "benchmark",
            "model": "linear",
            "loss": "ce",
            "grid": {"n_classes": [C], "dim": [d], "aspect_ratio": [d / N]},
            "sampling": {"min_draws": draws, "max_draws": draws, "target_rse": 0.5},
        }
    )


def _run(spec: Spec, workers: int, threads: int) -> tuple[float, float]:
    """Run the sweep; return its wall time and the time that its workers were inside batches, in seconds."""
    share = Resources(workers, threads, usable_memory() / workers)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(runner, "allocate", lambda *_: share),  # which would give all cores to a worker that is alone
        _timed_batches() as spent,
    ):
        start = time.perf_counter()
        outcome = runner.run(spec, Store(os.path.join(folder, "store")), backend="numpy", workers=workers)
        wall = time.perf_counter() - start
    if outcome.new_draws != spec.sampling.max_draws:
        raise RuntimeError(f"{outcome.new_draws} draws were made, {spec.sampling.max_draws} wanted")
    return wall, sum(spent)


@contextmanager
def _timed_batches() -> Iterator[list[float]]:
    """Record the seconds of every call of Batch.compute, by whatever thread."""
    spent: list[float] = []
    lock, compute = Lock(), Batch.compute

    def timed(batch: Batch, *_: object) -> Result:
        start = time.perf_counter()
        result = compute(batch)
        with lock:
            spent.append(time.perf_counter() - start)
        return result

    with patch.object(Batch, "compute", timed):
        yield spent
