"""Laws with finitely many atoms, and their Cauchy transform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmtsim.theory.spectra.analytic_law import Cauchy

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DiscreteLaw:
    """The law with ``probabilities`` at the distinct, increasing, non-zero ``values``, and the rest at 0."""

    values: Array
    probabilities: Array

    @property
    def nonzero(self) -> float:
        """P(λ ≠ 0)."""
        return float(self.probabilities.sum())

    def moment(self, k: int) -> float:
        """E λ^k, k ≥ 1."""
        return float(self.probabilities @ self.values**k)

    def pieces(self, ratio: float) -> list[tuple[float, float]]:
        """Return the atoms but 0, as intervals; those are joined where I(t, 0) > ``ratio`` all the way between them.

        That is so where the two neighbours alone see to it: a/(t − λ)² + b/(λ' − t)² ≥ (a^⅓ + b^⅓)³/(λ' − λ)².
        """
        if len(self.values) == 0:
            return []
        root = np.cbrt(self.probabilities * self.values**2)
        apart = (root[1:] + root[:-1]) ** 3 < ratio * np.diff(self.values) ** 2
        starts, ends = self.values[np.append(True, apart)], self.values[np.append(apart, True)]
        return [(float(a), float(b)) for a, b in zip(starts, ends, strict=True)]

    @property
    def bound(self) -> float:
        """The largest λ that is not 0."""
        return float(self.values[-1])

    @property
    def breaks(self) -> Array:
        """None: between atoms the bands have one scale each."""
        return np.zeros(0)

    def real_intensity(self, t: Array) -> Array:
        """Return I(t, 0) = E λ²/(t − λ)² at real t."""
        with np.errstate(divide="ignore"):
            q: Array = (self.values / (t[..., None] - self.values)) ** 2 @ self.probabilities
        return q

    def cauchy(self, t: Array, v: Array) -> Cauchy:
        """Return the transforms at u = t + iv, v > 0."""
        return Cauchy.sums(t, v, self.values, self.probabilities)


def merged(values: Array, probabilities: Array) -> DiscreteLaw:
    """Sort the atoms, add up equal ones and leave out 0."""
    distinct, place = np.unique(values, return_inverse=True)
    total = np.bincount(place, probabilities, len(distinct))
    kept = (distinct != 0) & (total > 0)
    return DiscreteLaw(distinct[kept], total[kept])
