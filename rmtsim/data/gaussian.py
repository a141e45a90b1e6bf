"""Gaussian data with random labels: the paper's Assumption 1 and Appendix B.3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmtsim.data.datasets import register_data
from rmtsim.data.row_laws import EntryLaw, Values


@register_data
@dataclass(frozen=True)
class Gaussian(EntryLaw):
    """I.i.d. N(0, 1) entries, and labels uniform over the classes.

    Examples
    --------
    >>> from rmtsim.data.gaussian import Gaussian
    >>> X, y = Gaussian().draw(n_classes=10, dim=3, n_samples=5, key="0")
    >>> X.shape, y.shape
    ((5, 3), (5,))
    """

    name = form = example = "gaussian"

    @property
    def kurtosis(self) -> float:
        """3."""
        return 3.0

    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        """Return normal samples, (count, d)."""
        return rng.standard_normal((count, dim))
