"""Decay rates in C: what Theorems 1 and 2 claim beside what the draws show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from rmtsim.model.layers import BY_NAME
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.decay_fit import CORRECTION_SCALE, DecayFit, fit_decay
from rmtsim.stats.predictions import percent_deviation, plain, power, predict_layer, value
from rmtsim.stats.summary import QUANTITIES, on_limit_scale
from rmtsim.stats.verdict import agrees
from rmtsim.theory import finite, large_c
from rmtsim.theory.prediction import Prediction

#: A claim is on one of these: a sweep over C with all else fixed.
SWEEP_COLUMNS = ["model", "loss", "layer", "width", "aspect_ratio", "dim", "n_samples", *ENSEMBLE]

#: Where the corrections of the hidden layer with CE set in. Its weights are covariances under p, and large |σ|², so
#: large logit variances, dominate their squares: v = 1.6 makes 2e^{2v} about 50 (see ``fits.CORRECTION_SCALE``).
#: Chosen for the least bias at m = 8, where 2e² would bias the constant by 2.6 %.
HIDDEN_CE_SCALE = 50.0

#: A fit with a smaller χ² probability does not describe its points, and its uncertainties mean nothing.
MIN_FIT_PROBABILITY = 1e-4

#: A claim is tested where the theory at the largest C is this close to its own C → ∞ form. Heavy tails (few hidden
#: neurons) can delay that form beyond any C that a sweep reaches, and no fit can show it.
MAX_DISTANCE = 0.1


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
        - ``exponent``, and ``constant`` at the theorem's exponent, as fitted, each with ``std_error_…`` and
          ``bias_…``; ``plain_slope``; ``chi2``, ``dof``: see ``rmtsim.stats.decay_fit``;
        - ``verdict`` and ``reason``.

    Notes
    -----
    The bias is the systematic error of the fit, found by closure: the same fit, at the same C with the same weights,
    to the theory's own values at finite C, d, N, less the theorem. *agrees*: the exponent is within 3.5 standard
    errors plus the bias of the theorem's, and so is the constant, of that at finite size. Nothing is corrected by the
    bias, which only widens the tolerance: else a sweep of high precision would reject the theorem for the fit's
    shortcomings. *exact*: the theorem has zero, and so has every draw. *differs*: neither, or the fit does not
    describe the points.
    *not tested*: the reason says why.
    """
    lines = []
    for key, group in on_limit_scale(summary).groupby(SWEEP_COLUMNS, dropna=False, sort=False):
        model, loss, layer, width, gamma, dim, n_samples, *ensemble = plain(key)
        theorem, reason = predict_layer(layer, large_c, ensemble, model, loss, gamma, width)
        sized, reason_at_size = predict_layer(layer, large_c, ensemble, model, loss, gamma, width, dim, n_samples)
        expected = [
            predict_layer(layer, finite, ensemble, model, loss, int(C), dim, n_samples, width)[0]
            for C in group["n_classes"]
        ]
        for quantity in QUANTITIES if BY_NAME[layer].has_diagonal else ("offdiag",):
            line = _compare(quantity, group, theorem, sized, expected)
            if not BY_NAME[layer].has_diagonal:
                line |= {"verdict": "not tested", "reason": "the theorems make no claim on the cross layer"}
            elif theorem is None or sized is None:
                line |= {"verdict": "not tested", "reason": reason or reason_at_size}
            lines.append(dict(zip(SWEEP_COLUMNS, key, strict=True)) | line)
    return pd.DataFrame(lines).astype({"width": "Int64"})


