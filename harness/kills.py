"""SIGKILL to the workers, nodes and drivers of a sweep, again and again; after each, its store is checked."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from harness.cluster import RayCluster
from harness.driver import Driver, is_part, rows_in
from harness.specs import SMALL
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store
from rmtsim.sweeps.runner import run as run_sweep
from rmtsim.sweeps.spec import load

#: How many nodes there are at a time.
NODES = 2


@dataclass
class Kill:
    """A SIGKILL: of a worker, a raylet, a driver, or a driver in a step of a commit; and what it cost.

    ``lost`` are batches that were in flight, or came back but were not committed; ``seconds`` pass until all of them
    were given out again (None where there were none).
    """

    kind: str
    at: float
    lost: int = 0
    seconds: float | None = None


@dataclass
class Toll:
    """What a kill loop found."""

    kills: list[Kill] = field(default_factory=list)
    batches: int = 0
    rows: int = 0
    unreadable: int = 0
    foreign: int = 0
    reported_and_gone: int = 0
    rows_lost: int = 0
    rows_twice: int = 0
    seconds: float = 0.0


def loop(
    folder: Path,
    cluster: RayCluster,
    lives: list[list[str]],
    rng: random.Random,
    workers: int,
    target_rse: float,
    max_draws: int = 4000,
) -> Toll:
    """Kill as each life of the driver prescribes, on nodes of a given number of workers; a last driver finishes."""
    (folder / "spec.toml").write_text(SMALL.format(max_draws=max_draws, target_rse=target_rse))
    outcome = run_sweep(load(str(folder / "spec.toml")), Store(folder / "whole"), workers=2, backend="numpy")
    whole = Store(folder / "whole").read().drop(columns="backend")
    toll, start = Toll(), time.monotonic()
    with ExitStack() as stack:
        nodes = _Nodes(cluster, stack, workers)
        stored = rows_in(folder)
        for life in lives:
            stored = _life(folder, nodes, life, rng, toll, stored, whole)
        (folder / "hurry").touch()
        _finish(folder, cluster, toll, 4 if outcome.limited else 0)
    toll.seconds = time.monotonic() - start
    keys = pd.read_parquet(folder / "s" / "draws", columns=KEY)  # as others see it, not through our own reader
    toll.rows, toll.rows_twice = len(keys), int(keys.duplicated().sum())
    toll.rows_lost = len(whole) - len(whole.merge(keys.drop_duplicates(), on=KEY))
    toll.foreign += not rows_in(folder).equals(whole)
    return toll


class _Nodes:
    """The nodes of the cluster; one that is killed is replaced by a new one."""

    def __init__(self, cluster: RayCluster, stack: ExitStack, workers: int) -> None:
        self.cluster, self._stack, self._workers = cluster, stack, workers
        self._nodes = [self._add() for _ in range(NODES)]

    def kill(self, kind: str, rng: random.Random) -> tuple[Kill, set[int]]:
        """Send a SIGKILL to a worker or a raylet; return it with the workers that it costs."""
        k = rng.randrange(NODES)
        while not (pids := self.cluster.workers(self._nodes[k])) and kind == "worker":
            time.sleep(0.05)
        kill = Kill(kind, time.monotonic())
        if kind == "worker":
            pids = [rng.choice(pids)]
            os.kill(pids[0], signal.SIGKILL)
        else:
            self.cluster.kill_raylet(self._nodes[k])
            self._nodes[k] = self._add()
        return kill, set(pids)

    def _add(self) -> int:
        return self._stack.enter_context(self.cluster.node(self._workers))


def _finish(folder: Path, cluster: RayCluster, toll: Toll, expected: int) -> None:
    """Run the sweep to its end."""
    with Driver(folder, cluster=cluster) as driver:
        _resumed(driver, toll)
        code, _ = driver.end()
        if code != expected:
            raise RuntimeError(f"the last run ended with exit code {code}: {driver.err()[-2000:]}")
        toll.batches += sum(event["event"] == "back" for event in driver.events())


def _life(
    folder: Path,
    nodes: _Nodes,
    kinds: list[str],
    rng: random.Random,
    toll: Toll,
    stored: pd.DataFrame,
    whole: pd.DataFrame,
) -> pd.DataFrame:
    """Start a driver, kill as its life prescribes, the driver at last; return what is stored then."""
    *others, end = kinds
    (folder / "armed").unlink(missing_ok=True)
    with Driver(folder, cluster=nodes.cluster, nap=0.3, die=end) as driver:
        _resumed(driver, toll)
        kills = []
        for kind in others:
            driver.wait(lambda events: any(event["event"] == "back" for event in events), "first result")
            time.sleep(rng.uniform(0, 1.5))
            kills.append(nodes.kill(kind, rng))
            _check(folder, stored, whole, toll)
        driver.wait(lambda events: [event for event in events if event["event"] == "back"][5:], "results")
        time.sleep(rng.uniform(0, 1.0))
        at = time.monotonic()
        if end == "driver":
            driver.process.kill()
        else:
            (folder / "armed").touch()
        if driver.end()[0] != -signal.SIGKILL:
            raise RuntimeError(f"the driver was not killed, its sweep had ended: {driver.err()[-2000:]}")
        events, reported = driver.events(), driver.reported()
    now = _check(folder, stored, whole, toll)
    new = len(now[KEY[:3]].drop_duplicates()) - len(stored[KEY[:3]].drop_duplicates())
    toll.reported_and_gone += max(0, reported - new)
    toll.batches += sum(event["event"] == "back" for event in events)
    for kill, pids in kills:
        _price(kill, pids, events)
    death = Kill("driver" if end == "driver" else f"driver, {end}", max([at, *(event["at"] for event in events)]))
    death.lost = _uncommitted(events, now)
    toll.kills += [*(kill for kill, _ in kills), death]
    return now


def _check(folder: Path, stored: pd.DataFrame, whole: pd.DataFrame, toll: Toll) -> pd.DataFrame:
    """Read the store; take note of rows that are none of the sweep's, and of those that were there and are gone."""
    try:
        rows = rows_in(folder)
    except Exception:  # whatever it is, it is what this loop is to find
        toll.unreadable += 1
        return stored
    toll.foreign += not is_part(rows, whole)
    toll.reported_and_gone += len(stored) - len(stored.merge(rows, on=KEY))
    return rows


