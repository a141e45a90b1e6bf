"""Headlines of figures of draws: rates beside the theorems', and how many points agree with the theory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.text.tables import records


def claims_headline(claims: pd.DataFrame, points: pd.DataFrame) -> str:
    """Return the power of C of every ratio of off-diagonal to diagonal norms, and the tally of all points.

    Parameters
    ----------
    claims, points
        Tables of `rmtsim.stats.claims.claims_of` and `rmtsim.stats.comparison.compare` of the same draws.

    Returns
    -------
    str
        A line per model, loss, layer and d/N with the fitted power, its standard error and bias, the theorem's and the
        verdict; then `tally` of the points.
    """
    lines = [_rate(row) for row in records(claims) if row["quantity"] == "ratio"]
    return "\n".join([*lines, f"- {tally(points)}"])


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


def tally(table: pd.DataFrame) -> str:
    """Return how many values of `rmtsim.stats.comparison.compare` agree with the theory, and their z-scores."""
    tested = table[table["verdict"] != "not tested"]
    z = tested.loc[np.isfinite(tested["z"]), "z"]
    spread_of_z = (
        f"; largest |z| {z.abs().max():.2f}, root mean square {math.sqrt((z**2).mean()):.2f}" if len(z) else ""
    )
    return (
        f"{(tested['verdict'] == 'agrees').sum()} of {len(tested)} measured values agree with the theory at their own "
        f"C, d, N{spread_of_z}"
    )
