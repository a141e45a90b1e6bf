"""Straight lines through draws: their slopes, and whether the means are on one."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc

from rmtsim.stats.least_squares import least_squares

Values = npt.NDArray[np.float64]


def slopes(x: Values, y: Values) -> Values:
    """Least-squares slopes, (draws,), of values (draws, places) at the places x, with equal weights."""
    return np.asarray(least_squares([np.ones_like(x), x], y.T).values[1])


def misfit(x: Values, y: Values) -> tuple[float, float]:
    """Test a straight line through means over draws, which differ in their variances.

    The residual sum of squares, weighted by inverse variances that the draws themselves estimate, in the Welch-James
    approximation (Johansen 1980, Biometrika 67, 85): an F distribution, where χ² would call ten times too many bent.

    Parameters
    ----------
    x
        At least three places.
    y
        Values (draws, places), all independent; at least two draws.

    Returns
    -------
    tuple
        F, and the probability of a larger one if the line is straight.
    """
    means, errors = y.mean(axis=0), y.std(axis=0, ddof=1) / math.sqrt(len(y))
    line = least_squares([np.ones_like(x), x], means, errors)
    dof = len(means) - 2
    rest = np.sum((1 - line.leverages) ** 2) / (len(y) - 1)
    f = float(line.chi2 / (dof + 2 * rest - 6 * rest / (dof + 2)))
    return f, float(fdtrc(dof, dof * (dof + 2) / (3 * rest), f))
