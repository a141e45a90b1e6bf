"""The verbs of sweeps: plan, run, status and fit."""

from __future__ import annotations

import argparse
import textwrap
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from rmtsim.cli import sources
from rmtsim.cli.exit_codes import DONE, exit_code
from rmtsim.cli.experiment_verbs import (
    experiment_status,
    plan_experiment,
    status_line,
)
from rmtsim.cli.printing import line_width, print_json, print_message, print_sentence, print_text
from rmtsim.cli.running import RunOptions, announce_change, check_options, outcome_code, run_source
from rmtsim.cli.store_verbs import open_existing
from rmtsim.cli.theory_progress import show_theory_progress
from rmtsim.errors import InputError
from rmtsim.model.point import format_sizes
from rmtsim.store import Store
from rmtsim.store.compact import MANY
from rmtsim.store.presence import who_writes
from rmtsim.sweeps.selection import Selection
from rmtsim.text.sizes import about, format_bytes, format_count, format_flops, format_seconds, format_share
from rmtsim.text.tables import WIDTH, frame_table, records
from rmtsim.text.words import number_of

if TYPE_CHECKING:
    import pandas as pd

    from rmtsim.sweeps.spec import Spec
    from rmtsim.sweeps.watch import Chosen

__all__ = ["fit", "plan", "run", "status"]

#: Seconds between two looks of a watch.
_EVERY = 5.0

#: Most points of a sweep of which `status` says more than their number.
_POINTS = 100

#: How much longer a compaction of small shards takes than a look at them: it reads them twice, once with all columns.
_COMPACTION = 3.0


def plan(arguments: argparse.Namespace) -> int:
    """Print what a run of a sweep or an experiment would do."""
    from rmtsim.sweeps import plan as plans
    from rmtsim.sweeps.missing_blocks import without_off_diagonal
    from rmtsim.sweeps.spec import Spec

    spec, store = sources.load(arguments.spec, arguments.full), Store(arguments.store)
    if not isinstance(spec, Spec):
        return plan_experiment(spec, store, arguments)
    table = plans.plan(spec, store, arguments.memory, arguments.workers)
    announce_change(spec, store)
    notes = [*without_off_diagonal(spec.points(), spec.layers), *_without_theory(spec)]
    if arguments.json:
        said = {"summary": plans.summary(spec, table), "notes": notes}
        print_json({**said, **plans.total(table).document(), "points": records(table)})
        return DONE
    ends = {
        name: zip(table[f"{name}_low"], table[f"{name}_high"], strict=True) for name in ("more_draws", "core_seconds")
    }
    names = {"n_classes": "C", "dim": "d", "n_samples": "N", "width": "m"}
    of_point = [*(name for name in names if table[name].notna().any()), "state", "why", "draws"]
    shown = table[of_point].assign(
        more_draws=[plans.span(*pair, format_count) for pair in ends["more_draws"]],
        max_draws=table["max_draws"].map(format_count),
        per_draw=table["flops_per_draw"].map(format_flops),
        core_time=[plans.span(*pair, format_seconds) if pair[1] else "-" for pair in ends["core_seconds"]],
        memory_per_worker=table["memory"].map(format_bytes),
    )
    width = line_width()
    spare = (["max_draws"], ["per_draw"], ["memory_per_worker"], ["why"])
    print_text("\n".join(frame_table(shown.rename(columns=names), width=width, spare=spare)), lines=True)
    for sentence in (*notes, plans.summary(spec, table)):
        print_text(f"\n{textwrap.fill(sentence, width)}", lines=True)
    return DONE


def _without_theory(spec: Spec) -> list[str]:
    """Return sentences on points that the theory does not cover, so that fits and figures will show draws alone."""
    from rmtsim.theory import why_no_theory

    points = spec.points()
    reasons = Counter(why for point in points if (why := why_no_theory(point, spec.layers)))
    return [f"no theory for {count} of {number_of(len(points), 'point')}: {why}" for why, count in reasons.items()]


def run(arguments: argparse.Namespace) -> int:
    """Run a sweep or an experiment; return the exit code for how it ended."""
    options = RunOptions.of(arguments)
    source, store = sources.load(arguments.spec, arguments.full), Store(arguments.store)
    check_options(options, source)
    announce_change(source, store)
    return outcome_code(run_source(source, store, options, as_json=arguments.json, long=True))


