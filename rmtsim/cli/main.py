"""Entry point of the command ``rmtsim``; it holds signals back before anything else is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from rmtsim.cli.signals import hold_signals


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    if argv is None:
        hold_signals()
    from rmtsim.cli.command import command  # loads NumPy, which takes a while

    return command(argv)
