"""Decay rates in C: what Theorems 1 and 2 claim beside what the draws show, and verdicts that hold at any precision.

A verdict rests on the draws over the theory's own values at the same C, d and N (`rmtsim.stats.curve_fit`). Beside it
stands a fit that knows nothing of the theory but where corrections set in (`rmtsim.stats.decay_fit`): it quotes its
systematic error, and decides nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.model.layers import BY_NAME
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.curve_fit import CurveFit, fit_on_curve
from rmtsim.stats.decay_fit import CORRECTION_SCALE, fit_decay
from rmtsim.stats.decisions import Decision, decide
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.predictions import percent_deviation, plain, power, predict_layer, value
from rmtsim.stats.summary import on_limit_scale
from rmtsim.stats.tails import TOO_HEAVY_THERE
from rmtsim.stats.verdict import MAX_DISTANCE
from rmtsim.text.words import number_of
from rmtsim.theory import finite, large_c
from rmtsim.theory.prediction import Prediction

#: A claim is on one of these: a sweep over C with all else fixed.
SWEEP_COLUMNS = ["model", "loss", "layer", "width", "aspect_ratio", "dim", "n_samples", *ENSEMBLE]

#: Where the corrections of the hidden layer with CE set in. Its weights are covariances under p, and large |σ|², so
#: large logit variances, dominate their squares: v = 1.6 makes 2e^{2v} about 50 (see ``decay_fit.CORRECTION_SCALE``).
#: Chosen for the least bias at m = 8, where 2e² would bias the constant by 2.6 %.
HIDDEN_CE_SCALE = 50.0


def claims_of(summary: pd.DataFrame) -> pd.DataFrame:
    """Return decay rates and constants, the theorems' beside the fitted ones.

    Parameters
    ----------
    summary
        A row per point and layer, as `rmtsim.summarize` returns.

    Returns
    -------
    DataFrame
        One line per (model, loss, layer, width, aspect_ratio, dim, n_samples, ensemble) and quantity (diag, offdiag,
        ratio); constants of d × d blocks are those of the squared norm over d, where ``divided_by_dim`` says so.

        - ``exponent_theorem``, ``constant_theorem``: value → constant · C**exponent as d, N, then C → ∞;
        - ``constant_finite_size``, with its standard error: the constant at this d and N, and
          ``size_deviation_percent`` = 100 (finite size/theorem − 1);
        - the theory-free fit: ``n_points``, ``n_corrections``; ``exponent``, and ``constant`` at the theorem's
          exponent, each with ``std_error_…`` and ``bias_…``; ``plain_slope``; ``chi2``, ``dof``: see
          ``rmtsim.stats.decay_fit``. The bias is its systematic error, found by closure: the same fit, at the same C
          with the same weights, to the theory's own values at finite C, d, N, less the theorem;
        - the fit on the theory's curve: ``points_on_curve``, and ``points_left_out``, those whose tail is too heavy for
          the mean to be trusted; ``exponent_deviation`` and
          ``constant_deviation_percent``, what exponent and constant are off from the theory's, each with
          ``std_error_…`` and ``detectable_…``, the smallest deviation of either sign that would be noticed in 95 % of
          cases; ``chi2_on_curve``, ``dof_on_curve``; ``p_exponent``, ``p_constant``, ``p_shape``, and ``p_value``,
          three times the least of these: see ``rmtsim.stats.curve_fit``; ``p_adjusted``, that by Holm's rule over all
          lines of the table that have one;
        - ``verdict`` and ``reason``.

    Notes
    -----
    *differs*: ``p_adjusted`` is at most 0.001, so that a table of true claims has such a line once in a thousand times,
    whatever its length and precision. *agrees*: it is not, and a deviation of ½ in the exponent (those of the theorems
    are whole numbers) or of a factor of 2 in the constant would have been noticed. *not decided*: it would not.
    *exact*: the theorem has zero, and so has every draw. *not tested*: the reason says why. Points whose tail is too
    heavy for their means to be trusted (`rmtsim.stats.tails`) are left out of the fit on the curve, and the reason says
    how many.
    """
    lines: list[dict[str, Any]] = []
    fits: list[CurveFit] = []
    for key, group in on_limit_scale(summary).groupby(SWEEP_COLUMNS, dropna=False, sort=False):
        model, loss, layer, width, gamma, dim, n_samples, *ensemble = plain(key)
        theorem, reason = predict_layer(layer, large_c, ensemble, model, loss, gamma, width)
        sized, reason_at_size = predict_layer(layer, large_c, ensemble, model, loss, gamma, width, dim, n_samples)
        expected = [
            predict_layer(layer, finite, ensemble, model, loss, int(C), dim, n_samples, width)[0]
            for C in group["n_classes"]
        ]
        for quantity in QUANTITIES if BY_NAME[layer].has_diagonal else ("offdiag",):
            theory = _Theory(quantity, theorem, sized, expected)
            fit = _on_curve(quantity, group, theory)
            line = dict(zip(SWEEP_COLUMNS, key, strict=True)) | _line(quantity, group, theory, fit)
            if not BY_NAME[layer].has_diagonal:
                line |= _not_tested("the theorems make no claim on the cross layer")
            elif theorem is None or sized is None:
                line |= _not_tested(reason or reason_at_size)
            else:
                line |= _without_fit(quantity, group, theory, fit, line["reason"])
            if not line["verdict"]:
                fits.append(fit)
            lines.append(line)
    decisions = iter(decide(fits))
    decided = [line if line["verdict"] else line | _decided(next(decisions), line["reason"]) for line in lines]
    return pd.DataFrame(decided).astype({"width": "Int64"})


class _Theory:
    """What the theory says of one quantity of a sweep over C: as C → ∞, and at every C of it."""

    def __init__(
        self, quantity: str, theorem: Prediction | None, sized: Prediction | None, expected: list[Prediction | None]
    ) -> None:
        self.exponent, self.constant = power(theorem, quantity), value(theorem, quantity)
        self.at_size, self.std_error_at_size = value(sized, quantity), value(sized, f"std_error_{quantity}")
        self.note = "" if sized is None else sized.note
        self.values = np.array([value(prediction, quantity) for prediction in expected])
        self.std_errors = np.array([value(prediction, f"std_error_{quantity}") for prediction in expected])


def _on_curve(quantity: str, group: pd.DataFrame, theory: _Theory) -> CurveFit:
    """Fit the values over the theory's at the same sizes, but for those that are not to be trusted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = group[quantity].mask(group[f"heavy_tail_{quantity}"]).to_numpy() / theory.values
        rse = np.hypot(group[f"rse_{quantity}"].to_numpy(), theory.std_errors / theory.values)
    return fit_on_curve(group["n_classes"], ratios, rse, group["draws"])


