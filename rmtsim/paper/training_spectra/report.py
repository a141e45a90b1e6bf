"""What the spectra through training say, in words: whether laws of initialisation hold, and blocks stay decoupled."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pandas as pd

from rmtsim.figures.parts import part
from rmtsim.paper.training_spectra.law_distances import EDGE
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import IN_WORDS, NO_ERROR
from rmtsim.text.tables import WIDTH, text_table
from rmtsim.text.words import number_of

#: Numbers of a layer's blocks and their columns in the report, in two tables.
_SHAPE = {
    "mean": "mean",
    "spread": "m2/m1²",
    "effective_rank": "rank",
    "top": "top/median",
    "distance": "KS",
    "shape": "KS shape",
}
_COUPLING = {"decoupled": "KS decoupled", "floor": "its floor", "edge": "lower edge", "outlier": "upper edge"}


def report_spectra(numbers: pd.DataFrame) -> str:
    """Return how the spectra change through training, as text."""
    lines = []
    for case, means in _cases(numbers):
        lines.append(textwrap.fill(f"{_named(case, means)}{_theory(case)}", WIDTH))
        for columns in (_SHAPE, _COUPLING):
            lines += _grid(means, {name: head for name, head in columns.items() if means[name].notna().any()})
        lines += [textwrap.fill(_verdict(case, means), WIDTH, initial_indent="- ", subsequent_indent="  "), ""]
    legend = (
        "Of all diagonal blocks, in brackets standard errors over draws. mean: first moment m1. m2/m1²: second moment "
        "over its square. rank: effective, (Σλ)²/(n Σλ²). top/median: largest eigenvalue. KS: distance from the "
        "limiting law at initialisation; shape: both divided by their means. KS decoupled: from (1/N) X̃ᵀ Λ X̃, with "
        "the block's weights Λ and data on which they do not depend; its floor: KS of two of these, with two such "
        f"data. lower edge: mean log of the {EDGE} smallest eigenvalues over the decoupled ones; upper edge: log of "
        "the largest over theirs. The decoupling is lost at an edge that leaves theirs, and where it was at "
        f"initialisation, by more than {IN_WORDS}; changes are of the same draws."
    )
    return "\n".join([*lines, textwrap.fill(legend, WIDTH)])


def _grid(means: pd.DataFrame, columns: dict[str, str]) -> list[str]:
    """Lay out the means of some numbers, a line per checkpoint."""
    if not columns:
        return []
    grid = [["steps", *columns.values()]]
    for row in means.to_dict("records"):
        grid.append([f"{row['progress']:.0%}", *(quoted(row[x], row[f"std_error_{x}"]) for x in columns)])
    return text_table(grid, ">", indent=2)


def headline_spectra(numbers: pd.DataFrame) -> str:
    """Return in Markdown how far the spectra go from the laws of initialisation."""
    return "\n".join(f"- {_named(case, means)}. {_verdict(case, means)}" for case, means in _cases(numbers))


def _cases(numbers: pd.DataFrame) -> Iterator[tuple[pd.Series, pd.DataFrame]]:
    """Yield the row of verdicts of each case, with its means."""
    means = part(numbers, "means")
    for _, row in part(numbers, "verdicts").iterrows():
        yield row, means[means["case"] == row["case"]]


def _named(case: pd.Series, means: pd.DataFrame) -> str:
    """Return the name of a case, with its draws."""
    return f"{case['name']}, {number_of(int(means['draws'].iloc[0]), 'draw')}"


def _verdict(case: pd.Series, means: pd.DataFrame) -> str:
    first, last = means.iloc[0], means.iloc[-1]

    def ends(name: str) -> str:
        return " → ".join(quoted(row[name], row[f"std_error_{name}"]) for row in (first, last))

    shape = (
        f"mean eigenvalue {ends('mean')}, effective rank {ends('effective_rank')}, largest over median {ends('top')}"
    )
    if case["layer"] == "output":
        return f"Output blocks: {shape}."
    laws = f"KS distance from the law of initialisation {ends('distance')}, of the shape {ends('shape')}"
    decoupled = f"KS distance from decoupled blocks {ends('decoupled')}, between two of these {ends('floor')}"
    edge = f"lower edge, mean log of the {EDGE} smallest eigenvalues over theirs {ends('edge')}"
    floor = f"between two of these {quoted(last['edge_floor'], last['std_error_edge_floor'])}"
    return (
        f"{laws}: the shape {_judged(case['shape_verdict'])}; {shape}. {decoupled}; {edge}, {floor}; upper edge, of "
        f"the largest, {ends('outlier')}: the decoupling {_judged(case['decoupling_verdict'])}."
    )


def _judged(verdict: str) -> str:
    return f"has {NO_ERROR}" if verdict == NO_ERROR else verdict


def _theory(case: pd.Series) -> str:
    """Return the moments of the law of initialisation, where they are known."""
    if pd.isna(case["law_mean"]):
        return ""
    top = "" if pd.isna(case["law_top"]) else f", top/median {case['law_top']:.4g}"
    return f"; law of initialisation: mean {case['law_mean']:.4g}, m2/m1² {case['law_spread']:.4g}{top}"
