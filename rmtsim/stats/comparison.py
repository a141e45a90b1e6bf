"""Every measured value beside the theory at its own C, d and N."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.model.fixed_values import fixed_values
from rmtsim.model.layers import BY_NAME
from rmtsim.stats.claims import SWEEP_COLUMNS
from rmtsim.stats.group_means import QUANTITIES, ROUNDING
from rmtsim.stats.predictions import percent_deviation, plain, predict_layer, value
from rmtsim.stats.summary import on_limit_scale
from rmtsim.stats.tails import TOO_HEAVY
from rmtsim.stats.verdict import DECISIVE_FACTOR, LEVEL, Deviation, holm
from rmtsim.text.words import number_of
from rmtsim.theory import finite, limit
from rmtsim.theory.prediction import Prediction


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

        - ``measured``, its ``std_error`` and ``skewness`` (that of draws over √draws); ``interval_low`` and
          ``interval_high``, the ends of its 95 % interval, by the two and Student's t; ``heavy_tail``, whether none of
          these is to be trusted (`rmtsim.stats.tails`);
        - ``limit`` (d, N → ∞ at this C) and ``finite`` (this C, d, N), each with ``std_error_…``, and
          ``size_deviation_percent`` = 100 (finite/limit − 1);
        - ``z`` = (measured − finite)/(both standard errors in quadrature), less what the skewness of the draws makes of
          it (`rmtsim.stats.verdict.without_skewness`); ``p_value``, by Student's t with draws − 1 degrees of freedom,
          and ``p_adjusted``, by Holm's rule over all lines that are tested; ``detectable_percent``: the smallest
          deviation from ``finite`` that would be noticed in 95 % of cases;
        - ``within_limit``, where there is something to compare that can be trusted: |measured − limit| is at most
          |finite − limit| and what chance makes of the former once in 1000 tables;
        - ``verdict`` and, where it is neither *agrees* nor *exact*, ``reason``.

    Notes
    -----
    *exact*: the value is an identity of the model and no evidence: zero by the model, 1, or a copy of another, as the
    off-diagonal norm of the last layer at C = 2 is of the diagonal one. *differs*: ``p_adjusted`` is at most 0.001, so
    that a table of correct values has such a line once in a thousand times; or an identity is broken. *agrees*: it is
    not, and a factor of 2 would have been noticed. *not decided*: it would not, or the tail of the draws is too heavy
    for their mean to be trusted. *not tested*: there is nothing to compare.
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
    decided = _decided(pd.DataFrame(lines))
    return decided.drop(columns="deviation").astype({"width": "Int64", "within_limit": "boolean"})


def in_units_of_draws(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of ``points`` in the units of draws: what was divided by d is multiplied by it again."""
    names = ["measured", "std_error", "interval_low", "interval_high"]
    names += ["limit", "std_error_limit", "finite", "std_error_finite"]
    scale = table["dim"].where(table["divided_by_dim"], 1)
    return table.assign(**{name: table[name] * scale for name in names}).drop(columns="divided_by_dim")


