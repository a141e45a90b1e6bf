"""What `plan`, `run` and `status` do for tables of experiments: of training runs, and of what a figure shows."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping
from itertools import count
from typing import Any

from rmtsim.arrays.backend import get_backend
from rmtsim.cli.exit_codes import DONE, exit_code
from rmtsim.cli.printing import print_json, print_message, print_text
from rmtsim.cli.sources import Runs
from rmtsim.errors import InputError
from rmtsim.store import Store
from rmtsim.store.experiment_tables import SPEC, check_tables, files_beside, spec_of, specs, write_spec
from rmtsim.store.saved_files import saved_prefix
from rmtsim.sweeps.experiment import Experiment, table_file
from rmtsim.text.sizes import format_bytes, format_flops, format_seconds
from rmtsim.text.tables import records
from rmtsim.text.words import number_of


def plan_experiment(runs: Runs, store: Store, arguments: argparse.Namespace) -> int:
    """Print what `run` would do: the tables, done or new, their work, time and memory."""
    _check_memory(runs, arguments.memory)
    experiment = runs.experiment()
    missing = {table_file(task) for task in experiment.missing(store)}
    table, summary, _ = runs.plan(experiment, missing, arguments.workers)
    _say_if_replaced(runs, store)
    if arguments.json:
        print_json({"summary": summary, "runs": records(table)})
        return DONE
    shown = {"flops": format_flops, "core_seconds": _seconds, "memory": format_bytes}
    text = table.assign(**{column: table[column].map(form) for column, form in shown.items() if column in table})
    print_text(f"{text.to_string(index=False)}\n\n{summary}", lines=True)
    return DONE


def _seconds(value: float) -> str:
    return format_seconds(value) if math.isfinite(value) else "-"


def run_experiment(runs: Runs, store: Store, arguments: argparse.Namespace) -> int:
    """Compute what is missing; return the exit code for how it ended."""
    from rmtsim.sweeps import experiment_runner
    from rmtsim.sweeps.executors import THIS_MACHINE

    _check_memory(runs, arguments.memory)
    backend = runs.backend(arguments.backend, arguments.address)
    experiment = runs.experiment(backend)
    missing, done, made = experiment.missing(store), count(1), experiment_runner.Made()
    document = {"spec": runs.document, "tables": experiment.paths()}
    _say_if_replaced(runs, store)
    if missing and arguments.address in THIS_MACHINE:
        _say_if_long(runs, experiment, {table_file(task) for task in missing}, arguments.workers)
    if missing or document != spec_of(store, runs.name):
        start = time.monotonic()
        limit = math.inf if arguments.time_limit is None else arguments.time_limit
        made = experiment_runner.run_experiment(
            experiment,
            store,
            prepare=lambda writer: write_spec(writer, runs.name, document),
            address=arguments.address,
            workers=arguments.workers,
            gpu=get_backend(backend).needs_gpu,
            done=lambda task: print_message(f"{runs.name}: {task.label} done, {next(done)} of {len(missing)}"),
            stopping=lambda: time.monotonic() - start > limit,
            fail_fast=arguments.fail_fast,
        )
    code = exit_code(failed=made.failures, unfinished=made.tables < made.missing)
    _tell(runs.name, made, code, as_json=arguments.json)
    return code


def _say_if_long(runs: Runs, experiment: Experiment, missing: set[str], workers: int | None) -> None:
    """Say how long the tables will take, where that is hours or days."""
    from rmtsim.sweeps.plan import LONG_SECONDS

    _, summary, seconds = runs.plan(experiment, missing, workers)
    if LONG_SECONDS <= seconds < math.inf:
        print_message(summary)


def _tell(name: str, made: Any, code: int, as_json: bool) -> None:
    for label, why in made.failures:
        print_message(f"{name}: {label} failed: {why}")
    outcome = {
        "name": name,
        "tables": made.tables,
        "missing": made.missing - made.tables,
        "failures": [{"run": label, "reason": why} for label, why in made.failures],
        "stopped": made.stopped,
        "exit_code": code,
    }
    if as_json:
        print_json(outcome)
    else:
        print_message(
            made.stopped or f"{name}: {number_of(made.tables, 'new table')}"
            if made.missing
            else f"{name}: nothing to do"
        )


def experiment_status(store: Store) -> list[dict[str, Any]]:
    """Return, for each name that experiments were run under, its tables, how many are done, and those begun.

    Where an earlier version did not keep the names of the tables, the counts are None.

    Raises
    ------
    StoreError
        If a table is damaged, or not the one that its name says.
    """
    found = []
    for name, document in specs(store).items():
        paths: list[str] | None = document["tables"]
        counts: dict[str, int | None] = dict.fromkeys(("tables", "done", "begun"))
        if paths is not None:
            there = files_beside(store, paths)
            check_tables(store.files, [path for path in paths if path in there])
            prefixes = {f"{path.rpartition('.')[0]}." for path in there}
            missing = [path for path in paths if path not in there]
            begun = sum(_saved(path) in prefixes for path in missing)
            counts = {"tables": len(paths), "done": len(paths) - len(missing), "begun": begun}
        found.append({"experiment": name, **counts})
    return found


def _saved(path: str) -> str:
    """Return how the paths begin of what a task saves before its table is there."""
    folder, _, file = path.rpartition("/")
    return f"{folder}/{saved_prefix(file)}"


def status_line(row: Mapping[str, Any], store: Store) -> str:
    """Tell the state of an experiment."""
    if row["tables"] is None:
        where = store.files.where(f"experiments/{row['experiment']}/{SPEC}")
        return f"{row['experiment']}: {where} does not name its tables; run its spec again to go on with it"
    return f"{row['experiment']}: {number_of(row['tables'], 'table')}: {row['done']} done, {row['begun']} begun"


def _check_memory(runs: Runs, memory: float | None) -> None:
    if memory is not None:
        raise InputError(f"--memory: the tables of {runs.name} are not made in pieces; leave it out")


def _say_if_replaced(runs: Runs, store: Store) -> None:
    stored = spec_of(store, runs.name)
    if stored is not None:
        say_if_changed(runs.name, stored["spec"], runs.document)


def say_if_changed(name: str, stored: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Say that a spec takes the place of another: what was computed stays, but `status` follows the last one."""
    changed = sorted(key for key in {*stored, *new} if stored.get(key) != new.get(key))
    if changed:
        print_message(
            f"{name}: the store has a spec of this name that differs in {', '.join(changed)}; this one replaces it"
        )
