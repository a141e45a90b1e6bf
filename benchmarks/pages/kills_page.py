"""The page on kills, from the results of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.report import Table, markdown

_NAMES = {
    "worker": "a worker",
    "raylet": "a raylet, with its 2 workers",
    "driver": "the driver",
    "driver, before": "the driver, before it wrote a shard",
    "driver, middle": "in the middle of a shard's bytes",
    "driver, written": "before the fsync of the file",
    "driver, synced": "between fsync and rename",
    "driver, renamed": "between rename and fsync of the directory",
    "driver, after": "after the commit, before it was reported",
}

_PAGE = """# Kills

*Written by `python -m benchmarks.pages` from what `python -m benchmarks --only kills` measured on {date}, on a machine
with {cores} cores ({processor}).*

A sweep ran on a Ray cluster of 2 nodes with 2 workers each, in batches of 0.3 s, and {kills} SIGKILLs came at random
moments in {seconds:.0f} s. The driver was started again after each of its {deaths} deaths, and a node whose raylet died
was replaced. At the end a last run finished the sweep. [What is promised](../explanation/durability.md).

**{verdict}**

After every kill the store was read. Counts of what must not be:

{must_not}

{kinds}

Lost are batches in flight (two for each worker) and those that had come back since the last commit; they were done
again: {again} of {batches}. Seconds pass from the kill until all of them were given out again. After the death of a
driver that is until the next one, started at once, gave out its first batch: most of it is the start of Ray and of four
workers on two cores.

## Nodes that go

One of two nodes goes, and Ray looks after its nodes as it does by default. The driver goes on; the other node gets the
batches, and the rows are the same.

{nodes}

All other workers have work meanwhile. Where a machine loses power, nothing answers and no connection closes, so the
time is that of Ray's health checks; a smaller `RAY_health_check_timeout_ms` in the nodes' environment shortens it.

Faults here are of processes and nodes: workers sleep for most of a batch, so that four of them fit on two cores. A
process that is killed leaves what it has written to the system, unlike a machine whose power fails.
"""


def page(record: Mapping[str, Any]) -> str:
    """Return the page; every number in it is of ``benchmarks/results.json``."""
    part = record["parts"]["kills"]
    by_kind, [total], nodes = (table["rows"] for table in part["tables"])
    bad = [target for target in part["targets"] if target["what"] != "kills"]
    same = (
        "The {rows:,} rows are those of an undisturbed run with threads, bit for bit: none is lost, none stands twice."
    )
    verdict = (
        same.format(**total) if all(target["met"] for target in bad) else "Something was lost: see the counts below."
    )
    order = sorted(by_kind, key=lambda row: list(_NAMES).index(row["kind"]))
    kinds = [{"SIGKILL to": _NAMES[row["kind"]], **_named(row)} for row in order]
    gone = [{"how": row["how"], **_named({**row, "kills": None})} for row in nodes]
    return _PAGE.format(
        date=record["date"],
        cores=record["machine"]["cores"],
        processor=record["machine"]["processor"],
        kills=total["kills"],
        seconds=total["seconds"],
        deaths=sum(row["kills"] for row in by_kind if row["kind"].startswith("driver")),
        verdict=verdict,
        must_not=markdown(Table("", [{target["what"]: target["value"] for target in bad}])),
        kinds=markdown(Table("", kinds)),
        again=total["batches_done_again"],
        batches=total["batches"],
        nodes=markdown(Table("", gone)),
    )


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    names = {
        "kills": "kills",
        "batches_lost": "batches lost",
        "most_at_once": "most at once",
        "median_s": "median seconds",
        "longest_s": "longest",
    }
    return {name: _short(row[key]) for key, name in names.items() if row.get(key) is not None}


def _short(value: Any) -> Any:
    return round(value, 1) if isinstance(value, float) else value
