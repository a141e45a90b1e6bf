"""What each verb of the command line does, and what it prints."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.sizes import format_bytes
from rmtsim.store import Store

#: What `reproduce` runs and draws for each name.
_REPRODUCE = {
    "fig8": (("figure8", "linear_mse"), ("fig8", "fig8_mse")),
    "fig9": (("figure9", "figure9_mse"), ("fig9", "fig9_mse")),
    "vocabulary": (("vocabulary",), ("vocabulary",)),
}


def reproduce(arguments: argparse.Namespace) -> int:
    """Run the sweeps of the figures, draw them, print the verdicts; 3 if a point missed its target."""
    from analysis import figures, verdicts
    from sweeps import plan as plans
    from sweeps.spec import load

    names = arguments.figures or ["fig8", "fig9"]
    for name in names:
        if name not in _REPRODUCE:
            raise InputError(f"FIGURE: {name!r} is not known; choose from {', '.join(_REPRODUCE)}")
    out = Path(arguments.out)
    store = Store(out / "store")
    specs = [load(spec) for name in names for spec in _REPRODUCE[name][0]]
    for spec in specs:
        _say(plans.summary(spec, plans.plan(spec, store, arguments.memory)))
    options = {"address": "local", "backend": "auto", "workers": arguments.workers, "memory": arguments.memory}
    codes = [_run(spec, store, **options) for spec in specs]
    ids = [point.id for spec in specs for point in spec.points()]
    draws = store.read(points=ids)
    _say_theory(draws)
    for name in names:
        for figure in _REPRODUCE[name][1]:
            drawn = figures.draw(figure, draws)
            for suffix in ("png", "pdf"):
                figures.save(drawn, out / f"{figure}.{suffix}")
            _say(f"{out / figure}.png, .pdf: drawn")
    report = verdicts.report(draws)
    (out / "verdicts.json").write_text(json.dumps(report.document(), indent=1) + "\n")
    (out / "verdicts.txt").write_text(f"{report.text()}\n\n{verdicts.render(report.points)}\n")
    print(report.text())
    return max(codes)


def plan(arguments: argparse.Namespace) -> int:
    """Print what a run would do."""
    from sweeps import plan as plans
    from sweeps.spec import load

    spec = load(arguments.spec)
    table = plans.plan(spec, Store(arguments.store), arguments.memory)
    shown = (
        table.drop(columns=["point_id", "model", "loss", "flops"])
        .assign(
            width=["-" if pd.isna(width) else int(width) for width in table["width"]],
            flops_per_draw=table["flops_per_draw"].map("{:.3g}".format),
            core_seconds=table["core_seconds"].map("{:.3g}".format),
            memory=table["memory"].map(format_bytes),
        )
        .rename(columns={"memory": "memory_per_worker"})
    )
    print(shown.to_string(index=False, na_rep="-"))
    print(f"\n{plans.summary(spec, table)}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run a sweep; 3 if a point used up max_draws above its target."""
    from sweeps.spec import load

    return _run(
        load(arguments.spec),
        Store(arguments.store),
        address=arguments.address,
        backend=arguments.backend,
        workers=arguments.workers,
        memory=arguments.memory,
    )


def status(arguments: argparse.Namespace) -> int:
    """Print the state of every point in a store; 3 if not all are done."""
    from sweeps import plan as plans

    table = plans.status(_existing(arguments.store))
    if table.empty:
        raise InputError(f"--store: no sweep was run into {arguments.store}; run one, or name another directory")
    complete = bool((table["state"] == "done").all())
    if arguments.json:
        print(json.dumps({"complete": complete, "points": _records(table)}, indent=1))
        return 0 if complete else 3
    for sweep, part in table.groupby("sweep", sort=False):
        states = ", ".join(f"{count} {state}" for state, count in part["state"].value_counts().items())
        print(f"{sweep}: {len(part)} points: {states}; {part['draws'].sum()} draws")
        for row in _records(part[part["state"] != "done"]):
            print(f"  {_status_line(row)}")
    return 0 if complete else 3


def _status_line(row: dict[str, Any]) -> str:
    size = f"C = {row['n_classes']}, d = {row['dim']}, N = {row['n_samples']}"
    size += "" if row["width"] is None else f", m = {row['width']}"
    if row["rse"] is None:
        return f"{size}: {row['state']}, {row['draws']} draws"
    if row["rse"] <= row["target_rse"]:
        return f"{size}: {row['state']}, {row['draws']} of {row['needs_draws']} draws: run again to go on"
    reach = "will not converge, raise max_draws" if row["needs_draws"] > row["max_draws"] else "run again to go on"
    return (
        f"{size}: {row['state']}, rse {row['rse']:.2%} > {row['target_rse']:.2%} ({row['worst']}); "
        f"needs about {row['needs_draws']} draws, has {row['draws']}, max_draws {row['max_draws']}: {reach}"
    )


