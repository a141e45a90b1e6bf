"""Data on a sphere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmtsim.data.datasets import register_data
from rmtsim.data.row_laws import RowLaw, Values


@register_data
@dataclass(frozen=True)
class Sphere(RowLaw):
    """Samples uniform on the sphere of radius √d: the directions of Gaussian data, without their lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from rmtsim.data.sphere import Sphere
    >>> X, y = Sphere().draw(n_classes=10, dim=3, n_samples=5, key="0")
    >>> bool(np.allclose((X**2).sum(axis=1), 3))
    True
    """

    name = form = example = "sphere"
    isotropic = True

    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        """Return samples of length √d, (count, d)."""
        X = rng.standard_normal((count, dim))
        X *= np.sqrt(dim / np.sum(X**2, axis=1, keepdims=True))
        return X

    def fourth_moment(self, dim: int) -> float:
        """E|x|⁴ = d²."""
        return float(dim) ** 2

    def pair_moment(self, dim: int) -> float:
        """E(x·x')² = d."""
        return float(dim)

    @property
    def pair_limit(self) -> float:
        """1."""
        return 1.0
