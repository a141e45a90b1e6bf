"""The verb ``report``: what a store holds, as one HTML file."""

from __future__ import annotations

import argparse
import shlex

from rmtsim.cli.exit_codes import DONE
from rmtsim.cli.printing import print_message
from rmtsim.cli.store_verbs import open_existing
from rmtsim.cli.theory_progress import show_theory_progress
from rmtsim.figures.figure_data import CURVE_POINTS
from rmtsim.figures.matplotlib_setup import load_matplotlib
from rmtsim.files.output_files import write_output
from rmtsim.pages.contents import read_contents
from rmtsim.pages.report import check_page, page
from rmtsim.stats.slow_values import slow_values
from rmtsim.sweeps.selection import Selection

__all__ = ["report"]


def report(arguments: argparse.Namespace) -> int:
    """Write the report of a store."""
    check_page(arguments.out, "--out")
    selection = Selection.of(arguments.where, arguments.sweep, arguments.seed)
    contents = read_contents(open_existing(arguments.store), selection)
    load_matplotlib()  # where it is not there, that is said before seconds of theory
    theory = not arguments.no_theory
    given = {"--where": arguments.where, "--sweep": arguments.sweep, "--seed": arguments.seed}
    options = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    options += ["--no-theory"] * (not theory)
    values = {}
    if theory and contents.summary is not None:
        values = slow_values(contents.summary, curve_points=CURVE_POINTS)
    with show_theory_progress(values, "drawing the page"):
        text = page(contents, arguments.out, options, theory=theory)
    write_output(arguments.out, text)
    print_message(f"{shlex.quote(arguments.out)}: written")
    return DONE
