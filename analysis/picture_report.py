"""What is said of pictures of Hessians: the shares of the squared norm, beside the theory."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analysis.shares import shares

#: Shares below this, in percent, are rounding.
_ZERO = 1e-9

_LEGEND = (
    "Share of the squared norm outside the diagonal blocks, of a layer's own Hessian or all; cross: between layers.\n"
    "± standard error over draws; theory: expected norms at this size, at initialisation; z in standard errors."
)


def report_pictures(table: pd.DataFrame) -> str:
    """Lay the shares out as plain text, one line per picture and share."""
    found = shares(table)
    lines = [f"{'picture':14} {'of steps':>8} {'share':>8} {'draws':>5} {'measured':>22} {'theory':>10} {'z':>6}"]
    for row in found.to_dict("records"):
        theory = "-" if math.isnan(row["theory"]) else f"{row['theory']:.4%}"
        z = "-" if math.isnan(row["z"]) else f"{row['z']:+.2f}"
        lines.append(
            f"{plain_case(row['case']):14} {row['progress']:8.0%} {row['share']:>8} {row['draws']:5d} "
            f"{percent(row['value'], row['std_error']):>22} {theory:>10} {z:>6}"
        )
    return "\n".join([*lines, "", _LEGEND])


def headline_pictures(table: pd.DataFrame) -> str:
    """Say in a line what lies outside the diagonal blocks in the first and the last picture, and how theory agrees."""
    found = shares(table)
    first, last = (found[(found["case"] == row.case) & (found["step"] == row.step)] for row in _ends(found))
    said = []
    for share in first["share"]:
        before, after = (part[part["share"] == share].iloc[0] for part in (first, last))
        values = f"{percent(before['value'], before['std_error'])} → {percent(after['value'], after['std_error'])}"
        said.append(f"{_WORDS.get(share, share)} {values}")
    start, stop = (f"{plain_case(row.case)}{_at(row, found)}" for row in _ends(found))
    z = found["z"].abs().max()
    agreement = "" if math.isnan(z) else f"; against theory largest |z| {z:.2f} of {found['z'].notna().sum()}"
    return f"outside the diagonal blocks, {start} → {stop}: {', '.join(said)}{agreement}"


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
    if abs(value) < _ZERO:  # rounding
        return "0 %"
    if not error > 0:
        return f"{value:.3g} %"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f} %" if with_error else f"{value:.{decimals}f} %"
