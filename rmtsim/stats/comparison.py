"""Every measured value beside the theory at its own C, d and N."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from rmtsim.model.layers import BY_NAME
from rmtsim.stats.claims import SWEEP_COLUMNS
from rmtsim.stats.predictions import percent_deviation, plain, predict_layer, value
from rmtsim.stats.summary import QUANTITIES, on_limit_scale
from rmtsim.stats.verdict import agrees, tolerance, z_score
from rmtsim.theory import finite, limit
from rmtsim.theory.prediction import Prediction

#: Relative error granted to the arithmetic: float32 draws err by under 1e-5. It matters only where draws do not
#: scatter at all, as the ratio at C = 2, which is 1.
ROUNDING = 1e-5


def compare(summary: pd.DataFrame) -> pd.DataFrame:
    """Return every measured value beside its limit (d, N → ∞) and its expectation at finite size.

    Parameters
    ----------
    summary
        A row per point and layer, as `rmtsim.summarize` returns.

    Returns
    -------
    DataFrame
        One line per point, layer and quantity; norms of d × d blocks are divided by d, where ``divided_by_dim`` says
        so.

        - ``measured`` and its ``std_error``;
        - ``limit`` (d, N → ∞ at this C) and ``finite`` (this C, d, N), each with ``std_error_…``, and
          ``size_deviation_percent`` = 100 (finite/limit − 1);
        - ``z`` = (measured − finite)/(both standard errors in quadrature);
        - ``within_limit``: |measured − limit| ≤ 3.5 standard errors + |finite − limit|;
        - ``verdict``: *agrees* if |z| ≤ 3.5, else *differs*; or *not tested*, for the ``reason`` given. With few
          draws, 3.5 stands for the quantile of Student's t that is exceeded as rarely.
    """
    keys = [*SWEEP_COLUMNS, "n_classes"]
    lines = []
    for row in on_limit_scale(summary).to_dict("records"):
        model, loss, layer, width, gamma, dim, n_samples, *ensemble, C = plain(row[key] for key in keys)
        at_limit, _ = predict_layer(layer, limit, ensemble, model, loss, C, gamma, width)
        at_size, reason = predict_layer(layer, finite, ensemble, model, loss, C, dim, n_samples, width)
        for quantity in QUANTITIES if BY_NAME[layer].has_diagonal else ("offdiag",):
            line = {key: row[key] for key in ("point_id", *keys, "draws", "effective_draws")} | {"quantity": quantity}
            line["divided_by_dim"] = BY_NAME[layer].is_d_by_d and quantity != "ratio"
            lines.append(line | _compare(quantity, row, at_limit, at_size, reason))
    return pd.DataFrame(lines).astype({"width": "Int64", "within_limit": "boolean"})


def in_units_of_draws(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of ``points`` in the units of draws: what was divided by d is multiplied by it again."""
    names = ["measured", "std_error", "limit", "std_error_limit", "finite", "std_error_finite"]
    scale = table["dim"].where(table["divided_by_dim"], 1)
    return table.assign(**{name: table[name] * scale for name in names}).drop(columns="divided_by_dim")


def _compare(
    quantity: str, row: dict[Any, Any], at_limit: Prediction | None, at_size: Prediction | None, reason: str
) -> dict[str, Any]:
    """Measurement, theory and verdict of one quantity."""
    measured, std_error = row[quantity], row[f"std_error_{quantity}"]
    asymptote, expected = value(at_limit, quantity), value(at_size, quantity)
    std_error_expected = value(at_size, f"std_error_{quantity}")
    if expected == 0 and std_error_expected == 0:  # zero in every draw: any other value is infinitely far
        z = math.inf if measured else 0.0
    else:
        z = z_score(measured, expected, std_error, std_error_expected, ROUNDING * expected)
    std_errors = math.hypot(std_error, std_error_expected, value(at_limit, f"std_error_{quantity}"))
    allowed = tolerance(row["draws"]) * std_errors + abs(expected - asymptote) + ROUNDING * abs(expected)
    within: bool | None = bool(abs(measured - asymptote) <= allowed)
    if math.isnan(z):
        within, verdict = None, "not tested"
        reason = reason or _missing(row["draws"], measured, std_error)
    else:
        verdict = "agrees" if agrees(z, row["draws"]) else "differs"
    return {
        "measured": measured,
        "std_error": std_error,
        "limit": asymptote,
        "std_error_limit": value(at_limit, f"std_error_{quantity}"),
        "finite": expected,
        "std_error_finite": std_error_expected,
        "size_deviation_percent": percent_deviation(expected, asymptote),
        "z": z,
        "within_limit": within,
        "verdict": verdict,
        "reason": reason,
    }


def _missing(draws: int, measured: float, std_error: float) -> str:
    if draws == 1:
        return "one draw has no standard error"
    if not math.isnan(measured) and math.isnan(std_error):
        return f"all {draws} draws are equal, which does not show how much they spread"
    return "there are no such blocks" if math.isnan(measured) else "the theory has no finite value"
