"""What one driver can feed: its own cost of a batch, and of Ray's share in it; a sweep over a thousand workers."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.report import Part, Row, Table, Target
from harness.simulated_workers import SECONDS_PER_DRAW, SimulatedWorkers, on_the_clock
from rmtsim.store import Store
from rmtsim.store.writer import Writer
from rmtsim.sweeps.connection import connected
from rmtsim.sweeps.jobs import Executor
from rmtsim.sweeps.loop import drive
from rmtsim.sweeps.ray_workers import RayWorkers
from rmtsim.sweeps.reading import read_states
from rmtsim.sweeps.resources import Resources
from rmtsim.sweeps.runner import DrawCommitter, SweepWork
from rmtsim.sweeps.scheduler import DrawScheduler
from rmtsim.sweeps.spec import Spec, from_document
from rmtsim.sweeps.state import PointState

_WORKERS = 1000
_LOSS = 1e-4


def run(quick: bool) -> Part:
    """Run a simulated sweep over a thousand workers, then one of tiny batches over real Ray actors."""
    simulated = _simulated(batches=2_000 if quick else 1_000_000)
    with_ray = _with_ray(batches=200 if quick else 6000, actors=1 if quick else 8)
    cost = with_ray["driver_cpu_ms_per_batch"]
    targets = [
        Target("share of their time that 1000 workers are busy", simulated["busy"], 0.95, at_most=False),
        Target("driver, ms a batch, Ray included", cost, 1.0),
        Target("memory of the driver at the end over that at a tenth", simulated["memory_growth"], 1.1),
    ]
    about = (
        f"Simulated: rmtsim.sweeps.loop.drive, scheduler, stopping rule and a store on disk, against {_WORKERS} "
        f"workers that compute nothing, batches of about a second ({SECONDS_PER_DRAW} s a draw), one in "
        f"{1 / _LOSS:.0f} lost with its worker and done again. The clock counts the driver's own time, and skips its "
        "waiting. Ray: the same driver with actors on this machine and batches of one draw that takes them a "
        "millisecond; CPU time of the driver's process, all its threads included. A driver feeds batch seconds / "
        "driver seconds workers."
    )
    return Part(about, [Table("Simulated workers", [simulated]), Table("Ray", [with_ray])], [] if quick else targets)


def _simulated(batches: int) -> Row:
    points = max(20, min(200, batches // 100))
    draws = batches * round(1 / SECONDS_PER_DRAW) // points
    spec = _spec(points, draws, dim=1024)
    workers = SimulatedWorkers(_WORKERS, _LOSS)
    memory: list[float] = []
    with tempfile.TemporaryDirectory() as folder, on_the_clock(workers):
        store = Store(Path(folder) / "store")

        def tell(committer: DrawCommitter) -> None:
            if not memory and committer.done >= points * draws / 10:
                memory.append(_peak_mib())

        start = time.perf_counter()
        _drive(spec, store, workers, tell)
        took = time.perf_counter() - start
        total = workers.clock()
        peak = _peak_mib()
        start = time.perf_counter()
        finished = sum(state.finished for state in read_states(spec, store))
        again = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
        shards = len(store.shards())
    if finished != points:
        raise RuntimeError(f"{finished} of {points} points are finished")
    return {
        "workers": _WORKERS,
        "batches": workers.batches,
        "draws": points * draws,
        "simulated_s": total,
        "busy": workers.busy / (_WORKERS * total),
        "real_s": took,
        "driver_ms_per_batch": took / workers.batches * 1e3,
        "peak_MiB": peak,
        "memory_growth": peak / memory[0],
        "shards": shards,
        "store_MB": size / 1e6,
        "bytes_per_row": size / (points * draws),
        "read_again_s": again,
    }


def _with_ray(batches: int, actors: int) -> Row:
    points = 8
    spec = _spec(points, batches // points, dim=2)
    with (
        tempfile.TemporaryDirectory() as folder,
        connected("ray", actors) as ray,
        patch("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: 1),
    ):
        workers = RayWorkers(ray, actors, "numpy", SweepWork.queued)
        while workers.workers < actors:
            workers.next_done(0.1)
        cpu, wall = time.process_time(), time.perf_counter()
        _drive(spec, Store(Path(folder) / "store"), workers)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "actors": actors,
        "batches": batches,
        "driver_cpu_ms_per_batch": cpu / batches * 1e3,
        "wall_ms_per_batch": wall / batches * 1e3,
    }


def _drive(spec: Spec, store: Store, executor: Executor, tell: Any = lambda committer: None) -> None:
    states = [PointState(point, spec.layers, spec.sampling) for point in spec.points()]
    writer: Writer
    with store.writer() as writer:
        writer.save_spec(spec.name, spec.document())
        scheduler = DrawScheduler(states, spec, "numpy", Resources(None, 1, None))
        committer = DrawCommitter(store, writer, spec.document(), scheduler)
        drive(scheduler, executor, committer, report=lambda: tell(committer))


def _spec(points: int, draws: int, dim: int) -> Spec:
    return from_document(
        {
            "name": "driver",
            "model": "linear",
            "loss": "ce",
            "grid": {"n_classes": list(range(2, points + 2)), "dim": [dim], "aspect_ratio": [0.5]},
            "sampling": {"min_draws": max(2, draws // 50), "max_draws": draws, "target_rse": 1e-6},
        }
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
