"""The tables of verdicts as plain text of at most 110 columns."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd

from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.verdict import TOLERANCE
from rmtsim.text.tables import WIDTH, records, text_table

_SWEEP = ["model", "loss", "layer", "width", "dim", "n_samples", *ENSEMBLE]

_CLAIMS_HEAD = ["quantity", "power", "fitted", "±s.e.", "bias", "plain"]
_CLAIMS_HEAD += ["constant", "size", "fitted", "±s.e.", "bias", "χ²/dof", " verdict"]
_CLAIMS_LEGEND = (
    "power, constant: the theorem's, for d, N, then C → ∞. fitted: the constant at the theorem's power. s.e.: standard "
    "error. bias: systematic error of the fit, seen on the theory's own values at these C. plain: slope in log–log "
    "without corrections. size: deviation of the theory's constant at this d and N from its limit d, N → ∞; the fitted "
    "constant is compared with the former."
)
_POINTS_HEAD = ["C", "draws", "quantity", "measured", "±s.e.", "theory", "±s.e.", "limit", "size", "z", " verdict"]
_POINTS_LEGEND = (
    "draws: in brackets, how many exact draws would be as precise. theory: at this C, d and N. limit: d, N → ∞. size: "
    f"deviation of the theory from its limit. z: measured less theory, in standard errors; up to {TOLERANCE:g} agrees, "
    "and with few draws up to what Student's t exceeds as rarely."
)


def render(table: pd.DataFrame) -> str:
    """Lay out a table of ``claims`` or ``points``, one block of lines per sweep over C, with a legend.

    Standard errors (s.e.) and the deviation that the finite d and N make (size) stand in columns of their own.
    """
    is_claims = "exponent_theorem" in table.columns
    head, legend = (_CLAIMS_HEAD, _CLAIMS_LEGEND) if is_claims else (_POINTS_HEAD, _POINTS_LEGEND)
    cells = _claim_cells if is_claims else _point_cells
    rows: list[list[str] | str] = [head]
    sweep = None
    for row in records(table):
        if (now := [row[key] for key in _SWEEP]) != sweep:
            rows += ["", _heading(row)]
            sweep = now
        rows.append(cells(row))
        if row["reason"]:
            rows += textwrap.wrap(row["reason"], WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    numbers = ">" * (len(head) - 2)
    return "\n".join([*text_table(rows, f"<{numbers}<", gap=1), "", textwrap.fill(legend, WIDTH)])


def _claim_cells(row: dict[str, Any]) -> list[str]:
    return [
        f"  {row['quantity']}",
        _number(row["exponent_theorem"], ".0f"),
        _number(row["exponent"], "+.4f"),
        _number(row["std_error_exponent"], ".4f"),
        _number(row["bias_exponent"], "+.4f"),
        _number(row["plain_slope"], "+.3f"),
        _number(row["constant_theorem"], ".4g"),
        _number(row["size_deviation_percent"], "+.2f", "%"),
        _number(row["constant"], ".4g"),
        _relative(row["std_error_constant"], row["constant"]),
        _relative(row["bias_constant"], row["constant"], "+"),
        "-" if row["chi2"] is None else f"{row['chi2']:.1f}/{row['dof']}",
        f" {row['verdict']}",
    ]


def _point_cells(row: dict[str, Any]) -> list[str]:
    return [
        f"  {row['n_classes']}",
        _draws(row["draws"], row["effective_draws"]),
        row["quantity"],
        _number(row["measured"], ".5g"),
        _relative(row["std_error"], row["measured"]),
        _number(row["finite"], ".5g"),
        _relative(row["std_error_finite"], row["finite"]),
        _number(row["limit"], ".5g"),
        _number(row["size_deviation_percent"], "+.2f", "%"),
        _number(row["z"], "+.2f"),
        f" {row['verdict']}",
    ]


def _draws(count: int, effective: float) -> str:
    """Return the number of draws, with that of as precise exact ones where it is less by a hundredth or more."""
    return f"{count} ({effective:.0f})" if effective < 0.99 * count else str(count)


def _number(value: float | None, how: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{how}}{unit}"


def _relative(error: float | None, value: float | None, sign: str = "") -> str:
    """Return an error in percent of its value."""
    return "-" if error is None or not value else f"{100 * error / abs(value):{sign}.2f}%"


def _heading(row: dict[str, Any]) -> str:
    width = "" if row["width"] is None else f", m = {row['width']}"
    sizes = f"d/N = {row['aspect_ratio']:g}, d = {row['dim']}, N = {row['n_samples']}{width}"
    layer = "" if row["layer"] == row["model"] else f", {row['layer']} layer"
    ensemble = Ensemble(*(row[name] for name in ENSEMBLE))
    return f"{row['model']} {row['loss']}{layer}: {sizes}" + ("" if ensemble == LECUN else f"; {ensemble}")
