"""Headlines of figures of draws: rates beside the theorems', and how many points agree with the theory."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rmtsim.stats.render import tally
from rmtsim.text.tables import records

#: Values with too heavy a tail that are named; of more, their number.
_NAMED = 6


def claims_headline(claims: pd.DataFrame, points: pd.DataFrame) -> str:
    """Return the power of C of every ratio of off-diagonal to diagonal norms, and the tally of all points.

    Parameters
    ----------
    claims, points
        Tables of `rmtsim.stats.claims.claims_of` and `rmtsim.stats.comparison.compare` of the same draws.

    Returns
    -------
    str
        A line per model, loss, layer and d/N with the power of the theory-free fit and its bias, the theorem's, the
        verdict, and what the power is off on the theory's curve; then `rmtsim.stats.render.tally` of the points.
    """
    lines = [_rate(row) for row in records(claims) if row["quantity"] == "ratio"]
    return "\n".join([*lines, f"- {tally(points)}"])


def _rate(row: dict[str, Any]) -> str:
    width = "" if row["width"] is None else f", m = {row['width']}"
    where = f"{row['layer']} layer, {row['loss'].upper()}, d/N = {row['aspect_ratio']:g}, d = {row['dim']}{width}"
    if row["verdict"] == "exact":
        return f"- {where}: off-diagonal blocks are zero in every draw, as in theory"
    if row["verdict"] == "not tested" or row["exponent_deviation"] is None:
        return f"- {where}: {row['verdict']}: {row['reason']}"
    if row["exponent"] is None or row["std_error_exponent"] is None:
        free = ", too few points for a fit without the theory"
    else:
        free = f" falls as C^p, p = {row['exponent']:.4f} ± {row['std_error_exponent']:.4f}"
        free += f" (bias of the fit {row['bias_exponent']:+.4f})"
    off = f"{row['exponent_deviation']:+.4f} ± {row['std_error_exponent_deviation']:.4f}"
    return (
        f"- {where}: off-diagonal/diagonal{free}; theorem: {row['exponent_theorem']:.0f}; {row['verdict']}, off by "
        f"{off} on the theory's curve" + (f": {row['reason']}" if row["reason"] else "")
    )


def heavy_tails(points: pd.DataFrame) -> list[str]:
    """Return a line that names the values whose tails are too heavy for them to be trusted, if there are any."""
    heavy = records(points[points["heavy_tail"]])
    if not heavy:
        return []
    named = [
        f"{row['layer']} {row['quantity']} at C = {row['n_classes']}, d/N = {row['aspect_ratio']:g}, "
        f"{row['draws']} draws"
        for row in heavy[:_NAMED]
    ]
    more = [f"and {len(heavy) - _NAMED} more"] if len(heavy) > _NAMED else []
    return [f"The tail is too heavy for the mean to be trusted: {'; '.join([*named, *more])}."]
