"""Decay-rate fits: the power of C and its constant, freed of the corrections at finite C."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rmtsim.errors import InputError
from rmtsim.stats.least_squares import least_squares

Values = npt.NDArray[np.float64]

#: Points with fewer classes say more about their corrections than about the power.
MIN_CLASSES = 10

#: Points less certain than this are left out: their logarithm is neither normal nor unbiased.
MAX_RSE = 0.2

#: A power, a constant, one correction, and one degree of freedom to see whether they describe the data.
MIN_POINTS = 4

#: More corrections than this cost more in standard error than they gain in systematic error.
MAX_CORRECTIONS = 3

#: The number of classes below which corrections are of order one. With logits N(0, v), the weight e^{2Z₁ + 2Z₂}
#: of E[p₁²p₂²] shifts Z₁ and Z₂ by 2v: the softmax denominator has mean e^{v/2}(C − 2 + 2e^{2v}), and the two classes
#: outweigh all the others when C is below about 2e^{2v}. The linear model has v = 1.
CORRECTION_SCALE = 2 * math.e**2


class Fitted(NamedTuple):
    """A fitted value and its statistical standard error; NaN for what is not known."""

    value: float = math.nan
    std_error: float = math.nan


UNKNOWN = Fitted()


@dataclass(frozen=True)
class DecayFit:
    """Fit of y(C) = constant · C**exponent · exp(Σ_k b_k u^k), u = s/(C + s), k = 1 … n_corrections.

    u → 0 as C → ∞, so exponent and constant are the asymptotic ones. log y is linear in all parameters, so the
    weighted least squares is solved exactly; standard errors are those of y carried through, not rescaled by χ².
    In powers of 1/C the corrections are an asymptotic series only, useless at C = 10 (its coefficients are
    moments of a lognormal); in u, a few terms do from C = 10 on. For linear CE the
    systematic error of the exponent is below 0.003 with six C from 10 to 3000, under half a standard error where
    the points have 0.5 %; ``rmtsim.stats.claims`` measures it for every fit.

    Attributes
    ----------
    n_points, n_corrections
        Points used and terms u^k of the fit.
    exponent, constant, chi2, dof
        The free fit; dof = n_points − n_corrections − 2.
    pinned_constant
        The constant with the exponent held at a given value: much tighter. NaN if none was given.
    plain_slope
        Straight line in log–log through the same points, without corrections: biased; for comparison.
    reason
        Empty, or why there is no fit: then all values but perhaps the plain slope are NaN.
    """

    n_points: int
    n_corrections: int = 0
    exponent: Fitted = UNKNOWN
    constant: Fitted = UNKNOWN
    chi2: float = math.nan
    dof: int = 0
    pinned_constant: Fitted = UNKNOWN
    plain_slope: Fitted = UNKNOWN
    reason: str = ""


def fit_decay(
    n_classes: npt.ArrayLike,
    values: npt.ArrayLike,
    std_errors: npt.ArrayLike,
    exponent: float = math.nan,
    scale: float = CORRECTION_SCALE,
) -> DecayFit:
    """Fit the asymptotic power law of ``values`` in ``n_classes``.

    The number of corrections is the number of distinct C less 3, at most ``MAX_CORRECTIONS``: it depends on the
    amount of data alone, never on the values, so the standard errors need no allowance for a choice of model.

    Parameters
    ----------
    n_classes, values, std_errors
        C, y(C) and its standard error, each (n,). Used are the points with C ≥ ``MIN_CLASSES``, y > 0 and a
        relative standard error in (0, ``MAX_RSE``].
    exponent
        Where to pin the exponent in the second fit of the constant; NaN: no such fit.
    scale
        s, the number of classes at which the corrections set in.

    Raises
    ------
    InputError
        If the three differ in length. Data that allow no fit raise nothing: see ``DecayFit.reason``.

    Examples
    --------
    >>> C = np.array([10, 30, 100, 300, 1000, 3000])
    >>> y = 5 * (C + 4.0) ** -2
    >>> fit = fit_decay(C, y, 0.005 * y, exponent=-2)
    >>> [round(x.value, 3) for x in (fit.exponent, fit.pinned_constant, fit.plain_slope)]
    [-2.001, 5.002, -1.897]
    """
    C, y, std_error = (np.asarray(a, dtype=np.float64) for a in (n_classes, values, std_errors))
    if C.ndim != 1 or not C.shape == y.shape == std_error.shape:
        raise InputError(
            f"fit: classes, values and standard errors have shapes {C.shape}, {y.shape}, {std_error.shape}; give "
            "three sequences of one length"
        )
    large = (C >= MIN_CLASSES) & np.isfinite(y)
    if np.any(large) and np.all(y[large] == 0):
        return DecayFit(int(np.sum(large)), reason="zero in every draw, so there is no power to fit")
    with np.errstate(divide="ignore", invalid="ignore"):
        rse = std_error / y
    used = large & (y > 0) & (rse > 0) & (rse <= MAX_RSE)
    C, log_y, rse = C[used], np.log(y[used]), rse[used]
    distinct = len(np.unique(C))
    plain = _solve(C, log_y, rse, scale, 0)[0][1] if distinct > 1 else UNKNOWN
    if distinct < MIN_POINTS:
        reason = (
            f"a fit needs {MIN_POINTS} numbers of classes of at least {MIN_CLASSES}, measured to {MAX_RSE:.0%} or "
            f"better; there are {distinct}"
        )
        return DecayFit(len(C), plain_slope=plain, reason=reason)
    order = min(distinct - 3, MAX_CORRECTIONS)
    (log_constant, power), chi2 = _solve(C, log_y, rse, scale, order)
    pinned = UNKNOWN
    if not math.isnan(exponent):
        [log_pinned], _ = _solve(C, log_y, rse, scale, order, exponent)
        pinned = _exp(log_pinned)
    return DecayFit(
        n_points=len(C),
        n_corrections=order,
        exponent=power,
        constant=_exp(log_constant),
        chi2=chi2,
        dof=len(C) - order - 2,
        pinned_constant=pinned,
        plain_slope=plain,
    )


def _exp(log_value: Fitted) -> Fitted:
    value = math.exp(log_value.value)
    return Fitted(value, value * log_value.std_error)


def _solve(
    C: Values, log_y: Values, rse: Values, scale: float, order: int, exponent: float | None = None
) -> tuple[list[Fitted], float]:
    """Fit log y to 1, log C (unless pinned) and u, …, u^order.

    Returns the log constant and, unless pinned, the exponent; then χ².
    """
    u = scale / (C + scale)
    columns = [np.ones_like(C), np.log(C), *(u**k for k in range(1, order + 1))]
    if exponent is not None:
        log_y = log_y - exponent * columns.pop(1)
    fit = least_squares(columns, log_y, rse)
    wanted = 2 if exponent is None else 1
    return [Fitted(*pair) for pair in zip(fit.values.tolist(), fit.std_errors.tolist(), strict=True)][:wanted], fit.chi2
