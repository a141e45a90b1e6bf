"""Options of the verbs of sweeps: plan, run, status and fit."""

from __future__ import annotations

from rmtsim.cli.argument_types import pause, whole
from rmtsim.cli.help_names import KEYS
from rmtsim.cli.shared_arguments import (
    Verb,
    add_audit,
    add_json,
    add_memory,
    add_running,
    add_selection,
    add_spec,
    add_store,
    add_workers,
)
from rmtsim.model.choices import MODELS, STATES


def add_plan(verb: Verb) -> None:
    """Add the verb ``plan``."""
    p = verb(
        "plan",
        "print what a run would do; changes nothing",
        "The number of draws that the target takes is estimated as a range, from the draws that the store has, or from "
        "a few draws that are made for it and not kept. Work is counted in flops; times are for this machine.",
    )
    p.epilog = KEYS
    add_spec(p)
    add_workers(p)
    add_memory(p)
    add_json(p)


def add_run(verb: Verb) -> None:
    """Add the verb ``run``."""
    p = verb(
        "run",
        "run a sweep or an experiment, or go on with it",
        "Every point gets draws until it reaches its target precision or max_draws. You may kill a run at any time: "
        "the same command goes on, and ends with the same rows. A finished sweep says `nothing to do`. A spec of your "
        "own is a TOML file with the keys below; sweeps/example.toml is one to copy. With the name of a figure it "
        "computes the tables that the figure shows; `rmtsim reproduce FIGURE --out OUT` then draws them from "
        "OUT/store.",
    )
    p.epilog = KEYS
    add_spec(p)
    add_running(p)
    add_audit(p)
    add_json(p)


def add_status(verb: Verb) -> None:
    """Add the verb ``status``."""
    p = verb(
        "status",
        "print points per state, precision reached, core-hours spent and left, and what limits the rest",
        "Reads only the store. With --watch it looks again and again, at the points of sweeps, until no point of the "
        "chosen models and classes wants more draws; Ctrl-C ends the watch, not the sweep.",
    )
    add_store(p)
    p.add_argument("--model", nargs="+", choices=MODELS, help="points of these models (default: all)")
    p.add_argument("--classes", nargs="+", type=whole, metavar="C", help="points of these numbers of classes")
    p.add_argument("--state", nargs="+", choices=STATES, help="points that are in these states")
    p.add_argument("--watch", action="store_true", help="look again and again; with --json, a line of JSON each time")
    p.add_argument(
        "--every",
        type=pause,
        metavar="TIME",
        help="with --watch: time between two looks, such as 30s or 5min (default: 5s)",
    )
    add_json(p)


def add_fit(verb: Verb) -> None:
    """Add the verb ``fit``."""
    p = verb(
        "fit",
        "compare measured exponents and constants with the theorems",
        "Prints for each claim of Theorems 1 and 2 the fitted exponent and constant with standard errors, chi2/dof and "
        "a verdict, and how well the points agree with the theory at their own size.",
    )
    add_store(p)
    add_selection(p)
    p.add_argument("--points", action="store_true", help="also print every point with its theory")
    add_json(p)