def _compare(
    quantity: str,
    group: pd.DataFrame,
    theorem: Prediction | None,
    sized: Prediction | None,
    expected: list[Prediction | None],
) -> dict[str, Any]:
    """Theorem, fit and verdict of one quantity; ``expected`` is the theory at the C, d, N of the group's rows."""
    C, values = group["n_classes"].to_numpy(), group[quantity].to_numpy()
    exponent, constant = power(theorem, quantity), value(theorem, quantity)
    at_size, std_error_at_size = value(sized, quantity), value(sized, f"std_error_{quantity}")
    hidden_ce = (group["layer"].iloc[0], group["loss"].iloc[0]) == ("hidden", "ce")
    scale = HIDDEN_CE_SCALE if hidden_ce else CORRECTION_SCALE
    fit = fit_decay(C, values, group[f"std_error_{quantity}"].to_numpy(), exponent, scale)
    theory = np.array([value(prediction, quantity) for prediction in expected])
    closure = fit_decay(C, theory, theory * group[f"rse_{quantity}"].to_numpy(), exponent, scale)
    bias_exponent = closure.exponent.value - exponent
    bias_constant = closure.pinned_constant.value - at_size
    last = int(np.argmax(C))
    distance = abs(percent_deviation(float(theory[last]), at_size * float(C[last]) ** exponent)) / 100
    if constant == 0:
        verdict, reason = _judge_zero(values)
    elif sized is not None and math.isinf(at_size):
        verdict, reason = "not tested", f"there is no C → ∞ constant: {sized.note}"
    elif distance > MAX_DISTANCE:
        verdict = "not tested"
        reason = f"at C = {C[last]} the theory is still {distance:.0%} from its C → ∞ form; sweep larger C"
    else:
        std_error = math.hypot(fit.pinned_constant.std_error, std_error_at_size)
        verdict, reason = _judge_fit(
            fit,
            _excess(fit.exponent.value - exponent, bias_exponent) / fit.exponent.std_error,
            _excess(fit.pinned_constant.value - at_size, bias_constant) / std_error,
        )
    return {
        "quantity": quantity,
        "divided_by_dim": BY_NAME[group["layer"].iloc[0]].is_d_by_d and quantity != "ratio",
        "n_points": fit.n_points,
        "n_corrections": fit.n_corrections,
        "exponent_theorem": exponent,
        "exponent": fit.exponent.value,
        "std_error_exponent": fit.exponent.std_error,
        "bias_exponent": bias_exponent,
        "plain_slope": fit.plain_slope.value,
        "std_error_plain_slope": fit.plain_slope.std_error,
        "constant_theorem": constant,
        "constant_finite_size": at_size,
        "std_error_constant_finite_size": std_error_at_size,
        "size_deviation_percent": percent_deviation(at_size, constant),
        "constant": fit.pinned_constant.value,
        "std_error_constant": fit.pinned_constant.std_error,
        "bias_constant": bias_constant,
        "chi2": fit.chi2,
        "dof": fit.dof,
        "verdict": verdict,
        "reason": reason,
    }


def _excess(difference: float, bias: float) -> float:
    """Return how far a difference goes beyond what the bias explains."""
    return float(np.maximum(0.0, abs(difference) - abs(bias)))


def _judge_zero(values: npt.NDArray[np.float64]) -> tuple[str, str]:
    """Return the verdict where the theorem has exactly zero.

    No norm is negative, so a zero mean is a zero in every draw.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return "not tested", "there is no measured value"
    if np.all(known == 0):
        return "exact", ""
    return "differs", f"the theorem has exactly zero, but the largest mean is {np.max(np.abs(known)):.3g}"


def _judge_fit(fit: DecayFit, pull_exponent: float, pull_constant: float) -> tuple[str, str]:
    """Return the verdict on a fit from its distances to the theory beyond the bias, in standard errors."""
    if fit.reason:
        return "not tested", fit.reason
    if stats.chi2.sf(fit.chi2, fit.dof) < MIN_FIT_PROBABILITY:
        return "differs", f"the fit does not describe the points: χ² = {fit.chi2:.1f}, {fit.dof} degrees of freedom"
    if not math.isfinite(pull_exponent):
        return "not tested", "the bias of the fit is not known: the theory has no values at these C"
    if not math.isfinite(pull_constant):
        return "not tested", "the constant at this d and N is not known or diverges"
    off = []
    if not agrees(pull_exponent):
        off.append(f"the exponent is {pull_exponent:.1f} standard errors, and the bias, from the theorem's")
    if not agrees(pull_constant):
        off.append(f"the constant is {pull_constant:.1f} standard errors, and the bias, from the theory's at this d, N")
    return ("differs", "; ".join(off)) if off else ("agrees", "")
