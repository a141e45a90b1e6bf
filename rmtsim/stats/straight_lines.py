"""Straight lines through draws: their slopes, and whether the means are on one."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc

Values = npt.NDArray[np.float64]


def slopes(x: Values, y: Values) -> Values:
    """Least-squares slopes, (draws,), of values (draws, places) at the places x, with equal weights."""
    x = x - x.mean()
    return np.asarray(y @ x / np.sum(x**2))


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
    line, _ = np.linalg.qr(np.stack([np.ones(len(means)), x], axis=1) / errors[:, None])
    residuals = means / errors - line @ (line.T @ (means / errors))
    dof = len(means) - 2
    rest = np.sum((1 - np.sum(line**2, axis=1)) ** 2) / (len(y) - 1)
    f = float(np.sum(residuals**2) / (dof + 2 * rest - 6 * rest / (dof + 2)))
    return f, float(fdtrc(dof, dof * (dof + 2) / (3 * rest), f))
