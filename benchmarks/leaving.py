"""How long a sweep lacks what a node had in flight when it leaves, dies or vanishes; with Ray's own settings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import Row
from harness.cluster import RayCluster
from harness.driver import Driver, Events, given_again, rows_in
from rmtsim.store import Store
from rmtsim.sweeps.runner import run as run_sweep
from rmtsim.sweeps.spec import load


def ways(folder: Path, cluster: RayCluster, spec: str) -> list[Row]:
    """Have one of two nodes go in each way during a sweep, another one taking its place; check the rows at the end."""
    (folder / "spec.toml").write_text(spec)
    run_sweep(load(str(folder / "spec.toml")), Store(folder / "whole"), workers=2, backend="numpy")
    goings: dict[str, Callable[[int], None]] = {
        "it leaves in good order": cluster.remove,
        "SIGKILL to its raylet": cluster.kill_raylet,
        "its machine loses power": cluster.freeze,
    }
    rows: list[Row] = []
    stays = cluster.add(2)
    with Driver(folder, cluster=cluster, nap=0.3) as driver:
        for how, go in goings.items():
            node = cluster.add(2)
            driver.wait(lambda events: _working(events, 4), "four workers")
            time.sleep(1.0)
            since = time.monotonic()
            go(node)
            again = driver.wait(lambda events, since=since: given_again(events, since), "lost batches")
            time.sleep(1.0)  # for those that are noticed later
            again = given_again(driver.events(), since) or again
            rows.append(
                {
                    "how": how,
                    "batches_lost": len(again),
                    "median_s": statistics.median(again),
                    "longest_s": max(again),
                }
            )
            if go == cluster.freeze:
                cluster.bury(node)
        (folder / "hurry").touch()
        if driver.end()[0]:
            raise RuntimeError(driver.err()[-2000:])
    cluster.remove(stays)
    if not rows_in(folder).equals(Store(folder / "whole").read().drop(columns="backend")):
        raise RuntimeError("the rows are not those of an undisturbed run")
    return rows


def _working(events: Events, count: int) -> bool:
    told = [event["workers"] for event in events if event["event"] == "told"]
    return bool(told) and told[-1] >= count
