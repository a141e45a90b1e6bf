"""The audit of a fleet: who computes wrongly is found and left out, and its rows are made again; the others stay."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

import rmtsim
from harness.driver import is_part
from harness.pretended_ray import PretendedRay, about, as_cluster
from harness.specs import TINY, spec_of
from rmtsim.errors import RunError
from rmtsim.store import Store
from rmtsim.store.coverage import Coverage
from rmtsim.store.verify import verify
from rmtsim.store.withdraw import withdraw
from rmtsim.sweeps.audit import AuditedWorkers
from rmtsim.sweeps.batches import Batch
from rmtsim.sweeps.crew import Crew
from rmtsim.sweeps.jobs import Finished, Place, never
from rmtsim.sweeps.progress import Progress
from rmtsim.sweeps.reading import read_states
from rmtsim.sweeps.resources import Resources
from rmtsim.sweeps.runner import Outcome, SweepWork, _Read, run


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pace of a clock that is pretended, a batch would hold all draws of a point."""
    monkeypatch.setattr("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: 2)


def sweep(ray: PretendedRay, folder: Path, audit: float, **options: Any) -> Outcome:
    with as_cluster(ray):
        store = Store(folder / "s")
        return run(spec_of(TINY, folder), store, address="auto", backend="numpy", audit=audit, **options)


def has_the_rows_of(folder: Path, tiny: pd.DataFrame) -> None:
    store = Store(folder / "s")
    pd.testing.assert_frame_equal(store.read(), tiny, check_exact=True)
    assert verify(store).findings == []


def lying(is_liar: Callable[[Place], bool], error: float = 0.0) -> Callable[[Place, Batch], tuple[float, Any]]:
    """Return how batches are computed where some workers get the last bit of a value wrong."""

    def compute(place: Place, batch: Batch) -> tuple[float, Any]:
        result = batch.compute(never)
        if is_liar(place):
            right = result.simulated.values[0, 0, 0]
            result.simulated.values[0, 0, 0] = right * (1 + error) if error else np.nextafter(right, np.inf)
        return 0.5, result

    return compute


def test_a_node_that_computes_wrongly_is_left_out(
    tmp_path: Path, tiny: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    ray = PretendedRay({"a": 1, "b": 2, "c": 1}, lying(lambda place: place.node == "b"))
    outcome = sweep(ray, tmp_path, audit=1.0)
    has_the_rows_of(tmp_path, tiny)
    assert not outcome.failures
    assert not ray.on("b")
    assert len(ray.on("a")) == len(ray.on("c")) == 1
    [told] = [message for message in caplog.messages if "computes wrongly" in message]
    assert re.match(
        r"run: audit: host-b \(10\.0\.0\.1, process 10[12]\) computes wrongly and is left out with its", told
    )
    assert "host-a (10.0.0.1, process 100) and host-c" in told or "host-c (10.0.0.1, process 103) and host-a" in told


def test_what_it_has_computed_unseen_is_made_again(
    tmp_path: Path, tiny: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows that were committed before it was found out, too."""
    taken_out = []

    def withdrawing(store: Store, writer: Any, gone: Coverage) -> int:
        there = store.read()
        wrong = there.merge(tiny, how="left", indicator=True)["_merge"] == "left_only"
        taken_out.append((withdraw(store, writer, gone), wrong.sum()))
        assert is_part(store.read(), tiny)
        return taken_out[-1][0]

    monkeypatch.setattr("rmtsim.sweeps.loop.withdraw", withdrawing)
    ray = PretendedRay({"a": 1, "b": 1, "c": 1}, lying(lambda place: place.node == "b"))
    outcome = sweep(ray, tmp_path, audit=0.1)
    [(draws, wrong)] = taken_out
    assert draws >= 2 * wrong > 0  # of two draws of a batch one is wrong, in one layer of three
    assert f"; {draws} draws that this run has from it alone are made again" in "".join(caplog.messages)
    assert not ray.on("b")
    assert outcome.new_draws == tiny.groupby(["point_id", "draw"]).ngroups
    has_the_rows_of(tmp_path, tiny)


def test_without_an_audit_it_goes_unnoticed(tmp_path: Path, tiny: pd.DataFrame) -> None:
    """The negative control."""
    ray = PretendedRay({"a": 1, "b": 1, "c": 1}, lying(lambda place: place.node == "b"))
    sweep(ray, tmp_path, audit=0.0)
    there = Store(tmp_path / "s").read()
    assert len(there) == len(tiny)
    assert not is_part(there, tiny)
    assert ray.on("b")


def test_of_two_nodes_this_process_tells_which_is_right(
    tmp_path: Path, tiny: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    ray = PretendedRay({"a": 2, "b": 2}, lying(lambda place: place.node == "b"))
    ray.hello = lambda place: (1.0, about(machine=""))  # that of this process
    sweep(ray, tmp_path, audit=0.3)
    has_the_rows_of(tmp_path, tiny)
    assert not ray.on("b")
    assert "and head (10.0.0.9, process 1)" in "".join(caplog.messages)


def test_two_nodes_of_which_nobody_can_tell(tmp_path: Path, tiny: pd.DataFrame) -> None:
    """The driver is on one of them: it would agree with it, right or wrong. Nothing doubtful is kept."""
    ray = PretendedRay({"a": 2, "b": 2}, lying(lambda place: place.node == "b"))
    ray.hello = lambda place: (1.0, about(machine=""))  # that of this process
    ray.driver = "b"
    with pytest.raises(
        RunError, match=r"^audit: host-[ab] .* and host-[ab] .* differ on draws .*, and no third node can"
    ):
        sweep(ray, tmp_path, audit=0.3)
    assert is_part(Store(tmp_path / "s").read(), tiny)
    sweep(PretendedRay({"a": 2}), tmp_path, audit=0.0)  # without the other node
    has_the_rows_of(tmp_path, tiny)


def test_one_process_of_a_sound_node_is_left_out_alone(tmp_path: Path, tiny: pd.DataFrame) -> None:
    """As one GPU of several, or one core: the other worker of its node agrees with the rest."""
    ray = PretendedRay({"a": 1, "b": 2}, lying(lambda place: place.pid == 102))
    ray.driver = "a"
    sweep(ray, tmp_path, audit=1.0)
    has_the_rows_of(tmp_path, tiny)
    assert [actor.alive for actor in ray.actors] == [True, True, False]


def test_on_one_machine_processes_are_compared(
    tmp_path: Path, tiny: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    ray = PretendedRay({"a": 3}, lying(lambda place: place.pid == 102))
    ray.driver = "a"
    sweep(ray, tmp_path, audit=1.0)
    has_the_rows_of(tmp_path, tiny)
    assert len(ray.on("a")) == 2
    assert len([said for said in caplog.messages if "all workers are on one machine, host-a, whose" in said]) == 1


def test_one_machine_that_is_wrong_as_a_whole_goes_unnoticed_and_the_run_says_that_it_would(
    tmp_path: Path, tiny: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    ray = PretendedRay({"a": 2}, lying(lambda place: True))
    sweep(ray, tmp_path, audit=1.0)
    assert not is_part(Store(tmp_path / "s").read(), tiny)
    [said] = [said for said in caplog.messages if "audit" in said]
    assert "a machine that does so as a whole is not; a second node would show it" in said


def test_with_two_nodes_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A negative control."""
    sweep(PretendedRay({"a": 2, "b": 1}), tmp_path, audit=1.0)
    assert not [said for said in caplog.messages if "audit" in said]


@pytest.mark.parametrize(("error", "kinds", "accused"), [(1e-12, 2, False), (1e-12, 1, True), (1e-6, 2, True)])
def test_machines_of_two_kinds_may_differ_by_rounding(tmp_path: Path, error: float, kinds: int, accused: bool) -> None:
    """Of one kind, they may not; and no two may differ by more."""
    ray = PretendedRay({"a": 1, "b": 1, "c": 1}, lying(lambda place: place.node == "b", error))
    ray.hello = lambda place: (1.0, about(machine=f"kind {place.node == 'b' and kinds == 2}"))
    sweep(ray, tmp_path, audit=1.0)
    assert (not ray.on("b")) == accused


def test_a_machine_of_another_kind_cannot_tell_who_is_wrong_by_a_bit(tmp_path: Path) -> None:
    """It agrees with both up to rounding: nobody is accused, and what is doubtful is not kept."""
    ray = PretendedRay({"a": 1, "b": 1, "c": 1}, lying(lambda place: place.node == "b"))
    ray.hello = lambda place: (1.0, about(machine=f"kind {place.node == 'c'}"))
    ray.driver = "a"
    with pytest.raises(RunError, match="no third node can tell which of them is wrong"):
        sweep(ray, tmp_path, audit=1.0)


def test_one_worker_is_not_held_up_for_ever(
    tmp_path: Path, tiny: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    ray = PretendedRay({"a": 1})
    sweep(ray, tmp_path, audit=1.0)
    has_the_rows_of(tmp_path, tiny)
    assert ["there is one worker, which has none to be compared with" in said for said in caplog.messages] == [True]


@pytest.mark.parametrize("free", [0, 1])
def test_a_batch_waits_a_minute_for_a_second_worker(free: int, caplog: pytest.LogCaptureFixture) -> None:
    """By the clock, however many rounds the loop makes meanwhile, and anew where a second one was there and went."""
    batch = Batch(rmtsim.Point("linear", "ce", 3, 4, 8), range(2), ("linear",), 3, "numpy", "float64", "exact", 1, None)
    answers = [Finished(batch, batch.compute(), place=Place("a", "host-a", "10.0.0.1", 1))]
    seconds, given = 7.0, None
    workers: Any = SimpleNamespace(
        backend="numpy",
        free=1,
        workers=1,
        nodes=lambda: {"a"},
        next_done=lambda timeout: [answers.pop()] if answers else [],
        submit_apart=lambda *_: given,
        seconds=lambda: seconds,
    )
    audited = AuditedWorkers(workers, 1.0)
    assert not any(audited.next_done(0) for _ in range(1000))
    seconds += 30.0
    given, workers.workers, workers.free = False, 2, free  # a second one comes, is busy, and goes
    assert audited.next_done(0) == []
    seconds += 30.0
    given, workers.workers, workers.free = None, 1, 1
    assert audited.next_done(0) == []
    seconds += 59.0
    assert audited.next_done(0) == []
    assert not caplog.messages
    seconds += 1.0
    [finished] = audited.next_done(0)
    assert (finished.job, finished.reason) == (batch, "")
    assert "there is one worker" in caplog.messages[0]


def test_a_node_that_comes_and_goes_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes of one node agree while another node is there, which is gone when it is to be asked."""
    batch = Batch(rmtsim.Point("linear", "ce", 3, 4, 8), range(2), ("linear",), 3, "numpy", "float64", "exact", 1, None)
    answers = [Finished(batch, batch.compute(), place=Place("a", "host-a", "10.0.0.1", pid)) for pid in (1, 2)]
    there, given = {"a", "b"}, True
    workers: Any = SimpleNamespace(
        backend="numpy",
        free=1,
        workers=2,
        nodes=lambda: there,
        next_done=lambda timeout: [answers.pop()] if answers else [],
        submit_apart=lambda *_: given,
    )
    audited = AuditedWorkers(workers, 1.0)
    monkeypatch.setattr(audited, "_own_answer", lambda case: False)  # as where a GPU is needed
    assert audited.next_done(0) == []
    given = False  # the other node has no room
    assert audited.next_done(0) == []
    there, given = {"a"}, None
    [finished] = audited.next_done(0)
    assert (finished.job, finished.reason) == (batch, "")
    assert not audited._cases


def test_metrics_and_speed_go_on_where_draws_are_taken_out_again(
    tmp_path: Path, tiny: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counted: list[int] = []

    def add(values: dict[str, float], done: int) -> None:
        assert done >= 0  # Ray refuses others
        counted.append(done)

    monkeypatch.setattr("rmtsim.sweeps.ray_metrics._adder", lambda *_: add)
    seen: list[Progress] = []
    ray = PretendedRay({"a": 1, "b": 1, "c": 1}, lying(lambda place: place.node == "b"))
    outcome = sweep(ray, tmp_path, audit=0.1, on_progress=seen.append)
    assert "computes wrongly" in "".join(caplog.messages)
    assert "metrics" not in "".join(caplog.messages)
    assert any(one.done > other.done for one, other in pairwise(seen))  # taken out
    assert sum(counted) == outcome.new_draws == tiny.groupby(["point_id", "draw"]).ngroups
    assert all(one.elapsed <= other.elapsed for one, other in pairwise(seen))


def test_a_run_that_waits_for_a_node_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Once, where only nodes are there that are left out."""
    ray = PretendedRay({"a": 1})
    with patch("rmtsim.sweeps.crew.check_head"):
        crew = Crew(ray, None, "numpy", 2, ray.clock)
    assert caplog.messages == []
    crew.leave_out(ray.actors[0].at, node=True)
    for worker in list(crew.there):
        crew.end(worker)
    with patch("rmtsim.sweeps.crew.check_head"):
        for _ in range(3):
            ray.now += 10
            crew.grow()
        assert caplog.messages == ["run: no node is left that workers may be on; the run waits until one joins"]
        ray.add("b", 1)
        ray.now += 10
        crew.grow()
    assert len(ray.on("b")) == len(caplog.messages) == 1


def test_a_second_worker_that_dies_or_fails_is_no_liar(tmp_path: Path, tiny: pd.DataFrame) -> None:
    sound = lying(lambda place: False)
    computed: list[Batch] = []

    def compute(place: Place, batch: Batch) -> tuple[float, Any]:
        computed.append(batch)
        again = computed.count(batch) == 2
        return (0.5, MemoryError("no room")) if again and len(computed) < 20 else sound(place, batch)

    ray = PretendedRay({"a": 1, "b": 1, "c": 1}, compute)
    outcome = sweep(ray, tmp_path, audit=1.0)
    assert not outcome.failures
    assert all(len(ray.on(node)) == 1 for node in "abc")
    has_the_rows_of(tmp_path, tiny)


def test_a_run_that_begins_anew_reads_the_store(tmp_path: Path) -> None:
    """Where all that was committed is taken out again, the store looks as it did when the states were read."""
    spec, store = spec_of(TINY, tmp_path), Store(tmp_path / "s")
    work = SweepWork(spec, Resources(1, 1, None), _Read(store.listed(), "numpy", read_states(spec, store, "numpy")))
    with store.writer() as writer:
        for _ in range(2):
            scheduler, _ = work.begin(store, writer, "numpy")
            assert [list(state.missing()) for state in work.states] == [[range(12)], [range(12)]]
            batch = scheduler.next(1)
            assert batch is not None
            scheduler.done(batch, batch.compute())
