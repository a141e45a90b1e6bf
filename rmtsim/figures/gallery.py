"""The gallery: every figure with the sentence that it tests and the numbers measured, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rmtsim.figures.costs import Cost, Costs, cores_in_words, cost_of, in_words, stored_costs
from rmtsim.figures.figure import Figure
from rmtsim.text.sizes import format_seconds
from rmtsim.text.tables import markdown_table
from rmtsim.text.uncertainty import plus_minus

#: What ``--full`` makes of the figures, and whose the sizes are.
_FULL_SIZES = (
    "`fig2`, `fig3`, `fig5` and `fig13` at the paper's sizes, `deep` with the schedule of its training, and others "
    "larger where they have a larger form. The text of the paper gives no C, d and N for Figures 8 and 9, only 1000 "
    "simulations: those of `fig8` and `fig9` are ours, at either size."
)
_INTRODUCTION = """\
Every figure of *Towards Quantifying the Hessian Structure of Neural Networks* ([arXiv
2505.02809](https://arxiv.org/abs/2505.02809)) and of its slides, redrawn{except_for}, with the sentence that each tests
and the numbers of the run that wrote this page. Formulas in quotations are restored."""


@dataclass(frozen=True)
class Result:
    """What a run of `rmtsim reproduce` made of a figure.

    Parameters
    ----------
    figure
        The figure.
    numbers
        What was measured, as Markdown.
    seconds
        Time that it took in this run.
    computed
        Whether anything had to be computed; else it was drawn from what was stored.
    cost
        What it costs, where this run computed all of it.
    problem
        Why it was not drawn; empty if it was.
    full_numbers
        What was measured with ``--full``, where the store has that too: ``NAME_full.png`` shows it.
    """

    figure: Figure
    numbers: str = ""
    seconds: float = 0.0
    computed: bool = False
    cost: Cost | None = None
    problem: str = ""
    full_numbers: str = ""


def measured_costs(results: Sequence[Result], full: bool = False) -> Costs:
    """Return the costs that come with the package, with those that this run measured in their place."""
    measured = {
        (result.figure.name, full and result.figure.has_full_size): result.cost
        for result in results
        if result.cost is not None
    }
    return {**stored_costs(), **measured}


def gallery(results: Sequence[Result], full: bool = False) -> str:
    """Lay out the page.

    Parameters
    ----------
    results
        A result per figure, in the order of the page.
    full
        Whether the run was with ``--full``.

    Returns
    -------
    str
        Markdown. The image of a figure is ``NAME.png``, beside the page.
    """
    costs = measured_costs(results, full)
    shown = [cost_of(result.figure, size, costs) for result in results for size in (False, True)]
    cores = cores_in_words(shown)
    on_cores = f" on {cores}" if cores else ""
    size = f"Sizes are those of `rmtsim reproduce all --full`: {_FULL_SIZES}"
    if not full:
        comma = "," if cores else ""
        size = f"Sizes are those of `rmtsim reproduce all`{comma}{on_cores}. With `--full`: {_FULL_SIZES}"
    rows = [_row(result.figure, costs, mixed=not cores) for result in results]
    table = markdown_table(["figure", "source", f"time{on_cores}", "with `--full`"], rows)
    sections = [_section(result, full) for result in results]
    missing = ", ".join(result.figure.name for result in results if result.problem)
    introduction = _INTRODUCTION.format(except_for=f" except {missing} (below is why)" if missing else "")
    return "\n\n".join(["# Gallery", f"{introduction}\n{size}", "\n".join(table), *sections]) + "\n"


def _row(figure: Figure, costs: Costs, *, mixed: bool) -> list[str]:
    """Return the cells of a figure; times name their cores where these differ."""
    times = []
    for cost in (cost_of(figure, full, costs) for full in (False, True)):
        times.append(in_words(cost) + (f" ({cost.cores} cores)" if mixed and cost.measured else ""))
    return [f"[{figure.name}](#{figure.name})", figure.source, *times]


def _section(result: Result, full: bool) -> str:
    figure = result.figure
    parts = [
        f"## {figure.name}",
        f"**{figure.title}** ({figure.source})",
        f"> {figure.sentence}",
    ]
    if result.problem:
        return "\n\n".join([*parts, f"Not drawn: {result.problem}", f"`{figure.command(full)}`"])
    how = "computed and drawn" if result.computed else "drawn from stored tables"
    made = f"`{figure.command(full)}`: {how} in {format_seconds(result.seconds)}."
    parts += [f"![{figure.title}]({figure.name}.png)", _prose(result.numbers), made]
    if result.full_numbers:
        picture = f"![{figure.title}, with --full]({figure.name}_full.png)"
        command = f"`{figure.command(full=True)}`"
        parts += ["With `--full`:", picture, _prose(result.full_numbers), command]
    return "\n\n".join(parts)


def _prose(numbers: str) -> str:
    """Return numbers with errors after ±, and tables of plain text as they are."""
    words = re.split(r"(^```.*?^```$)", numbers, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else plus_minus(part) for part in words)