def _line(quantity: str, group: pd.DataFrame, theory: _Theory, fit: CurveFit) -> dict[str, Any]:
    """Return the numbers of a line: the theory's, those of the theory-free fit, and those of the fit on the curve."""
    C, layer = group["n_classes"].to_numpy(), group["layer"].iloc[0]
    scale = HIDDEN_CE_SCALE if (layer, group["loss"].iloc[0]) == ("hidden", "ce") else CORRECTION_SCALE
    values, std_errors = group[quantity].to_numpy(), group[f"std_error_{quantity}"].to_numpy()
    free = fit_decay(C, values, std_errors, theory.exponent, scale)
    left_out = int(group[f"heavy_tail_{quantity}"].sum())
    errors_of_theory = theory.values * group[f"rse_{quantity}"].to_numpy()
    closure = fit_decay(C, theory.values, errors_of_theory, theory.exponent, scale)
    return {
        "quantity": quantity,
        "divided_by_dim": BY_NAME[layer].is_d_by_d and quantity != "ratio",
        "n_points": free.n_points,
        "n_corrections": free.n_corrections,
        "exponent_theorem": theory.exponent,
        "exponent": free.exponent.value,
        "std_error_exponent": free.exponent.std_error,
        "bias_exponent": closure.exponent.value - theory.exponent,
        "plain_slope": free.plain_slope.value,
        "std_error_plain_slope": free.plain_slope.std_error,
        "constant_theorem": theory.constant,
        "constant_finite_size": theory.at_size,
        "std_error_constant_finite_size": theory.std_error_at_size,
        "size_deviation_percent": percent_deviation(theory.at_size, theory.constant),
        "constant": free.pinned_constant.value,
        "std_error_constant": free.pinned_constant.std_error,
        "bias_constant": closure.pinned_constant.value - theory.at_size,
        "chi2": free.chi2,
        "dof": free.dof,
        "points_on_curve": fit.n_points,
        "points_left_out": left_out,
        "exponent_deviation": fit.exponent.value,
        "std_error_exponent_deviation": fit.exponent.std_error,
        "detectable_exponent_deviation": math.nan,
        "constant_deviation_percent": _percent(fit.constant.value),
        "std_error_constant_deviation_percent": 100 * fit.constant.std_error,
        "detectable_constant_deviation_percent": math.nan,
        "chi2_on_curve": fit.chi2,
        "dof_on_curve": fit.dof,
        "p_exponent": fit.exponent.p_value,
        "p_constant": fit.constant.p_value,
        "p_shape": fit.p_shape,
        "p_value": fit.p_value,
        "p_adjusted": math.nan,
        "verdict": "",
        "reason": f"left out, as {TOO_HEAVY_THERE}: {number_of(left_out, 'point')}" if left_out else "",
    }


