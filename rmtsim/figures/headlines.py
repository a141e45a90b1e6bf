"""A figure's numbers in a few lines of Markdown: rates beside the theorems', and how the points agree with theory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.paper.agreement import compared, spread
from rmtsim.paper.finite_size_figure import sizes_of
from rmtsim.stats.claims import claims_of
from rmtsim.stats.points import points, points_of
from rmtsim.stats.render import to_records
from rmtsim.stats.summary import summarize


def claims_headline(draws: pd.DataFrame) -> str:
    """Tell the power of C of every ratio of off-diagonal to diagonal norms, and the tally of all points.

    Parameters
    ----------
    draws
        The store's columns.

    Returns
    -------
    str
        A line per model, loss, layer and d/N with the fitted power, its standard error and bias, the theorem's and the
        verdict of `rmtsim.stats.claims`; then `points_headline` of the same draws.
    """
    summary = summarize(draws)
    lines = [_rate(row) for row in to_records(claims_of(summary)) if row["quantity"] == "ratio"]
    return "\n".join([*lines, f"- {_tally(points_of(summary))}"])


def points_headline(draws: pd.DataFrame) -> str:
    """Tell how many measured values of series over d agree with the theory at their own C, d, N, and the z-scores."""
    return _tally(points(sizes_of(draws)))


def agreement_headline(draws: pd.DataFrame) -> str:
    """Tell how the z-scores of all norms spread."""
    return spread(compared(draws))


def _rate(row: dict[str, Any]) -> str:
    width = "" if row["width"] is None else f", m = {row['width']}"
    where = f"{row['layer']} layer, {row['loss'].upper()}, d/N = {row['aspect_ratio']:g}, d = {row['dim']}{width}"
    if row["verdict"] == "exact":
        return f"- {where}: off-diagonal blocks are zero in every draw, as in theory"
    if row["exponent"] is None or row["std_error_exponent"] is None:
        return f"- {where}: {row['verdict']}: {row['reason']}"
    return (
        f"- {where}: off-diagonal/diagonal falls as C^p, p = {row['exponent']:.4f} ± {row['std_error_exponent']:.4f} "
        f"(bias of the fit {row['bias_exponent']:+.4f}); theorem: {row['exponent_theorem']:.0f}; {row['verdict']}"
        + (f": {row['reason']}" if row["reason"] else "")
    )


def _tally(table: pd.DataFrame) -> str:
    """Count the values of ``points`` that agree, with their largest z-score."""
    tested = table[table["verdict"] != "not tested"]
    z = tested.loc[np.isfinite(tested["z"]), "z"]
    spread_of_z = (
        f"; largest |z| {z.abs().max():.2f}, root mean square {math.sqrt((z**2).mean()):.2f}" if len(z) else ""
    )
    return (
        f"{(tested['verdict'] == 'agrees').sum()} of {len(tested)} measured values agree with the theory at their own "
        f"C, d, N{spread_of_z}"
    )
