"""The verb ``plot``: any column of the summary of a store against any other."""

from __future__ import annotations

import argparse

from rmtsim.cli.exit_codes import DONE
from rmtsim.cli.printing import print_message
from rmtsim.cli.store_verbs import open_existing
from rmtsim.cli.theory_progress import show_theory_progress
from rmtsim.errors import InputError
from rmtsim.figures import matplotlib_setup
from rmtsim.figures.column_choice import ColumnChoice
from rmtsim.sweeps.selection import Selection

__all__ = ["plot"]

#: The options of what the library calls the same, without hyphens.
_OPTIONS = ("x", "y", "by", "panel", "where", "linear")


def plot(arguments: argparse.Namespace) -> int:
    """Draw columns of the summary of the selected draws into a file."""
    matplotlib_setup.check_picture_file(arguments.out)
    try:
        choice = ColumnChoice.of(
            arguments.x, arguments.y, arguments.by, arguments.panel, arguments.where, arguments.linear or ()
        )
        means = choice.select(
            Selection(None, arguments.sweep, arguments.seed).summary(open_existing(arguments.store), print_message)
        )
        choice = choice.colored(means)
        panels = choice.panels(means)
    except InputError as error:
        name, colon, rest = str(error).partition(": ")
        raise InputError(f"--{name}{colon}{rest}" if name in _OPTIONS else str(error)) from error
    matplotlib_setup.load_matplotlib()  # where it is not there, that is said before seconds of theory
    regimes = () if arguments.no_theory else choice.regimes()
    with show_theory_progress(choice.slow_values(panels, regimes), "drawing the plot"):
        from rmtsim.figures.column_drawing import plot_columns

        drawn = plot_columns(choice, means, panels, regimes)
    matplotlib_setup.save(drawn, arguments.out)
    print_message(f"{arguments.out}: drawn")
    return DONE