def fit(arguments: argparse.Namespace) -> int:
    """Print the verdicts on a store's draws."""
    from analysis import verdicts

    draws = _draws(arguments.store)
    _say_theory(draws)
    report = verdicts.report(draws)
    if arguments.json:
        print(json.dumps(report.document(), indent=1))
    else:
        print(f"{verdicts.render(report.points)}\n\n{report.text()}" if arguments.points else report.text())
    return 0


def figure(arguments: argparse.Namespace) -> int:
    """Draw a figure from a store."""
    from analysis import figures

    figures.check(arguments.name, arguments.out)
    rows = figures.select(arguments.name, _draws(arguments.store))
    _say_theory(rows)
    figures.save(figures.draw(arguments.name, rows), arguments.out)
    _say(f"{arguments.out}: drawn")
    return 0


def theory(arguments: argparse.Namespace) -> int:
    """Print predictions."""
    from rmtsim.theory import finite, large_c, limit

    model, loss, widths = arguments.model, arguments.loss, arguments.width
    if (model == "linear") != (widths is None):
        need = "has no width; leave --width out" if model == "linear" else "needs --width, a whole number"
        raise InputError(f"--width: the {model} model {need}")
    if (arguments.dim is None) != (arguments.samples is None):
        raise InputError("--dim, --samples: one was given without the other; give both or none")
    predictions = []
    if arguments.dim is not None:
        gamma = arguments.dim / arguments.samples
        if arguments.aspect_ratio not in (None, [gamma]):
            raise InputError(
                f"--aspect-ratio: {arguments.aspect_ratio} is not --dim / --samples = {gamma:g}; leave it out"
            )
        for m, C in itertools.product(widths or [None], arguments.classes):
            predictions += finite(model, loss, C, arguments.dim, arguments.samples, m)
    elif arguments.aspect_ratio is None:
        raise InputError("--aspect-ratio: it is missing; give d/N, say 0.5, or both --dim and --samples")
    else:
        for m, gamma in itertools.product(widths or [None], arguments.aspect_ratio):
            for C in arguments.classes:
                predictions += limit(model, loss, C, gamma, m)
            predictions += large_c(model, loss, gamma, m)
    records = _records(pd.DataFrame([asdict(prediction) for prediction in predictions]))
    if arguments.json:
        print(json.dumps(records, indent=1))
        return 0
    table = pd.DataFrame([asdict(prediction) for prediction in predictions])  # with infinities, which JSON has not
    table = table.drop(columns=["model", "loss", "dim", "n_samples", "std_error_ratio"])
    for key in ("n_classes", "width"):
        table[key] = [record[key] or "-" for record in records]  # null is no number
    print(table.to_string(index=False, float_format="{:.9g}".format))
    return 0


def _run(spec: Any, store: Store, **options: Any) -> int:
    from sweeps.progress import ProgressDisplay
    from sweeps.runner import run as run_sweep

    with ProgressDisplay(spec.name) as display:
        outcome = run_sweep(spec, store, observer=display, **options)
    done = f"{outcome.new_draws} new draws" if outcome.new_draws else "nothing to do"
    _say(f"{spec.name}: {done}; {len(outcome.states) - len(outcome.limited)} of {len(outcome.states)} points done")
    if outcome.limited:
        _say(f"{spec.name}: {len(outcome.limited)} points used up max_draws above target_rse; see rmtsim status")
        return 3
    return 0


def _existing(directory: str) -> Store:
    if not Path(directory).exists():
        raise InputError(f"--store: there is no {directory}; give a directory that `rmtsim run` wrote")
    return Store(directory)


def _draws(directory: str) -> pd.DataFrame:
    draws = _existing(directory).read()
    if draws.empty:
        raise InputError(f"--store: {directory} holds no draws; run a sweep into it first")
    return draws


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data, with whole numbers as such and null for what is missing or infinite: JSON has neither."""
    whole = {"n_classes", "dim", "n_samples", "width", "diag_power", "offdiag_power"}

    def plain(key: str, value: Any) -> Any:
        if pd.isna(value) or value in (math.inf, -math.inf):
            return None
        return int(value) if key in whole else value

    return [{str(key): plain(str(key), value) for key, value in row.items()} for row in table.to_dict("records")]


def _say_theory(draws: pd.DataFrame) -> None:
    layers = draws["layer"].isin(["hidden", "output"])
    sampled = draws[(draws["model"] == "one_hidden") & (draws["loss"] == "ce") & layers]
    if len(sampled):
        count = len(sampled[["n_classes", "dim", "width"]].drop_duplicates())
        _say(f"theory: one hidden layer with cross-entropy is sampled, a few seconds for each of {count} sizes")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
