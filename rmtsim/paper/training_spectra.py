"""Spectra of diagonal blocks through training: whether laws of initialisation hold, and blocks stay decoupled."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from rmtsim.paper.block_spectra import EDGE, Case, cases, law, output_mse_eigenvalues, spectra_numbers
from rmtsim.paper.training import standard_errors
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import IN_WORDS, NO_ERROR, sign
from rmtsim.text.tables import WIDTH, text_table
from rmtsim.text.words import number_of

#: Numbers of a layer's blocks and their columns in the report, in two tables; ``spectra_summary`` has their means.
_SHAPE = {
    "mean": "mean",
    "spread": "m2/m1²",
    "effective_rank": "rank",
    "top": "top/median",
    "distance": "KS",
    "shape": "KS shape",
}
_COUPLING = {"decoupled": "KS decoupled", "floor": "its floor", "edge": "lower edge", "outlier": "upper edge"}

#: Numbers of every checkpoint that could make a verdict: the shape, the excess, and the two edges.
_JUDGED = ("shape", "excess", "edge", "outlier")


def spectra_summary(table: pd.DataFrame) -> list[tuple[Case, pd.DataFrame]]:
    """Return for every layer the means over draws of ``spectra_numbers`` at each ``progress``, with ``std_error_…``.

    And of ``excess``, ``decoupled`` less ``floor``, and of ``change_shape``, ``change_excess``, ``change_edge`` and
    ``change_outlier``: less those of the same draw at the first checkpoint. ``looks``: numbers that could make a
    verdict, see `rmtsim.stats.verdict`.
    """
    found = []
    for case, rows in cases(table):
        numbers = spectra_numbers(case, rows).sort_values(["draw", "progress"])
        numbers["excess"] = numbers["decoupled"] - numbers["floor"]
        of_draw = numbers.groupby("draw")
        for name in _JUDGED:
            numbers[f"change_{name}"] = numbers[name] - of_draw[name].transform("first")
        groups = numbers.drop(columns="draw").groupby("progress")
        errors = standard_errors(groups).add_prefix("std_error_")
        means = groups.mean().join(errors).assign(draws=groups.size()).reset_index()
        means["looks"] = len(_JUDGED) * len(means)
        found.append((case, means))
    return found


def report_spectra(table: pd.DataFrame) -> str:
    """Tell how the spectra change through training, as text."""
    lines = []
    for case, means in spectra_summary(table):
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


def headline_spectra(table: pd.DataFrame) -> str:
    """Tell in Markdown how far the spectra go from the laws of initialisation."""
    return "\n".join(f"- {_named(case, means)}. {_verdict(case, means)}" for case, means in spectra_summary(table))


def _named(case: Case, means: pd.DataFrame) -> str:
    """Name a case, with its draws."""
    return f"{case.name}, {number_of(int(means['draws'].iloc[0]), 'draw')}"


def _verdict(case: Case, means: pd.DataFrame) -> str:
    first, last = means.iloc[0], means.iloc[-1]

    def ends(name: str) -> str:
        return " → ".join(quoted(row[name], row[f"std_error_{name}"]) for row in (first, last))

    shape = (
        f"mean eigenvalue {ends('mean')}, effective rank {ends('effective_rank')}, largest over median {ends('top')}"
    )
    if case.layer == "output":
        return f"Output blocks: {shape}."
    laws = f"KS distance from the law of initialisation {ends('distance')}, of the shape {ends('shape')}"
    decoupled = f"KS distance from decoupled blocks {ends('decoupled')}, between two of these {ends('floor')}"
    edge = f"lower edge, mean log of the {EDGE} smallest eigenvalues over theirs {ends('edge')}"
    floor = f"between two of these {quoted(last['edge_floor'], last['std_error_edge_floor'])}"
    return (
        f"{laws}: the shape {_shape(last)}; {shape}. {decoupled}; {edge}, {floor}; upper edge, of the largest, "
        f"{ends('outlier')}: the decoupling {_decoupling(last)}."
    )


def _shape(last: pd.Series) -> str:
    if np.isnan(last["std_error_change_shape"]):
        return f"has {NO_ERROR}"
    return "changes" if _sign(last, "change_shape") > 0 else "stays"


def _decoupling(last: pd.Series) -> str:
    """Judge the distance over its floor, and the edges, at the end and against initialisation."""
    if last[["std_error_excess", "std_error_edge", "std_error_outlier"]].isna().any():
        return f"has {NO_ERROR}"
    if _left(last, "excess") > 0:
        return "is lost"
    edges = [words for name, words in (("edge", "lower"), ("outlier", "upper")) if _left(last, name)]
    return f"is lost at the {' and the '.join(edges)} edge" if edges else "survives, within these errors"


def _left(last: pd.Series, name: str) -> int:
    """Sign of what is zero for decoupled blocks; 0 within the errors, or unless it changed to that side."""
    side = _sign(last, name)
    return side if side == _sign(last, f"change_{name}") else 0


def _sign(last: pd.Series, name: str) -> int:
    return sign(last[name], last[f"std_error_{name}"], int(last["draws"]), int(last["looks"]))


def _theory(case: Case) -> str:
    """Moments that are known at initialisation without V; of the output layer for MSE, N → ∞, then d → ∞."""
    if case.layer == "linear":
        m1, m2 = law(case, None, 0).free_moments(2)
        return f"; law of initialisation: mean {m1:.4g}, m2/m1² {m2 / m1**2:.4g}"
    if case.layer == "output" and case.loss == "mse" and case.width is not None:
        top, rest = output_mse_eigenvalues(case.width)
        values = np.array([top, *[rest] * (case.width - 1)])
        spread = np.mean(values**2) / np.mean(values) ** 2
        return f"; law of initialisation: mean {values.mean():.4g}, m2/m1² {spread:.4g}, top/median {top / rest:.4g}"
    return ""