def status(arguments: argparse.Namespace) -> int:
    """Print the state of points and experiments in a store; return 3 if any is unfinished, 4 if any is limited."""
    from rmtsim.sweeps.stored_points import StoredPoints, Unnamed
    from rmtsim.sweeps.watch import Chosen, core_hours

    if arguments.every is not None and not arguments.watch:
        raise InputError("--every is the time between two looks of --watch; give --watch, too, or leave it out")
    store = open_existing(arguments.store)
    chosen = Chosen(arguments.model or (), arguments.classes or (), arguments.state or ())
    if arguments.watch:
        return _watch(store, chosen, arguments)
    stored = StoredPoints(store)
    stored.refresh()
    table, experiments, unnamed = stored.table(), experiment_status(store), stored.unnamed()
    if table.empty and not experiments and not unnamed.draws:
        raise InputError(f"--store: no sweep was run into {store.location}; run one, or name another directory")
    if chosen:  # points
        table = chosen.in_state(chosen.points(table, store.location))
        experiments, unnamed = [], Unnamed(0, 0)
    writer = None if set(table.get("state", ())) <= {"done"} and not experiments else who_writes(store.files)
    lacking = any(row["tables"] is None or row["done"] < row["tables"] for row in experiments)
    code = _status_code(table, lacking)
    if arguments.json:
        document = {"complete": code == DONE, "exit_code": code, "writer": writer and writer._asdict()}
        print_json({**document, "points": records(table), "experiments": experiments, "unnamed": unnamed._asdict()})
        return code
    if writer:
        print_sentence(f"{store.location} is being written by {writer}; it goes on by itself")
    for row in experiments:
        print_sentence(status_line(row, store))
    if chosen and table.empty:
        print_sentence(f"no such point is {' or '.join(chosen.states)}")
    for sweep, part in table.groupby("sweep", sort=False) if len(table) else ():
        states = ", ".join(f"{count} {state}" for state, count in part["state"].value_counts().items())
        spent = f"{number_of(int(part['draws'].sum()), 'draw')}; {core_hours(part)}"
        print_sentence(f"{sweep}: {number_of(len(part), 'point')}: {states}; {spent}")
        told = part[(part["state"] != "done") | (part["warning"] != "")]
        for row in records(told.head(_POINTS)):
            if row["state"] != "done":
                print_sentence(f"  {_status_line(row, 'at work' if writer else 'run again to go on')}")
            if row["state"] in ("done", "limited") and row["warning"]:
                print_sentence(f"  {_sizes(row)}: {row['warning']}")
        if (more := len(told) - _POINTS) > 0:
            print_sentence(
                f"  … and {number_of(more, 'point')} more; --model, --classes and --state choose, --json has all"
            )
    if unnamed.draws:
        print_sentence(
            f"beside these: {number_of(unnamed.draws, 'draw')} of {number_of(unnamed.points, 'point')} that no spec in "
            "the store asks for; fit, figure and export take them too, unless --sweep NAME leaves them out"
        )
    if stored.small_shards > MANY and not writer:  # a writer joins them itself
        print_sentence(
            f"{format_count(stored.small_shards)} small shards make every look slow, this one by "
            f"{format_seconds(stored.seconds)}: `rmtsim compact --store {store.quoted}` joins them into few, in about "
            f"{format_seconds(_COMPACTION * stored.seconds)}"
        )
    return code


def _status_code(table: pd.DataFrame, lacking: bool = False) -> int:
    """Return 3 if a point wants more draws or a table is lacking, 4 if a point is limited, else 0."""
    found = set(table.get("state", ()))
    return exit_code(unfinished=lacking or found & {"new", "partial"}, limited="limited" in found)


def _watch(store: Store, chosen: Chosen, arguments: argparse.Namespace) -> int:
    """Show the chosen points again and again, until none of their models and classes wants more draws."""
    from rmtsim.sweeps.watch import StoreWatch
    from rmtsim.sweeps.watch_display import WatchDisplay

    every = arguments.every or _EVERY
    with WatchDisplay(store.location, every, as_json=arguments.json) as display:
        for look in StoreWatch(store, chosen).looks(every, time.sleep, print_message):
            display.show(look)
    return _status_code(look.points)


def _sizes(row: dict[str, Any]) -> str:
    return format_sizes(row["n_classes"], row["dim"], row["n_samples"], row["width"])


def _status_line(row: dict[str, Any], goes_on: str) -> str:
    from rmtsim.sweeps.stored_points import out_of_reach

    size = _sizes(row)
    if row["state"] == "limited" and row["doubt"]:
        return f"{size}: limited, {row['doubt']}: raise max_draws"
    if row["rse"] is None:
        return f"{size}: {row['state']}, {number_of(row['draws'], 'draw')}: {goes_on}"
    if row["rse"] <= row["target_rse"]:
        there = f"{format_count(row['draws'])} of {number_of(row['needs_draws'], 'draw')}"
        return f"{size}: {row['state']}, {there}: {goes_on}"
    too_few = row["needs_draws"] > row["max_draws"]
    reach = out_of_reach(row) or ("too few, raise max_draws" if too_few else goes_on)
    return (
        f"{size}: {row['state']}, rse {format_share(row['rse'])} > {format_share(row['target_rse'])} ({row['worst']}); "
        f"needs {about(number_of(row['needs_draws'], 'draw'))}, has {format_count(row['draws'])}, "
        f"max {format_count(row['max_draws'])}: {reach}"
    )


def fit(arguments: argparse.Namespace) -> int:
    """Print the verdicts on the selected draws of a store."""
    from rmtsim.stats.fit import fit_summary
    from rmtsim.stats.render import render
    from rmtsim.stats.slow_values import slow_values

    means = Selection.of(arguments.where, arguments.sweep, arguments.seed).summary(
        open_existing(arguments.store), print_message
    )
    with show_theory_progress(slow_values(means), "making the verdicts"):
        report = fit_summary(means)
    if arguments.json:
        print_json(report.document())
    else:
        width = min(line_width(), WIDTH)
        points = [render(report.compared, width)] if arguments.points else []
        print_text("\n\n".join([*points, report.text(width)]), lines=True)
    return DONE
