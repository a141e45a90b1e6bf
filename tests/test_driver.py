"""The scheduler and runner at the scale of a cluster, and what happens to batches that do not come back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from harness.simulated_workers import SimulatedWorkers, on_the_clock
from rmtsim.store import Store
from rmtsim.sweeps import loop, runner
from rmtsim.sweeps.batches import Batch
from rmtsim.sweeps.loop import drive
from rmtsim.sweeps.pace import Pace
from rmtsim.sweeps.runner import DrawCommitter
from rmtsim.sweeps.scheduler import ATTEMPTS, LOSSES, DrawScheduler
from rmtsim.sweeps.spec import Spec
from tests.schedulers import scheduler_of, spec_of


def sweep(spec: Spec, store: Store, workers: SimulatedWorkers) -> DrawCommitter:
    with store.writer() as writer, on_the_clock(workers):
        scheduler = scheduler_of(spec)
        committer = DrawCommitter(store, writer, spec.document(), scheduler)
        drive(scheduler, workers, committer)
    return committer


def batches_of(scheduler: DrawScheduler) -> Iterator[Batch]:
    while batch := scheduler.next(4):
        yield batch


def test_a_time_limit_stops_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of simulated workers, which moves only while the runner waits for them."""
    workers = SimulatedWorkers(10, timer=lambda: 0.0)
    monkeypatch.setattr(loop, "open_executor", lambda *_: nullcontext(workers))
    with on_the_clock(workers):
        outcome = runner.run(spec_of(3, 6000), Store(tmp_path / "s"), backend="numpy", time_limit=30)
    assert outcome.stopped == "time limit"
    assert 30 <= workers.clock() < 31


@contextmanager
def calls_counted() -> Iterator[Callable[[], int]]:
    """Give the number of calls of functions that this thread has made since the start, and returns from them."""
    count, before = 0, sys.getprofile()

    def add(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(add)
    try:
        yield lambda: count
    finally:
        sys.setprofile(before)


#: Seconds that a usual machine takes, about, for a call or a return and what is done until the next one.
SECONDS_PER_CALL = 4e-7


@pytest.mark.parametrize(("slowness", "draws", "kept"), [(1, 6000, True), (40, 1500, False)])
def test_a_thousand_workers_are_kept_busy(slowness: int, draws: int, kept: bool, tmp_path: Path) -> None:
    """With the driver's calls on the clock; a driver forty times as slow would not do (negative control)."""
    with calls_counted() as calls:
        workers = SimulatedWorkers(1000, timer=lambda: slowness * SECONDS_PER_CALL * calls())
        committer = sweep(spec_of(30, draws, min_draws=draws), Store(tmp_path), workers)
        assert calls() < 1000 * workers.batches
    assert committer.done == 30 * draws
    assert len(Store(tmp_path).shards()) < 60  # commits are grouped
    assert (workers.busy / (1000 * workers.clock()) >= 0.9) == kept  # the benchmark's long sweep: 98 %


def test_what_a_thousand_workers_lose_is_done_again(tmp_path: Path) -> None:
    """With every fourth batch lost, rows are those of one worker that loses none."""
    spec = spec_of(20, 400, target_rse=0.02)
    sweep(spec, Store(tmp_path / "one"), SimulatedWorkers(1))
    workers = SimulatedWorkers(1000, loss=0.25)
    sweep(spec, Store(tmp_path / "many"), workers)
    one, many = (Store(tmp_path / name).read() for name in ("one", "many"))
    assert one.equals(many)
    assert 20 * 16 < len(one) < 20 * 400  # points stopped by their precision


def test_a_batch_is_tried_so_often_and_no_more() -> None:
    for lost, most in ((False, ATTEMPTS), (True, LOSSES)):
        scheduler = scheduler_of(spec_of(2, 16))
        first = scheduler.next(4)
        failures = [scheduler.failed(first, "no luck", lost=lost)]
        while failures[-1] is None:
            assert scheduler.next(4) == first  # at once, before all others
            failures.append(scheduler.failed(first, "no luck", lost=lost))
        assert len(failures) == most
        assert str(failures[-1]) == f"{first} failed {most} times: no luck"
        assert scheduler.failures == failures[-1:]
        rest = list(batches_of(scheduler))
        assert first not in rest
        assert sum(len(batch.draws) for batch in [first, *rest]) == 32


def test_batches_take_the_time_they_should() -> None:
    """From a first guess that is wrong by a thousand either way, within a few batches."""
    point = spec_of(1, 16).points()[0]
    for speed in (2e7, 2e13):
        pace, work = Pace(), 1e8
        for _ in range(3):
            draws = pace.batch_draws(point, work, 1e30, 4)
            pace.measure(point, draws * work, draws * work / speed)
        seconds = pace.batch_draws(point, work, 1e30, 4) * work / speed
        assert 1 <= seconds <= 10
    assert pace.batch_draws(point, work, 4 * speed, 8) * work / speed == pytest.approx(0.5)  # little is left: shorter
    assert pace.batch_draws(point, 1e30, 1e30, 8) == 1


@pytest.mark.ray
def test_the_benchmark_runs(tmp_path: Path) -> None:
    """In a process of its own: Ray changes the environment and leaves threads behind."""
    line = [sys.executable, "-m", "benchmarks", "--only", "driver", "--quick", "--out", str(tmp_path / "results.json")]
    subprocess.run(line, cwd=Path(__file__).parents[1], check=True, capture_output=True)
    simulated, ray = json.loads((tmp_path / "results.json").read_text())["parts"]["driver"]["tables"]
    assert simulated["rows"][0]["batches"] >= 5_000
    assert 0 < ray["rows"][0]["driver_cpu_ms_per_batch"] < 10