def _percent(log_factor: float) -> float:
    """Return how many percent a factor is above 1."""
    return 100 * float(np.expm1(log_factor))


def _decided(decision: Decision, noted: str) -> dict[str, Any]:
    return {
        "detectable_exponent_deviation": decision.detectable_exponent,
        "detectable_constant_deviation_percent": _percent(decision.detectable_constant),
        "p_adjusted": decision.p_adjusted,
        "verdict": decision.verdict,
        "reason": "; ".join(filter(None, (decision.reason, noted))),
    }


def _not_tested(reason: str) -> dict[str, str]:
    return {"verdict": "not tested", "reason": reason}


def _without_fit(quantity: str, group: pd.DataFrame, theory: _Theory, fit: CurveFit, noted: str) -> dict[str, str]:
    """Return the verdict of a line that needs no fit or has none; nothing where the fit decides."""
    if theory.constant == 0:
        return _judge_zero(group[quantity].to_numpy())
    if math.isinf(theory.at_size):
        of_it = [part for part in theory.note.split("; ") if quantity == "ratio" or part.startswith(quantity)]
        return _not_tested("; ".join(of_it))
    last = int(np.argmax(group["n_classes"]))
    C = int(group["n_classes"].iloc[last])
    distance = abs(percent_deviation(float(theory.values[last]), theory.at_size * float(C) ** theory.exponent)) / 100
    if distance > MAX_DISTANCE:
        return _not_tested(f"at C = {C} the theory is still {distance:.0%} from its form as C → ∞; sweep larger C")
    return _not_tested("; ".join(filter(None, (fit.reason, noted)))) if fit.reason else {}


def _judge_zero(values: npt.NDArray[np.float64]) -> dict[str, str]:
    """Return the verdict where the theorem has exactly zero.

    No norm is negative, so a zero mean is a zero in every draw.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return _not_tested("there is no measured value")
    if np.all(known == 0):
        return {"verdict": "exact", "reason": ""}
    largest = np.max(np.abs(known))
    return {"verdict": "differs", "reason": f"the theorem has exactly zero, but the largest mean is {largest:.3g}"}
