"""What `plan` and `status` do for tables of experiments: those of training runs, and those that a figure shows."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from typing import Any

from rmtsim.arrays.threads import cores
from rmtsim.cli.exit_codes import DONE
from rmtsim.cli.printing import print_json, print_text
from rmtsim.cli.running import announce_change
from rmtsim.cli.sources import TableSource
from rmtsim.store import Store
from rmtsim.store.experiment_tables import SPEC, check_tables, count_tables, files_beside, specs
from rmtsim.text.sizes import format_bytes, format_flops, format_seconds
from rmtsim.text.tables import frame_table, records
from rmtsim.text.words import number_of


def plan_experiment(runs: TableSource, store: Store, arguments: argparse.Namespace) -> int:
    """Print what `run` would do: the tables, done or new, their work, time and memory."""
    from rmtsim.sweeps.resources import allocate_tables

    experiment = runs.experiment()
    missing, workers = experiment.missing(store), arguments.workers
    if arguments.memory is not None and missing:
        workers = allocate_tables([table.task for table in missing], workers, cores(), arguments.memory)
    table, summary, _ = runs.plan(experiment, {table.file for table in missing}, workers)
    announce_change(runs, store)
    if arguments.json:
        print_json({"summary": summary, "runs": records(table)})
        return DONE
    shown = {"flops": format_flops, "core_seconds": _seconds, "memory": format_bytes}
    text = table.assign(**{column: table[column].map(form) for column, form in shown.items() if column in table})
    print_text("\n".join([*frame_table(text), "", summary]), lines=True)
    return DONE


def _seconds(value: float) -> str:
    return format_seconds(value) if math.isfinite(value) else "-"


def experiment_status(store: Store) -> list[dict[str, Any]]:
    """Return for each experiment of a store the numbers of its tables, of those done, and of those begun.

    The numbers are None where an earlier version did not keep the names of the tables.

    Raises
    ------
    StoreError
        If a table is damaged, or is not the one that its name says.
    """
    found = []
    for name, document in specs(store).items():
        paths: list[str] = document["tables"] or []
        counts = count_tables(store, document)
        there = files_beside(store, paths)
        check_tables(store.files, [path for path in paths if path in there])
        found.append({"experiment": name, **counts._asdict()})
    return found


def status_line(row: Mapping[str, Any], store: Store) -> str:
    """Return the state of an experiment as a line of text."""
    if row["tables"] is None:
        where = store.files.where(f"experiments/{row['experiment']}/{SPEC}")
        return f"{row['experiment']}: {where} does not name its tables; run its spec again to go on with it"
    return f"{row['experiment']}: {number_of(row['tables'], 'table')}: {row['done']} done, {row['begun']} begun"
