"""The verbs of stores: verify, merge, compact and export."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rmtsim.cli.exit_codes import DONE, exit_code
from rmtsim.cli.printing import print_json, print_message, print_text
from rmtsim.cli.table_output import encoded
from rmtsim.errors import InputError
from rmtsim.files.output_files import check_output, write_output
from rmtsim.sampling.schema import EXPORTED_ID
from rmtsim.store import Store
from rmtsim.sweeps.selection import Selection
from rmtsim.text.words import number_of

if TYPE_CHECKING:
    from rmtsim.sweeps.experiment import Task

__all__ = ["compact", "export", "merge", "open_existing", "verify"]


def verify(arguments: argparse.Namespace) -> int:
    """Print the findings on a store; return 1 if anything is damaged."""
    from rmtsim.store.verify import verify as verified
    from rmtsim.sweeps.spec import requests_of

    store = open_existing(arguments.store)
    makers = _makers(store) if arguments.recompute else None
    report = verified(store, arguments.recompute, makers, requests_of)
    if arguments.json:
        print_json(report.document())
        return exit_code(failed=report.damage)
    for finding in report.findings:
        print_text(finding)
    for note in report.notes:
        print_message(note)
    made = f"; {number_of(report.recomputed, 'draw')} made again"
    made += f", {report.rounded} of them equal to rounding only, by another BLAS or version" if report.rounded else ""
    made += f", {report.skipped} left out, as there is no GPU here" if report.skipped else ""
    if report.tables_recomputed or report.tables_skipped:
        made += f"; {number_of(report.tables_recomputed, 'table')} of experiments made again"
        made += f", {report.tables_rounded} of them equal to rounding only, by another BLAS or version" * bool(
            report.tables_rounded
        )
        made += f", {report.tables_skipped} left out, as they cannot be compared here" * bool(report.tables_skipped)
    tables = f", {number_of(report.tables, 'table')} of experiments" if report.tables else ""
    size = f"{number_of(report.shards, 'shard')}, {number_of(report.rows, 'row')}{tables}"
    if arguments.recompute:
        size += made
    if report.damage:
        print_text(f"{size}: {number_of(len(report.damage), 'finding')}")
    elif report.satisfied < report.points:
        print_text(
            f"{size}: sound; {report.satisfied} of {number_of(report.points, 'point')} have the draws that their sweep "
            f"asks for at least, see `rmtsim status --store {store.quoted}`"
        )
    else:
        print_text(f"{size}: {'sound' if report.findings else 'all is well'}")
    return exit_code(failed=report.damage)


def _makers(store: Store) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return functions that make the tables of a store's experiments again, by the paths of the tables."""
    from rmtsim.arrays.threads import single_threaded_blas
    from rmtsim.cli.sources import stored_tasks

    def make(path: str, task: Task) -> pd.DataFrame:
        print_message(f"{path}: made again")
        with single_threaded_blas():
            return task.table()

    return {path: partial(make, path, task) for path, task in stored_tasks(store).items()}


def merge(arguments: argparse.Namespace) -> int:
    """Add the draws and tables of other stores to a store."""
    from rmtsim.store.merge import merge as merged
    from rmtsim.sweeps.spec import requests_of

    into = Store(arguments.store)
    found = merged(arguments.sources, into, requests_of)
    if not found.rows and not found.specs and not found.tables:
        print_message(f"{into.location}: nothing to do, all {number_of(found.known, 'row')} there")
    else:
        tables = f", {number_of(found.tables, 'table')} of experiments" if found.tables else ""
        added = f"{number_of(found.rows, 'row')} and {number_of(found.specs, 'spec')} added{tables}"
        print_message(f"{into.location}: {added}; {number_of(found.known, 'row')} there before")
    if found.rounded:
        rounded = number_of(found.rounded, "row")
        print_message(f"{into.location}: {rounded} there differ by rounding, made by another BLAS or version")
    return DONE


def compact(arguments: argparse.Namespace) -> int:
    """Join many small shards of a store into few large ones."""
    from rmtsim.store.compact import compact as compacted

    store = open_existing(arguments.store)
    done = compacted(store)
    if done.before == done.after and not done.dropped:
        print_message(f"{store.location}: nothing to do")
    else:
        copies = f", {number_of(done.dropped, 'repeated row')} dropped" if done.dropped else ""
        print_message(f"{store.location}: {number_of(done.before, 'shard')} into {done.after}{copies}")
    return DONE


def export(arguments: argparse.Namespace) -> int:
    """Write a table with means and standard errors of the selected draws."""
    check_output(arguments.out)
    out = Path(arguments.out)
    selection, store = Selection.of(arguments.where, arguments.sweep, arguments.seed), open_existing(arguments.store)
    table = selection.summary(store, print_message)
    if out.suffix != ".parquet":  # which alone keeps types, and so plain identities
        table = table.assign(point_id=EXPORTED_ID + table["point_id"])
    write_output(out, encoded(table, out))
    print_message(f"{out}: {number_of(len(table), 'row')}")
    return DONE


def open_existing(location: str) -> Store:
    """Return the store at a location; raise InputError if there is none."""
    store = Store(location)
    if why := store.absence():
        raise InputError(f"--store: {why}; give a store that `rmtsim run` wrote")
    return store