def _resumed(driver: Driver, toll: Toll) -> None:
    """Take note of when work goes on after the death of a driver."""
    if toll.kills:
        out = driver.wait(lambda events: [event for event in events if event["event"] == "out"], "batches")
        toll.kills[-1].seconds = out[0]["at"] - toll.kills[-1].at


def _price(kill: Kill, pids: set[int], events: list[dict[str, Any]]) -> None:
    """Take note of the batches that were lost with these workers, and of when they were all given out again."""
    actors = {event["actor"] for event in events if event.get("pid") in pids and event["at"] < kill.at}
    lost = dict(_lost(events, lambda out: out["actor"] in actors and out["at"] < kill.at))
    after = {batch: at for batch, at in lost.items() if at >= kill.at}
    kill.lost = len(after)
    again = [
        min((e["at"] for e in events if e["event"] == "out" and e["batch"] == batch and e["at"] >= at), default=None)
        for batch, at in after.items()
    ]
    if again and None not in again:  # else the driver died before
        kill.seconds = max(at - kill.at for at in again if at is not None)


def _lost(events: list[dict[str, Any]], given: Callable[[dict[str, Any]], bool]) -> Iterator[tuple[str, float]]:
    """Batches that were lost by those they were given to, and when."""
    last: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["event"] == "out":
            last[event["batch"]] = event
        elif event["event"] == "lost" and given(last[event["batch"]]):
            yield event["batch"], event["at"]


def _uncommitted(events: list[dict[str, Any]], rows: pd.DataFrame) -> int:
    """Batches that were given out and whose draws are not stored."""
    stored = set(zip(rows["point_id"], rows["draw"], strict=True))
    out = {event["batch"] for event in events if event["event"] == "out"}
    return sum((point, int(first)) not in stored for point, first, _ in map(str.split, out))
