"""The features of a network: their mean and size, batches of them, and Gaussian vectors of the same covariance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.heads.matrix import Matrix, blocks, pick_rows

Values = npt.NDArray[np.float64]

#: Vectors whose spread about their mean is below this share of their squares are equal.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Features:
    """Vectors x_n, the rows of a matrix (M, d), that come in batches of N.

    Parameters
    ----------
    X
        The vectors.
    size
        N; what is left of the M rows after the last whole batch is in none.
    shuffled
        The seed by which the rows are shared out to batches at random, or None: as they follow each other.
    mean
        Their mean (d,).
    mean_square
        The mean of |x|²/d.
    largest
        The largest magnitude of a number in them.
    least
        The least number in them.
    correlation
        Of vectors with those that follow them, about the mean; NaN where all are equal.
    """

    X: Matrix
    size: int
    shuffled: int | None
    mean: Values
    mean_square: float
    largest: float
    least: float
    correlation: float

    @classmethod
    def of(cls, X: Matrix, size: int, shuffled: int | None) -> Features:
        """Return the features after a first look at all of them, which finds what is not finite."""
        count = X.shape[0]
        total, squares, products, largest, least = np.zeros(X.shape[1]), 0.0, 0.0, 0.0, math.inf
        first = before = X.rows(0, 1, np.float64)[0]
        for part in blocks(X):
            rows = X.rows(part.start, part.stop, np.float64)
            total += rows.sum(axis=0)
            squares += float(np.vdot(rows, rows))
            least = min(least, float(rows.min()))
            largest = max(largest, float(rows.max()), -least)
            products += float(np.vdot(rows[:-1], rows[1:])) + (float(before @ rows[0]) if part.start else 0.0)
            before = rows[-1]
        mean = total / count
        spread = squares - count * float(mean @ mean)
        products += float(mean @ (first + before - (count + 1) * mean))
        correlation = products / spread if spread > _ROUNDING * squares else math.nan
        return cls(X, size, shuffled, mean, squares / math.prod(X.shape), largest, least, correlation)

    @property
    def batches(self) -> int:
        """The number of whole batches."""
        return self.X.shape[0] // self.size

    def batch(self, number: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return the vectors of a batch, (N, d)."""
        start, stop = number * self.size, (number + 1) * self.size
        if self.shuffled is None:
            return self.X.rows(start, stop, dtype)
        order = np.random.default_rng(self.shuffled).permutation(self.X.shape[0])
        return pick_rows(self.X, order[start:stop], dtype)

    def gaussian(self, key: list[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return N vectors of the normal law with the mean and covariance of all the features, (N, d).

        They are sums of the centred features with normal coefficients over √(M − 1), which takes no d×d matrix.
        """
        rng, (count, dim) = np.random.default_rng(key), self.X.shape
        mean, scale = self.mean.astype(dtype), 1 / math.sqrt(count - 1)
        found = np.zeros((self.size, dim), dtype)
        step = max(1, 2**22 // max(self.size, dim))
        for start in range(0, count, step):
            rows = self.X.rows(start, min(start + step, count), dtype) - mean
            coefficients = scale * rng.standard_normal((self.size, len(rows)))
            found += coefficients.astype(dtype, copy=False) @ rows
        found += mean
        return found

    def effective_dimension(self, X: npt.NDArray[Any]) -> float:
        """Return (tr Σ)²/tr Σ² of the covariance Σ of vectors X (N, d), without the bias of squares; NaN where Σ = 0.

        The sample covariance of M vectors has a tr Σ² that is too large by this over M − 1, relatively.
        """
        centred = X - self.mean.astype(X.dtype)
        gram = centred @ centred.T
        trace, own = float(np.trace(gram, dtype=np.float64)), float(np.sum(np.square(np.diagonal(gram)), dtype=float))
        square = float(np.sum(np.vecdot(gram, gram), dtype=np.float64)) - own
        count = len(X)
        return trace**2 / count**2 / (square / (count * (count - 1))) if square > 0 else math.nan
