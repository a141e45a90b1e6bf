"""The gallery: every figure with the sentence that it tests and the numbers measured, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rmtsim.figures.catalogue import Entry, duration
from rmtsim.figures.registry import NamedFigure

_INTRODUCTION = """\
Every figure of *Towards Quantifying the Hessian Structure of Neural Networks* ([arXiv
2505.02809](https://arxiv.org/abs/2505.02809)) and of its slides, redrawn{except_for}, with the sentence that each tests
and the numbers of the run that wrote this page. Formulas in quotations are restored."""


@dataclass(frozen=True)
class Result:
    """What became of a figure.

    Parameters
    ----------
    entry
        The figure.
    numbers
        What was measured, as Markdown.
    seconds
        Time that it took in this run.
    computed
        Whether anything had to be computed; else it was drawn from what was stored.
    problem
        Why it was not drawn; empty if it was.
    full_numbers
        What was measured at the paper's size, where the store has that too: ``NAME_full.png`` shows it.
    """

    entry: Entry
    numbers: str = ""
    seconds: float = 0.0
    computed: bool = False
    problem: str = ""
    full_numbers: str = ""


def gallery(results: Sequence[Result], full: bool = False) -> str:
    """Lay out the page.

    Parameters
    ----------
    results
        A result per figure, in the order of the page.
    full
        Whether the run was at the paper's sizes.

    Returns
    -------
    str
        Markdown. The image of a figure is ``NAME.png``, beside the page.
    """
    size = (
        "The paper's sizes, as `rmtsim reproduce all --full` has them."
        if full
        else ("Sizes are those of `rmtsim reproduce all`, on 2 cores; with `--full` they are the paper's.")
    )
    table = ["| figure | source | time on 2 cores | with `--full` |", "|---|---|---|---|"]
    table += [_row(result.entry) for result in results]
    sections = [_section(result, full) for result in results]
    missing = ", ".join(result.entry.name for result in results if result.problem)
    introduction = _INTRODUCTION.format(except_for=f" except {missing} (below is why)" if missing else "")
    return "\n\n".join(["# Gallery", f"{introduction}\n{size}", "\n".join(table), *sections]) + "\n"


def numbers(figure: NamedFigure, rows: pd.DataFrame, report: str | None = None) -> str:
    """Return a figure's numbers as Markdown: its headline, or else its report (found already, or made here)."""
    if figure.headline is not None:
        return figure.headline(rows)
    if report is None and figure.report is not None:
        report = figure.report(rows)
    return f"```text\n{report}\n```" if report else ""


def _row(entry: Entry) -> str:
    return f"| [{entry.name}](#{entry.name}) | {entry.source} | {entry.cost_in_words()} | {entry.cost_in_words(True)} |"


def _section(result: Result, full: bool) -> str:
    entry = result.entry
    parts = [
        f"## {entry.name}",
        f"**{entry.title}** ({entry.source})",
        f"> {entry.sentence}",
    ]
    if result.problem:
        return "\n\n".join([*parts, f"Not drawn: {result.problem}", f"`{entry.command(full)}`"])
    how = "computed and drawn" if result.computed else "drawn from stored tables"
    made = f"`{entry.command(full)}`: {how} in {duration(result.seconds)}."
    parts += [f"![{entry.title}]({entry.name}.png)", result.numbers, made]
    if result.full_numbers:
        picture = f"![{entry.title}, at the paper's size]({entry.name}_full.png)"
        parts += ["With the paper's sizes and schedule:", picture, result.full_numbers, f"`{entry.command(full=True)}`"]
    return "\n\n".join(parts)