def _compare(
    quantity: str, row: dict[Any, Any], at_limit: Prediction | None, at_size: Prediction | None, reason: str
) -> dict[str, Any]:
    """Measurement and theory of one quantity, and the verdict where it does not depend on other lines, else ""."""
    measured, std_error = row[quantity], row[f"std_error_{quantity}"]
    asymptote, expected = value(at_limit, quantity), value(at_size, quantity)
    std_error_expected = value(at_size, f"std_error_{quantity}")
    error = math.hypot(std_error, std_error_expected, ROUNDING * expected)
    skewness = row[f"skewness_{quantity}"] / math.sqrt(row["draws"])
    of_draws = Deviation(measured, std_error, max(row["draws"] - 1, 1), skewness)
    deviation = of_draws.with_error(measured - expected, error)
    interval_low, interval_high = of_draws.interval()
    if expected == 0 and std_error_expected == 0:  # zero in every draw: any other value is infinitely far
        z = math.nan if math.isnan(measured) else math.inf if measured else 0.0
        deviation = Deviation(z, 0.0)
    else:
        z = deviation.z
    verdict, heavy = "", bool(row[f"heavy_tail_{quantity}"])
    if math.isnan(z):
        verdict, reason = "not tested", reason or _missing(quantity, row, std_error)
    elif _is_identity(quantity, row):
        verdict = "exact"
    elif heavy and quantity not in _identities(row):  # of what should be equal in all draws, one draw tells
        verdict, reason = "not decided", TOO_HEAVY.format(quantity=quantity, draws=number_of(row["draws"], "draw"))
    return {
        "measured": measured,
        "std_error": std_error,
        "skewness": skewness,
        "interval_low": interval_low,
        "interval_high": interval_high,
        "heavy_tail": heavy,
        "limit": asymptote,
        "std_error_limit": value(at_limit, f"std_error_{quantity}"),
        "finite": expected,
        "std_error_finite": std_error_expected,
        "size_deviation_percent": percent_deviation(expected, asymptote),
        "z": z,
        "deviation": deviation,
        "p_value": math.nan if verdict else deviation.p_value,
        "verdict": verdict,
        "reason": reason,
    }


def _is_identity(quantity: str, row: dict[Any, Any]) -> bool:
    """Whether a value is what the model makes it in every draw, to rounding."""
    fixed = _identities(row)
    return quantity in fixed and bool(abs(row[quantity] - fixed[quantity]) <= ROUNDING * abs(fixed[quantity]))


def _identities(row: dict[Any, Any]) -> dict[str, float]:
    """Return the quantities that the model fixes, with their values."""
    fixed = fixed_values(row["loss"], row["layer"], row["n_classes"])
    if fixed.get("ratio"):
        fixed["offdiag"] = fixed["ratio"] * row["diag"]
    return fixed


def _decided(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the table with verdicts on all lines, which account for their number."""
    adjusted = holm(lines["p_value"].to_numpy())
    tests = int(np.isfinite(adjusted).sum())
    found = [_decision(line, p, tests) for p, line in zip(adjusted, lines.to_dict("records"), strict=True)]
    return lines.assign(**pd.DataFrame(found, index=lines.index))


def _decision(line: dict[Any, Any], p: float, tests: int) -> dict[str, Any]:
    deviation: Deviation = line["deviation"]
    expected, asymptote, error = line["finite"], line["limit"], line["std_error_limit"]
    both = math.hypot(deviation.std_error, error)
    from_limit = deviation.with_error(line["measured"] - asymptote, both)
    low, high = from_limit.interval(LEVEL / max(tests, 1))
    within = low <= abs(expected - asymptote) and high >= -abs(expected - asymptote)
    verdict, reason, seen = line["verdict"], line["reason"], math.nan
    if not verdict:
        seen = 100 * deviation.detectable(tests) / abs(expected) if expected else 0.0
        verdict = "differs" if p <= LEVEL else "agrees"
        if verdict == "agrees" and seen > 100 * (DECISIVE_FACTOR - 1):
            verdict, reason = "not decided", f"a factor of {DECISIVE_FACTOR:g} would not have been noticed"
    return {
        "p_adjusted": p,
        "detectable_percent": seen,
        "within_limit": None if verdict == "not tested" or line["heavy_tail"] else within,
        "verdict": verdict,
        "reason": reason,
    }


def _missing(quantity: str, row: dict[Any, Any], std_error: float) -> str:
    if row["draws"] == 1:
        return "one draw has no standard error"
    if quantity == "ratio" and row["diag"] == 0:
        return "all diagonal blocks are zero, so there is no ratio"
    if math.isnan(row[quantity]):
        return "there are no such blocks"
    if math.isnan(std_error):
        return f"all {row['draws']} draws are equal, or one has all of it, which does not show how much they spread"
    return "the theory has no finite value"
