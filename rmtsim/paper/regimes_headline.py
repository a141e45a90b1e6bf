"""Outside the proportional regime, in a few lines: what was measured, and what of it is theory."""

from __future__ import annotations

import math

import pandas as pd

from rmtsim.paper.regimes import FAR, LEAST_CLASSES, regimes, regimes_of
from rmtsim.paper.regimes_figure import short
from rmtsim.stats.quoted import quoted


def headline_regimes(draws: pd.DataFrame) -> str:
    """Tell the power of C in off-diagonal over diagonal as Markdown: a line per model, loss, layer and verdict.

    Parameters
    ----------
    draws
        The store's columns.

    Returns
    -------
    str
        Sizes; the measured power with its standard error; the theory's at the same C, between the C of
        `rmtsim.paper.regimes.FAR`, and as C → ∞ where it is known. Of several sweeps the least and the largest.
    """
    table = regimes(regimes_of(draws))
    ratios = table[table["quantity"] == "ratio"]
    largest = int(ratios["largest"].max())
    lines = [
        f"Powers of C in off-diagonal/diagonal. Draws are of C from {LEAST_CLASSES} to {largest}; of more classes "
        "only the theory speaks, at the same d and N.\n"
    ]
    lines += [told(group) for _, group in ratios.groupby(["model", "loss", "layer", "verdict"], sort=False)]
    return "\n".join(lines)


def told(group: pd.DataFrame) -> str:
    """Tell rows of `rmtsim.paper.regimes.regimes` of one model, loss, layer and verdict in a line."""
    first = group.iloc[0]
    layer = "linear model" if first["model"] == "linear" else f"{first['layer']} layer"
    measured = _ends(group, "exponent", "std_error_exponent")
    low, high = (f"10^{math.log10(C):.0f}" for C in FAR)
    verdict, last = first["verdict"], ""
    if group["exponent_last"].notna().all():
        last = f", as C → ∞ {_ends(group, 'exponent_last')}"
    elif verdict == "holds":
        verdict = f"holds up to C = {high}"
    line = (
        f"- {layer}, {first['loss'].upper()} (theorem: {first['power']:.0f}): {verdict} at {_sizes(group)}: "
        f"measured {measured}; theory at the same C {_ends(group, 'exponent_theory')}"
    )
    if verdict == "differs":  # there the theory is not tested
        return line
    return f"{line}, at C from {low} to {high} {_ends(group, 'exponent_far')}{last}"


def _ends(group: pd.DataFrame, name: str, error: str | None = None) -> str:
    """Smallest and largest value of a column, with its standard error if there is one."""
    rows = group.sort_values(name).iloc[[0, -1]].to_dict("records")
    ends = [quoted(row[name], row[error]) if error else f"{row[name]:.2f}" for row in rows]
    return " to ".join(dict.fromkeys(ends))


def _sizes(group: pd.DataFrame) -> str:
    """Sizes of the sweeps: d, m, and the d/N of each."""
    found = []
    for _, rows in group.groupby(["dim", "width"], dropna=False):
        first = rows.iloc[0]
        neurons = "" if pd.isna(first["width"]) else f", m = {first['width']}"
        found.append(f"d = {first['dim']}{neurons}, d/N = {', '.join(map(short, rows['aspect_ratio']))}")
    return "; ".join(found)
