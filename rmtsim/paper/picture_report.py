"""What is said of pictures of Hessians: the shares of the squared norm, beside the theory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from rmtsim.paper.hessian_pictures import PAPER
from rmtsim.paper.norm_shares import shares
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.quoted import quoted
from rmtsim.text.tables import text_table

#: Shares below this, in percent, are rounding.
_ZERO = 1e-9

_LEGEND = (
    "Share of the squared norm outside the diagonal blocks, of a layer's own Hessian or all; cross: between layers.",
    "± standard error over draws; theory: expected norms at this size, at initialisation; z in standard errors.",
)
_ON_STRIPES = "stripes: share of the term with the residual, (11) and (18), in the squared norm of the cross layer."
_LEADING = "≈: theory to leading order in 1/width, not exact, and so without z."


def report_pictures(table: pd.DataFrame) -> str:
    """Lay the shares out as plain text, one line per picture and share; and how it was trained."""
    found = shares(table)
    grid = [["picture", "of steps", "share", "draws", "measured", "theory", "z"]]
    for row in found.to_dict("records"):
        z = "-" if math.isnan(row["z"]) else f"{row['z']:+.2f}"
        place = [plain_case(row["case"]), f"{row['progress']:.0%}", row["share"], str(row["draws"])]
        grid.append([*place, percent(row["value"], row["std_error"]), _theory(row), z])
    lines = text_table(grid, "<>")
    legend = [*_LEGEND, *([_ON_STRIPES] if "stripes" in set(found["share"]) else [])]
    legend += [_LEADING] if any("≈" in line for line in lines) else []
    return "\n".join([*trained(table), *lines, "", *legend])


def _theory(row: Mapping[Any, Any]) -> str:
    if math.isnan(row["theory"]):
        return "-"
    if math.isnan(row["std_error_theory"]):
        return f"≈ {percent(row['theory'], row['std_error'], False)}"
    return f"{row['theory']:.4%}"


def headline_pictures(table: pd.DataFrame) -> str:
    """Say in a line what lies outside the diagonal blocks in the first and the last picture, and how theory agrees."""
    found = shares(table)
    first, last = (found[(found["case"] == row.case) & (found["step"] == row.step)] for row in _ends(found))
    said = {}
    for share in first["share"]:
        before, after = (part[part["share"] == share].iloc[0] for part in (first, last))
        said[share] = f"{percent(before['value'], before['std_error'])} → {percent(after['value'], after['std_error'])}"
    stripes = said.pop("stripes", None)
    start, stop = (f"{plain_case(row.case)}{_at(row, found)}" for row in _ends(found))
    parts = [
        f"outside the diagonal blocks, {start} → {stop}: "
        + ", ".join(f"{_WORDS.get(share, share)} {values}" for share, values in said.items())
    ]
    parts += [f"stripes in the cross layer: {stripes} of its squared norm"] if stripes else []
    exact = found["z"].dropna().abs()
    parts += [f"against theory largest |z| {exact.max():.2f} of {len(exact)}"] if len(exact) else []
    return "; ".join([*parts, *_leading_order(found), *trained(table)])


def _leading_order(found: pd.DataFrame) -> list[str]:
    """Say how far a theory that is not exact is off."""
    rows = found[found["std_error_theory"].isna() & found["theory"].notna()]
    if rows.empty:
        return []
    said = ", ".join(f"{row['share']} {_theory(row)}" for row in rows.to_dict("records"))
    return [f"theory at initialisation, to leading order in 1/width: {said}"]


def trained(table: pd.DataFrame) -> list[str]:
    """Say how the networks of a table were trained, if they were, with the loss at both ends: one line, or none."""
    curve = table[(table["quantity"] == "loss") & (table["steps"] > 0)]
    if curve.empty:
        return []
    one, draws = curve.iloc[0], curve["draw"].nunique()
    ends = []
    for step in (0, one["steps"]):
        at = mean_estimate(curve.loc[curve["step"] == step, "value"].to_numpy(float))
        ends.append(quoted(at.value, at.std_error))
    steps, rate = int(one["steps"]), float(one["learning_rate"])
    faster = rate / PAPER.learning_rate
    whose = "the paper's schedule" if (steps, faster) == (PAPER.steps, 1) else f"{faster:.3g} times the paper's rate"
    mantissa, exponent = f"{rate:.2e}".split("e")
    how = f"{steps:,} steps of Adam from {float(mantissa):g}e{int(exponent)}, {whose}"
    return [f"{how}, {'one draw' if draws == 1 else f'{draws} draws'}: loss {' → '.join(ends)}"]


_WORDS = {"cross": "between layers"}


def _ends(found: pd.DataFrame) -> tuple[Any, Any]:
    rows = list(found.itertuples())
    return rows[0], rows[-1]


def _at(row: Any, found: pd.DataFrame) -> str:
    return f" at {row.progress:.0%}" if found["step"].nunique() > 1 else ""


def plain_case(case: str) -> str:
    """Return the name of a picture without the marks of its formulas."""
    return case.replace("$", "")


def percent(value: float, error: float, with_error: bool = True) -> str:
    """Return a share in percent, to two figures of its standard error, and with that if wished."""
    value, error = 100 * value, 100 * error
    if math.isnan(value):
        return "0 of 0"
    if abs(value) < _ZERO:  # rounding
        return "0 %"
    if not error > 0:
        return f"{value:.3g} %"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f} %" if with_error else f"{value:.{decimals}f} %"
