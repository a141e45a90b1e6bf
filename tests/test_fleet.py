"""A fleet that misbehaves: workers that hang, and nodes on which none can start, on a Ray that is pretended."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from harness.pretended_ray import PretendedRay, about, as_cluster
from harness.specs import TINY, spec_of
from rmtsim.errors import RunError
from rmtsim.store import Store
from rmtsim.sweeps import scheduler
from rmtsim.sweeps.batches import Batch
from rmtsim.sweeps.jobs import Place, never
from rmtsim.sweeps.nodes import Nodes
from rmtsim.sweeps.ray_workers import RayWorkers
from rmtsim.sweeps.runner import Outcome, run
from rmtsim.sweeps.scheduler import ATTEMPTS, SLACK, DrawScheduler
from rmtsim.sweeps.stopwatch import Stopwatch
from rmtsim.sweeps.thread_workers import thread_workers
from rmtsim.version import __version__


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pace of a clock that is pretended, a batch would hold all draws of a point."""
    monkeypatch.setattr("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: 2)


def sweep(ray: PretendedRay, folder: Path, **options: Any) -> Outcome:
    with as_cluster(ray):
        return run(spec_of(TINY, folder), Store(folder / "s"), address="auto", backend="numpy", **options)


def has_the_rows_of(folder: Path, tiny: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(Store(folder / "s").read(), tiny, check_exact=True)


def hanging(worker: int, after: int) -> Callable[[Place, Batch], tuple[float, Any]]:
    """Return how jobs are computed where one worker hangs at all batches after the first few."""
    done: Counter[int] = Counter()

    def compute(place: Place, batch: Batch) -> tuple[float, Any]:
        done[place.pid] += 1
        return (math.inf if place.pid == worker and done[worker] > after else 0.1), batch.compute(never)

    return compute


def test_a_worker_that_hangs_is_ended_and_its_batches_go_on(
    tmp_path: Path, tiny: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    ray = PretendedRay({"a": 1, "b": 1}, hanging(worker=101, after=3))
    outcome = sweep(ray, tmp_path)
    assert not outcome.failures
    assert DrawScheduler.patience < ray.now < 2 * DrawScheduler.patience
    has_the_rows_of(tmp_path, tiny)
    assert [actor.alive for actor in ray.actors] == [True, False, True]  # another is in its place
    [told] = [message for message in caplog.messages if "hangs" in message]
    assert told.startswith("run: the worker on host-b (10.0.0.1, process 101) hangs and is ended; draws ")
    assert "took longer there than its limit of 5 min, and they and what waited behind them are given to" in told


def test_without_a_deadline_it_would_hold_the_run_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: on the clock of the cluster, an hour passes with two batches in flight."""
    monkeypatch.setattr(DrawScheduler, "patience", math.inf)
    ray = PretendedRay({"a": 1, "b": 1}, hanging(worker=101, after=3))
    outcome = sweep(ray, tmp_path, time_limit=3600.0)
    assert outcome.stopped == "time limit"
    assert ray.now >= 3600


def test_a_slow_worker_within_its_limit_is_left_alone(tmp_path: Path, tiny: pd.DataFrame) -> None:
    def compute(place: Place, batch: Batch) -> tuple[float, Any]:
        return (DrawScheduler.patience - 10 if place.pid == 101 else 0.1), batch.compute(never)

    ray = PretendedRay({"a": 1, "b": 1}, compute)
    sweep(ray, tmp_path)
    assert [actor.alive for actor in ray.actors] == [True, True]
    has_the_rows_of(tmp_path, tiny)


def test_a_batch_that_hangs_everywhere_is_given_up(tmp_path: Path) -> None:
    def compute(place: Place, batch: Batch) -> tuple[float, Any]:
        poor = batch.point.n_classes == 2 and batch.point.n_samples == 60 and batch.draws.start == 0
        return (math.inf if poor else 0.1), batch.compute(never)

    ray = PretendedRay({"a": 2, "b": 1}, compute)
    outcome = sweep(ray, tmp_path)
    [failure] = outcome.failures
    assert failure.attempts == ATTEMPTS
    assert failure.reason.endswith(" it took longer than its limit of 20 min")  # twice as long each time
    assert sum(not actor.alive for actor in ray.actors) == ATTEMPTS
    assert [state.state for state in outcome.states].count("limited") == 1


def test_a_place_where_all_workers_hang_is_left_out(
    tmp_path: Path, tiny: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that is broken eats no more batches than that; meanwhile the other worker is slow, and at work."""
    monkeypatch.setattr(scheduler, "ATTEMPTS", 9)
    monkeypatch.setattr("rmtsim.sweeps.scheduler.LOSSES", 99)

    def compute(place: Place, batch: Batch) -> tuple[float, Any]:
        return (math.inf if place.node == "b" else 50.0), batch.compute(never)

    ray = PretendedRay({"a": 1, "b": 1}, compute)
    outcome = sweep(ray, tmp_path)
    assert not outcome.failures
    assert sum(actor.node == "b" for actor in ray.actors) == 5
    has_the_rows_of(tmp_path, tiny)


def test_a_worker_that_hangs_while_it_starts(tmp_path: Path, tiny: pd.DataFrame) -> None:
    ray = PretendedRay({"a": 1, "b": 1}, lambda place, batch: (100.0, batch.compute(never)))
    ready = ray.hello
    ray.hello = lambda place: (math.inf, {}) if place.node == "b" else ready(place)
    sweep(ray, tmp_path)
    assert [actor.alive for actor in ray.actors] == [True, False]
    has_the_rows_of(tmp_path, tiny)


def test_limits_follow_the_pace() -> None:
    """Far above what batches take, however slow they are; generous while the pace is only guessed; twice as long for
    each attempt before.
    """
    from tests.schedulers import scheduler_of
    from tests.schedulers import spec_of as driver_spec

    of = scheduler_of(driver_spec(1, 1000))
    first = of.next(1)
    assert first is not None
    expected = of._expected(first)
    assert of.limit(first) == max(of.patience, SLACK * scheduler.UNMEASURED * expected)
    of.done(first, SimpleNamespace(seconds=60.0, simulated=_values(first)))  # type: ignore[arg-type]
    batch = of.next(1)
    assert batch is not None
    assert of.seconds(batch) == pytest.approx(60.0)
    assert of.limit(batch) == pytest.approx(50 * 60.0)
    of.failed(batch, "slow", lost=False)
    assert of.limit(batch) == pytest.approx(2 * 50 * 60.0)


def _values(batch: Batch) -> Any:
    from harness.simulated_workers import _result

    return _result(batch, 1.0).simulated


def test_a_stopwatch_does_not_count_what_nobody_saw() -> None:
    """As when the driver's laptop slept: its workers did not hang."""
    now = [0.0]
    watch = Stopwatch(lambda: now[0])
    for now[0] in (1.0, 2.0, 3600.0, 3601.0):
        seen = watch.look()
    assert seen == 1 + 1 + 5 + 1


def test_threads_cannot_be_ended_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    class Job:
        def compute(self, stopping: Callable[[], bool]) -> int:
            while not stopping():
                pass
            return 1

        def __str__(self) -> str:
            return "draws 0 to 3"

    with thread_workers(1, "numpy", 1) as workers:
        workers.submit(Job())  # type: ignore[arg-type]
        while not workers.awaited():
            pass
        assert workers.overdue(lambda job: math.inf) == []
        assert not caplog.messages
        assert workers.overdue(lambda job: -1.0) == workers.overdue(lambda job: -1.0) == []
        workers.drain(10.0)
    [told] = caplog.messages
    assert told.startswith("run: draws 0 to 3: at work for longer than the limit of 1 s; a thread that hangs cannot be")
    assert "--address ray" in told


def fleet(ray: PretendedRay, workers: int | None = None) -> RayWorkers:
    return RayWorkers(ray, workers, "numpy", 1, ray.clock)


def some_time(ray: PretendedRay, executor: RayWorkers) -> int:
    """Let half a minute pass; return how many workers are there then."""
    for _ in range(30):
        assert executor.next_done(1.0) == []
    return executor.workers


@pytest.mark.parametrize("asked", [None, 3])
def test_places_are_taken_back_when_their_node_is_replaced(asked: int | None) -> None:
    ray = PretendedRay({"good": 1, "bad": 2})
    ready = ray.hello
    ray.hello = lambda place: (1.0, about("0.0.1")) if place.node == "bad" else ready(place)
    with as_cluster(ray):
        executor = fleet(ray, asked)
        assert some_time(ray, executor) == 1
        tried = len(ray.actors)
        assert some_time(ray, executor) == 1
        assert len(ray.actors) == tried  # none is started there again
        ray.remove("bad")
        ray.add("new", 2)
        assert some_time(ray, executor) == 3
        assert {actor.node for actor in ray.actors[tried:]} == {"new"}


def test_places_beside_a_bad_node_are_used_when_they_come() -> None:
    """The node with the wrong version stays; of three workers that were asked for, all find room elsewhere."""
    ray = PretendedRay({"good": 1, "bad": 2})
    ready = ray.hello
    ray.hello = lambda place: (1.0, about("0.0.1")) if place.node == "bad" else ready(place)
    with as_cluster(ray):
        executor = fleet(ray, 3)
        assert some_time(ray, executor) == 1
        ray.add("new", 4)
        assert some_time(ray, executor) == 3
        assert len(ray.on("new")) == 2
        assert not ray.on("bad")


def test_a_bad_gpu_costs_one_place_of_its_node() -> None:
    ray = PretendedRay({"a": 3, "b": 1})
    ready = ray.hello
    ray.hello = lambda place: (1.0, about("0.0.1")) if place.pid == 101 else ready(place)
    with as_cluster(ray):
        executor = fleet(ray)
        assert some_time(ray, executor) == 3
        assert len(ray.actors) == 4
        ray.remove("a")
        ray.add("c", 2)
        executor._crew.there = [
            worker for worker in executor._crew.there if worker.actor.alive
        ]  # idle ones die unnoticed
        assert some_time(ray, executor) == 3


def test_no_worker_anywhere_is_an_error() -> None:
    ray = PretendedRay({"a": 1, "b": 1})
    ray.hello = lambda place: (1.0, about("0.0.1"))
    with as_cluster(ray):
        executor = fleet(ray)
        with pytest.raises(RunError, match=f"^no worker can start: it has rmtsim 0.0.1, this is {__version__};"):
            some_time(ray, executor)


def test_a_node_that_is_not_known_is_forgiven_when_one_joins() -> None:
    nodes = Nodes("CPU")

    def look(*there: str) -> None:
        nodes.look([{"NodeID": node, "Alive": True, "Resources": {"CPU": 2.0}} for node in there])

    look("a")
    nodes.could_not_start("")
    assert (nodes.room(None), nodes.room(5)) == (1, 4)
    look("a")
    assert nodes.room(None) == 1
    look("a", "b")
    assert (nodes.room(None), nodes.room(5)) == (4, 5)
