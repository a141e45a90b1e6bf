"""Laws of data for tests, with their covariances, and how far a mean is off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

#: Most standard errors that a mean may be off.
MOST = 4.5
#: A law of each kind, with its covariance in 6 dimensions.
SPIKED = np.array([6, 6, 1, 1, 1, 1]) * 6 / 16
SPECTRUM = 1 / np.arange(1, 7) / np.mean(1 / np.arange(1, 7))
AR1 = 0.5 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
COVARIANCES: dict[str, Any] = {
    "gaussian": np.eye(6),
    "rademacher": np.eye(6),
    "uniform": np.eye(6),
    "student_t:12": np.eye(6),
    "sphere": np.eye(6),
    "ar1:0.5": AR1,
    "spectrum:1": np.diag(SPECTRUM),
    "spiked:2:5": np.diag(SPIKED),
}


def distance(values: npt.ArrayLike, expected: float) -> float:
    """Distance of the mean of independent values from what is expected, in standard errors; 0 where all are that."""
    values = np.asarray(values, dtype=float)
    error, off = values.std(ddof=1) / math.sqrt(len(values)), float(abs(values.mean() - expected))
    return float(off / error) if error > 1e-12 else 0.0 if off < 1e-9 else math.inf
