"""A power of C times a constant, fitted to measured values over the theory's own curve at the same sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc

from rmtsim.stats.decay_fit import MIN_CLASSES
from rmtsim.stats.least_squares import least_squares
from rmtsim.stats.verdict import Deviation

Values = npt.NDArray[np.float64]

UNKNOWN = Deviation()

#: A power, a constant, and one degree of freedom to see whether they describe the points.
MIN_POINTS = 3

#: Points of fewer draws are left out: their standard errors are too uncertain to weigh them by.
MIN_DRAWS = 8

#: Points of which the weighted mean of σ² is larger than this squared are too coarse to be fitted as logarithms.
MAX_RSE = 0.2


@dataclass(frozen=True)
class CurveFit:
    """Fit of measured = theory · constant · C^δ, by least squares of log(measured/theory).

    On the curve of the theory at finite C, d and N there are no corrections to scaling, so nothing is fitted that the
    theory has not; the fit is unbiased at every precision, and for every choice of C.

    Attributes
    ----------
    n_points
        Points that are fitted.
    exponent
        δ, with a free constant: what the power of C is off from the theory's.
    constant
        log of the constant at δ = 0: what it is off from the theory's.
    chi2, dof, p_shape
        χ² of the straight line in log C without the point that is farthest from it, its degrees of freedom (points − 3)
        and the probability of a larger one. A single point, which may have met a rare draw, thus makes no shape
        differ (that it differs is for `rmtsim.stats.comparison` to say). The χ² of a line without any given point has
        that distribution, and the least of them is smaller still. NaN with three points.
    reason
        Empty, or why there is no fit.
    """

    n_points: int = 0
    exponent: Deviation = UNKNOWN
    constant: Deviation = UNKNOWN
    chi2: float = math.nan
    dof: int = 0
    p_shape: float = math.nan
    reason: str = ""

    @property
    def p_value(self) -> float:
        """Probability of the least of the three probabilities (Bonferroni); NaN if there is no fit."""
        known = [p for p in (self.exponent.p_value, self.constant.p_value, self.p_shape) if not math.isnan(p)]
        return min(1.0, TESTS * min(known)) if known else math.nan


#: Tests of a fit: of its exponent, its constant and its shape.
TESTS = 3


def fit_on_curve(
    n_classes: npt.ArrayLike,
    ratios: npt.ArrayLike,
    rse: npt.ArrayLike,
    draws: npt.ArrayLike,
) -> CurveFit:
    """Fit a constant and a power of C to measured values over the theory's.

    Parameters
    ----------
    n_classes, ratios
        C, and measured over theory at this C, each (n,).
    rse
        Relative standard errors of the ratios, (n,): those of the measured value and of the theory in quadrature.
    draws
        Draws that they were found from, (n,).

    Notes
    -----
    Used are the points with C ≥ `rmtsim.stats.decay_fit.MIN_CLASSES`, a positive ratio and a known standard error, of
    at least ``MIN_DRAWS`` draws. Their weights are those of a smooth σ: a power of C over the root of the draws, fitted
    to all of them. A weight of its own would make a point count more because it came out low or calm by chance, which
    moves the fit, and more to one side than to the other. Standard errors are those of the points, carried through
    (White's). Student's t allows for their being estimates, with as many degrees of freedom as the points have on
    average: the harmonic mean of draws − 1, weighted by their shares in the variance.

    Examples
    --------
    >>> C = np.array([10, 30, 100, 300, 1000])
    >>> fit = fit_on_curve(C, 1.1 * (C / 100) ** 0.01, np.full(5, 0.01), np.full(5, 64))
    >>> [(round(x.value, 4), round(x.std_error, 4)) for x in (fit.exponent, fit.constant)]
    [(0.01, 0.0027), (0.0951, 0.0045)]
    """
    C, ratio, sigma, n = (np.asarray(a, dtype=np.float64) for a in (n_classes, ratios, rse, draws))
    used = (C >= MIN_CLASSES) & (ratio > 0) & np.isfinite(ratio) & (sigma > 0) & np.isfinite(sigma) & (n >= MIN_DRAWS)
    C, x, sigma, n = np.log(C[used]), np.log(ratio[used]), sigma[used], n[used]
    distinct = len(np.unique(C))
    if distinct < MIN_POINTS:
        reason = (
            f"a fit needs {MIN_POINTS} numbers of classes of at least {MIN_CLASSES}, each with a theory and "
            f"{MIN_DRAWS} draws or more; there are {distinct}"
        )
        return CurveFit(len(x), reason=reason)
    dofs, columns = n - 1, [np.ones_like(C), C]
    spread = np.log(sigma * np.sqrt(n))
    smooth = np.exp(spread - least_squares(columns, spread).residuals) / np.sqrt(n)
    constant = _parameter(columns[:1], x, sigma, smooth, dofs)
    typical = constant.std_error * math.sqrt(len(x))
    if typical > MAX_RSE:
        return CurveFit(len(x), reason=f"the points are measured to {typical:.0%}; a fit needs {MAX_RSE:.0%} or better")
    exponent = _parameter(columns, x, sigma, smooth, dofs)
    line = least_squares(columns, x, sigma)
    left_out = line.residuals**2 / np.maximum(1 - line.leverages, 1e-12)  # what χ² loses without the point
    chi2, dof = max(line.chi2 - float(left_out.max()), 0.0), len(x) - MIN_POINTS
    p_shape = float(fdtrc(dof, 1 / np.mean(1 / dofs), chi2 / dof)) if dof else math.nan
    return CurveFit(len(x), exponent, constant, chi2 if dof else math.nan, dof, p_shape)


def _parameter(columns: Sequence[Values], x: Values, sigma: Values, smooth: Values, dofs: Values) -> Deviation:
    """Fit values x with standard errors σ, weighted by smooth ones; return the last parameter.

    A parameter is linear in x, so what it makes of σ of one point alone is its error by that point.
    """
    value, *errors = least_squares(columns, np.column_stack([x, np.diag(sigma)]), smooth).values[-1].tolist()
    parts = np.square(errors)
    variance = float(np.sum(parts))
    return Deviation(value, math.sqrt(variance), variance / float(np.sum(parts / dofs)))
