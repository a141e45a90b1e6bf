"""Run a sweep or the tables of an experiment for a verb: progress on stderr, then how it ended."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rmtsim.cli.exit_codes import exit_code
from rmtsim.cli.printing import print_json, print_message
from rmtsim.cli.sources import TableSource
from rmtsim.errors import InputError
from rmtsim.store import Store
from rmtsim.store.experiment_tables import spec_of

if TYPE_CHECKING:
    from rmtsim.sweeps.display import ProgressDisplay
    from rmtsim.sweeps.runner import Outcome
    from rmtsim.sweeps.spec import Spec
    from rmtsim.sweeps.state import PointState
    from rmtsim.sweeps.table_runner import TableOutcome


@dataclass(frozen=True)
class RunOptions:
    """Where and how to run, as the verbs `run` and `reproduce` are given it."""

    address: str = "local"
    backend: str = "auto"
    workers: int | None = None
    memory: float | None = None
    time_limit: float = math.inf
    fail_fast: bool = False
    audit: float = 0.0

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> RunOptions:
        """Return the options of a command line."""
        limit = math.inf if arguments.time_limit is None else arguments.time_limit
        return cls(
            arguments.address,
            arguments.backend,
            arguments.workers,
            arguments.memory,
            limit,
            arguments.fail_fast,
            vars(arguments).get("audit", 0.0),  # which reproduce has not
        )


def check_options(options: RunOptions, source: Spec | TableSource | None = None) -> None:
    """Raise InputError for a place or a backend that cannot be had, before anything is planned or computed there."""
    from rmtsim.sweeps.executors import check_place
    from rmtsim.sweeps.spec import Spec

    if source is not None and not isinstance(source, Spec):
        source.backend(options.backend, options.address)
    check_place(options.address, options.backend)
    if options.audit:
        from rmtsim.sweeps.audit import check_audit

        if source is not None and not isinstance(source, Spec):
            raise InputError(f"audit: {source.name} is made of tables; batches of sweeps alone can be audited")
        check_audit(options.audit, options.address, options.workers)


def run_source(
    source: Spec | TableSource, store: Store, options: RunOptions, *, as_json: bool = False, long: bool = False
) -> Outcome | TableOutcome:
    """Run or resume a sweep, or the tables of an experiment; print how it ended, and with ``long`` if it takes long."""
    from rmtsim.sweeps.display import ProgressDisplay
    from rmtsim.sweeps.spec import Spec

    with ProgressDisplay(source.name, as_json=as_json) as display:
        outcome: Outcome | TableOutcome
        if isinstance(source, Spec):
            outcome = sweep = _run_sweep(source, store, options, display, long)
            said = sweep.sentence("rmtsim status", "rmtsim status")
        else:
            outcome = _run_tables(source, store, options, display, long)
            said = str(outcome)
    if as_json:
        print_json(outcome.document() | {"exit_code": outcome_code(outcome)})
    else:
        print_message(f"{source.name}: {said}")
    return outcome


def outcome_code(outcome: Outcome | TableOutcome) -> int:
    """Return the exit code for how a run ended."""
    return exit_code(failed=outcome.failures, unfinished=outcome.unfinished, limited=outcome.limited)


def _shared_arguments(options: RunOptions, display: ProgressDisplay) -> dict[str, Any]:
    """Return the arguments that runs of sweeps and of tables have in common."""
    return {
        "address": options.address,
        "workers": options.workers,
        "memory": options.memory,
        "time_limit": options.time_limit,
        "fail_fast": options.fail_fast,
        "on_progress": display.update,
        "on_message": display.say,
    }


def _run_sweep(spec: Spec, store: Store, options: RunOptions, display: ProgressDisplay, long: bool) -> Outcome:
    from rmtsim.sweeps import runner
    from rmtsim.sweeps.executors import THIS_MACHINE
    from rmtsim.sweeps.plan import long_run

    def announce(states: list[PointState]) -> None:
        if found := long_run(spec, states, options.memory, options.workers):
            display.say(f"{found}; `rmtsim plan` shows it for every point")

    return runner.run(
        spec,
        store,
        backend=options.backend,
        on_states=announce if long and options.address in THIS_MACHINE else None,
        audit=options.audit,
        **_shared_arguments(options, display),
    )


def _run_tables(
    runs: TableSource, store: Store, options: RunOptions, display: ProgressDisplay, long: bool
) -> TableOutcome:
    from rmtsim.sweeps import table_runner

    if long:
        _announce_tables(runs, store, options)
    backend = runs.backend(options.backend, options.address)
    return table_runner.run_tables(
        runs.experiment(backend),
        store,
        spec=runs.document,
        backend=backend,
        **_shared_arguments(options, display),
    )


def _announce_tables(runs: TableSource, store: Store, options: RunOptions) -> None:
    """Print how long tables will take where that is hours or days, on a machine whose speed is known: this one."""
    from rmtsim.sweeps.executors import THIS_MACHINE
    from rmtsim.sweeps.plan import LONG_SECONDS

    if options.address not in THIS_MACHINE:
        return
    experiment = runs.experiment(runs.backend(options.backend, options.address))
    if missing := {table.file for table in experiment.missing(store)}:
        _, summary, seconds = runs.plan(experiment, missing, options.workers)
        if LONG_SECONDS <= seconds < math.inf:
            print_message(summary)


def announce_change(source: Spec | TableSource, store: Store) -> None:
    """Print what differs where the store has another spec of this name: results stay, but `status` follows the last."""
    from rmtsim.sweeps.spec import Spec

    stored: Mapping[str, Any] | None
    if isinstance(source, Spec):
        new: Mapping[str, Any] = source.document()
        stored = next((document for document in store.specs() if document["name"] == source.name), None)
    else:
        new, kept = source.document, spec_of(store, source.name)
        stored = kept and kept["spec"]
    changed = sorted(key for key in {*stored, *new} if stored.get(key) != new.get(key)) if stored is not None else []
    if changed:
        differs = f"the store has a spec of this name that differs in {', '.join(changed)}"
        print_message(f"{source.name}: {differs}; a run puts this one in its place")
