"""SIGKILL to workers, nodes and drivers of a sweep, again and again: what is lost, and how long it takes to go on."""

from __future__ import annotations

import random
import statistics
import tempfile
from pathlib import Path

from benchmarks import leaving
from benchmarks.report import Part, Row, Table, Target
from harness.cluster import QUICK_HEALTH_CHECKS, RayCluster
from harness.driver_process import STEPS
from harness.kills import NODES, Kill, loop
from harness.specs import SMALL

#: Workers on each node: the machine may have fewer cores, but workers sleep most of the time.
_WORKERS = 2


def run(quick: bool) -> Part:
    """Kill, and hold the rows against those of a run that no one disturbed."""
    kinds = plan(random.Random(0), lives=2 if quick else 24)
    with tempfile.TemporaryDirectory() as folder, RayCluster(QUICK_HEALTH_CHECKS) as cluster:
        toll = loop(Path(folder), cluster, kinds, random.Random(1), _WORKERS, 0.09 if quick else 0.03)
    with tempfile.TemporaryDirectory() as folder, RayCluster(QUICK_HEALTH_CHECKS if quick else {}) as cluster:
        goings = leaving.ways(Path(folder), cluster, SMALL.format(max_draws=4000, target_rse=0.09 if quick else 0.05))
    about = (
        f"A sweep on a Ray cluster of {NODES} nodes with {_WORKERS} workers each on this machine, batches of 0.3 s; "
        "the driver is started again after each of its deaths, a node whose raylet died is replaced. After "
        "every kill the store is read and held against the rows of an undisturbed run with threads, and against what "
        "the driver had reported as committed. Lost are batches in flight, and those that had come back and were not "
        "committed; seconds pass from the kill until all of them were given out again, or until the next driver gives "
        "out its first batch. There, Ray looks after its nodes every half a second; where nodes go, as by default."
    )
    totals = {
        "batches": toll.batches,
        "rows": toll.rows,
        "kills": len(toll.kills),
        "batches_done_again": sum(kill.lost for kill in toll.kills),
        "seconds": toll.seconds,
    }
    bad = ("unreadable", "foreign", "reported_and_gone", "rows_lost", "rows_twice")
    targets = [Target(name.replace("_", " "), getattr(toll, name), 0) for name in bad]
    enough = Target("kills", len(toll.kills), 60, at_most=False)
    return Part(
        about,
        [Table("Kills by kind", _by_kind(toll.kills)), Table("In all", [totals]), Table("Nodes that go", goings)],
        targets if quick else [*targets, enough],
    )


def plan(rng: random.Random, lives: int) -> list[list[str]]:
    """Return the kills of each life of the driver; the last one ends it, by a signal or in a step of a commit."""
    ends = [name for pair in zip(["driver"] * lives, list(STEPS) * lives, strict=False) for name in pair][:lives]
    others = [["worker", "raylet"], ["worker"], ["worker", "worker"]]
    kinds = [[*others[k % len(others)], end] for k, end in enumerate(ends)]
    for life in kinds:
        life[:-1] = rng.sample(life[:-1], len(life) - 1)
    return kinds


def _by_kind(kills: list[Kill]) -> list[Row]:
    rows = []
    for kind in sorted({kill.kind for kill in kills}):
        of_kind = [kill for kill in kills if kill.kind == kind]
        seconds = [kill.seconds for kill in of_kind if kill.seconds is not None]
        rows.append(
            {
                "kind": kind,
                "kills": len(of_kind),
                "batches_lost": sum(kill.lost for kill in of_kind),
                "most_at_once": max(kill.lost for kill in of_kind),
                "median_s": statistics.median(seconds) if seconds else None,
                "longest_s": max(seconds, default=None),
            }
        )
    return rows
