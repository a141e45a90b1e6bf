"""Workers on a cluster of several nodes with GPUs, which are pretended: they join, die, fail and leave."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

import rmtsim
from harness.cluster import RayCluster
from harness.driver import Driver, Events, given_again, is_part, rows_in
from rmtsim.store import Store
from tests.ray_sweeps import LONG, SHORT, sweep, undisturbed

pytestmark = pytest.mark.ray


def greetings(events: Events, node: str = "") -> Events:
    return [event for event in events if event["event"] == "hello" and event["node"].startswith(node)]


def came_back_from(events: Events, actors: set[str]) -> bool:
    """Whether a batch came back that was last given to one of these."""
    at = {event["batch"]: event["actor"] for event in events if event["event"] == "out"}
    return any(event["event"] == "back" and at[event["batch"]] in actors for event in events)


class Run(NamedTuple):
    """What a driver left: its exit code, the document it printed, its journal, stderr and rows."""

    code: int
    said: dict[str, Any]
    events: Events
    err: str
    rows: pd.DataFrame


def ended(driver: Driver, folder: Path) -> Run:
    code, said = driver.end()
    return Run(code, said, driver.events(), driver.err(), rows_in(folder))


@pytest.fixture(scope="module")
def faulty(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A driver that is there before all nodes and wants more workers than there will be; of two GPUs, one fails at all
    batches, and the batches of one point fail everywhere.
    """
    folder = tmp_path_factory.mktemp("faulty")
    sweep(folder)
    options = ["--workers", "3", "--backend", "cupy"]
    with Driver(folder, *options, cluster=cluster, raises=60, sick="1", nap=0.1, draws=8) as driver:
        driver.wait(lambda events: [e for e in events if e["event"] == "told" and e["workers"] == 0], "idle driver")
        with cluster.node(gpus=2):
            return ended(driver, folder)


def test_more_workers_than_there_is_room_for_wait(faulty: Run) -> None:
    """On a cluster that is no error: it may grow."""
    assert {event["device"] for event in greetings(faulty.events)} == {"0", "1"}
    assert 1 <= max(event["workers"] for event in faulty.events if event["event"] == "told") <= 2


def test_a_batch_that_always_fails_is_reported_and_the_rest_is_done(faulty: Run) -> None:
    """A GPU that fails is always free: but its worker starts again each time, and others do what it could not."""
    assert faulty.code == 1
    poor = {"n_classes": 2, "n_samples": 60}
    failures = faulty.said["failures"]
    [failure, *_] = [one for one in failures if poor.items() <= one["point"].items()]
    assert (failure["attempts"], failure["reason"]) == (3, "no room")
    assert (failure["seed"], failure["layers"]) == (5, ["hidden", "output", "cross"])
    start, stop = failure["draws"]
    assert 0 <= start < stop <= 8
    assert f"draws {start} to {stop - 1} of Point(model='one_hidden', loss='ce', n_classes=2, dim=30," in faulty.err
    # Another point's batch may come to the sick GPU three times: then it is reported as well, but never all.
    told = {(one["point"]["n_classes"], one["point"]["n_samples"]) for one in failures}
    whole = undisturbed(SHORT)

    def of_others(rows: pd.DataFrame) -> pd.DataFrame:
        sizes = pd.Series(zip(rows["n_classes"], rows["n_samples"], strict=True), index=rows.index)
        return rows[~sizes.isin(told)].reset_index(drop=True)

    failed = {event["batch"].split()[0] for event in faulty.events if event["event"] == "failed"}
    assert failed > {rmtsim.Point("one_hidden", "ce", 2, 30, 60, 4).id}  # others failed on the GPU that is sick
    pd.testing.assert_frame_equal(of_others(faulty.rows), of_others(whole), check_exact=True)
    assert len(of_others(whole))
    assert is_part(faulty.rows, whole)


class Story(NamedTuple):
    """A sweep during which workers and nodes came and went, as the journal of its driver has it."""

    code: int
    events: Events
    rows: pd.DataFrame
    whole: pd.DataFrame
    worker_killed_at: float
    raylet_killed_at: float
    node_left_at: float
    actors: dict[str, set[str]]  # of the nodes: "first", "second", "third"


@pytest.fixture(scope="module")
def story(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One driver, started once: a node joins, a worker is killed, a raylet is killed, a node joins, a node leaves."""
    folder = tmp_path_factory.mktemp("story")
    whole = sweep(folder, LONG)
    actors: dict[str, set[str]] = {}

    def settled(name: str, known: int, count: int) -> None:
        """Wait until workers beyond those known have started, so many in all, and work has come back from them."""
        found = driver.wait(
            lambda events: greetings(events)[known:] if greetings(events)[count - 1 :] else [], "workers"
        )
        actors[name] = {event["actor"] for event in found}
        driver.wait(lambda events: came_back_from(events, actors[name]), "work from new workers")

    with ExitStack() as nodes:
        first = nodes.enter_context(cluster.node(gpus=2))
        driver = nodes.enter_context(Driver(folder, cluster=cluster, nap=0.8))
        settled("first", 0, 2)
        second = nodes.enter_context(cluster.node(gpus=1))
        settled("second", 2, 3)
        worker_killed_at = time.monotonic()
        os.kill(cluster.workers(second)[0], signal.SIGKILL)
        driver.wait(lambda events: greetings(events)[3:], "worker that starts again")
        raylet_killed_at = time.monotonic()
        cluster.kill_raylet(first)
        nodes.enter_context(cluster.node(gpus=2))
        settled("third", 4, 5)
        node_left_at = time.monotonic()
        cluster.remove(second)
        driver.wait(lambda events: given_again(events, node_left_at), "batches of the node that left, elsewhere")
        (folder / "hurry").touch()
        code, _ = driver.end()
        events = driver.events()
    return Story(code, events, rows_in(folder), whole, worker_killed_at, raylet_killed_at, node_left_at, actors)


def test_rows_are_those_of_an_undisturbed_run(story: Story) -> None:
    assert story.code == 4  # two points are limited
    pd.testing.assert_frame_equal(story.rows, story.whole, check_exact=True)


def test_every_gpu_has_one_worker(story: Story) -> None:
    """The first three have a device each, of two nodes; the one that was killed comes back on the one that it had."""
    *first, again = [(event["node"], event["device"]) for event in greetings(story.events)[:4]]
    assert first[0][0] == first[1][0] != first[2][0]
    assert [device for _, device in sorted(first[:2])] + [first[2][1]] == ["0", "1", "0"]
    assert again == first[2]


def test_what_dies_or_leaves_costs_its_batches_in_flight(story: Story) -> None:
    """Two calls in flight for each worker are all that is done again, and others get them within seconds."""
    times = [story.worker_killed_at, story.raylet_killed_at, story.node_left_at, float("inf")]
    given = [given_again(story.events, since, until) for since, until in pairwise(times)]
    assert min(map(len, given)) >= 1
    assert sum(map(len, given)) <= 2 + 4 + 2  # what one death costs may be noticed only after the next
    assert max(map(max, given)) < 10
    lost = [event["batch"] for event in story.events if event["event"] == "lost"]
    out = [event["batch"] for event in story.events if event["event"] == "out"]
    assert len(out) == len(set(out)) + len(lost)


def test_nodes_that_join_get_work(story: Story) -> None:
    for name in ("second", "third"):
        assert came_back_from(story.events, story.actors[name])


def test_the_driver_went_on_all_along(story: Story) -> None:
    """It commits every 0.3 s; a node that is gone does not hold it up."""
    told = [event["at"] for event in story.events if event["event"] == "told"]
    assert max(later - sooner for sooner, later in pairwise(told)) < 5


def test_a_node_that_computes_wrongly_is_named_and_left_out(tmp_path: Path, cluster: RayCluster) -> None:
    """Of two nodes with two processes each; the driver, on the head, tells which of them is right."""
    whole = sweep(tmp_path)
    with (
        cluster.node(cpus=2),
        cluster.node(cpus=2),
        Driver(tmp_path, "--audit", "0.4", "--backend", "numpy", cluster=cluster, nap=0.3) as driver,
    ):
        there = driver.wait(lambda events: len(greetings(events)) >= 4 and greetings(events), "workers")
        liar = next(event["node"] for event in there)
        (tmp_path / "liar").write_text(liar)
        driver.wait(lambda events: [event for event in events if event["event"] == "lie"], "lie")
        (tmp_path / "hurry").touch()
        found = ended(driver, tmp_path)
    assert found.code == 0
    pd.testing.assert_frame_equal(found.rows, whole, check_exact=True)
    told = re.search(
        r"run: audit: (\S+) \(\S+, process (\d+)\) computes wrongly and is left out with its node", found.err
    )
    assert told
    assert int(told[2]) in {event["pid"] for event in greetings(found.events, liar)}
    assert len(greetings(found.events, liar)) == 2  # none was started there again


@pytest.fixture(scope="module")
def room(cluster: RayCluster) -> Iterator[None]:
    """A node that the tests from here on share; before them, the cluster has only the nodes of each driver."""
    with cluster.node(cpus=1, gpus=2):
        yield


@pytest.mark.usefixtures("room")
def test_a_batch_that_kills_its_workers_is_given_up_and_fail_fast_stops(tmp_path: Path, cluster: RayCluster) -> None:
    whole = sweep(tmp_path)
    with Driver(tmp_path, "--fail-fast", cluster=cluster, kills=60, losses=2, nap=0.5) as driver:
        found = ended(driver, tmp_path)
    assert (found.code, found.said["stopped"]) == (1, "failure")
    points = [failure["point"] for failure in found.said["failures"]]
    assert (30, 60) in {(point["n_classes"], point["n_samples"]) for point in points}
    for failure in found.said["failures"]:
        assert failure["attempts"] == 2
        assert "its worker is gone" in failure["reason"]
    assert len(found.rows) < len(whole)
    assert is_part(found.rows, whole)


@pytest.mark.usefixtures("room")
def test_another_version_on_a_worker_is_refused(tmp_path: Path, cluster: RayCluster) -> None:
    sweep(tmp_path)
    with Driver(tmp_path, "--workers", "1", cluster=cluster, old=True) as driver:
        code, _ = driver.end()
        err = driver.err()
    assert code == 1
    assert "no worker can start: it has rmtsim 0.0.9, this is" in err
    assert "install the same on all nodes" in err
    assert "Traceback" not in err
    assert Store(tmp_path / "s").read().empty


@pytest.mark.usefixtures("room")
def test_workers_that_die_while_they_start_are_not_started_for_ever(tmp_path: Path, cluster: RayCluster) -> None:
    sweep(tmp_path)
    with Driver(tmp_path, "--workers", "1", cluster=cluster, stillborn=True, starts=3) as driver:
        code, _ = driver.end()
        err, events = driver.err(), driver.events()
    assert code == 1
    assert "no worker can start: 3 died one after the other while they started, the last one with the words: no" in err
    assert "Traceback" not in err
    assert sum(event["event"] == "stillborn" for event in events) == 3


@pytest.mark.usefixtures("room")
def test_gpus_without_cupy_are_left_for_numpy(tmp_path: Path, cluster: RayCluster) -> None:
    whole = sweep(tmp_path)
    with Driver(tmp_path, "--backend", "auto", cluster=cluster, bare=True) as driver:
        found = ended(driver, tmp_path)
    assert found.code == 0
    assert re.search(r"the cluster has GPUs, but CuPy is not installed .* there; takes NumPy, on its CPUs", found.err)
    pd.testing.assert_frame_equal(found.rows, whole, check_exact=True)
    assert set(Store(tmp_path / "s").read()["backend"]) == {"numpy"}


@pytest.mark.usefixtures("room")
def test_a_worker_that_is_stopped_in_mid_batch_is_ended(tmp_path: Path, cluster: RayCluster) -> None:
    """By SIGSTOP, as by a GPU or a file system that does not answer. Without a deadline the run would wait for ever."""
    whole = sweep(tmp_path)
    with Driver(tmp_path, "--backend", "cupy", cluster=cluster, nap=0.5) as driver:
        driver.wait(lambda events: len({e["actor"] for e in greetings(events)}) == 2, "two workers")
        hung = greetings(driver.events())[0]["actor"]
        driver.wait(lambda events: came_back_from(events, {hung}), "work from the first worker")
        process = next(event["pid"] for event in greetings(driver.events()) if event["actor"] == hung)
        handle = os.pidfd_open(process)
        os.kill(process, signal.SIGSTOP)
        (tmp_path / "hurry").touch()

        def nothing_but_what_hangs(events: Events) -> bool:
            """Whether all that is given out was given to the worker that is stopped, for ten commits already."""
            back = {event["batch"] for event in events if event["event"] == "back"}
            out = [event for event in events if event["event"] == "out" and event["batch"] not in back]
            last = max(k for k, event in enumerate(events) if event["event"] in ("out", "back"))
            quiet = sum(event["event"] == "told" for event in events[last:]) >= 10
            return quiet and {event["actor"] for event in out} == {hung}

        driver.wait(nothing_but_what_hangs, "run that waits for a worker that is stopped")  # the negative control
        (tmp_path / "deadline").write_text("3")
        found = ended(driver, tmp_path)
    assert found.code == 0
    assert f"process {process}, GPU " in found.err
    assert "hangs and is ended; draws " in found.err
    pd.testing.assert_frame_equal(found.rows, whole, check_exact=True)
    assert select.select([handle], [], [], 60)[0], "the process that hung is still there"  # readable once it has ended
    os.close(handle)
