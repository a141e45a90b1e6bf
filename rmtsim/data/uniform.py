"""Uniform entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmtsim.data.datasets import register_data
from rmtsim.data.row_laws import EntryLaw, Values


@register_data
@dataclass(frozen=True)
class Uniform(EntryLaw):
    """I.i.d. entries uniform from −√3 to √3, which is variance 1.

    Examples
    --------
    >>> from rmtsim.data.uniform import Uniform
    >>> X, y = Uniform().draw(n_classes=10, dim=3, n_samples=5, key="0")
    >>> bool((abs(X) <= 3**0.5).all())
    True
    """

    name = form = example = "uniform"

    @property
    def kurtosis(self) -> float:
        """9/5."""
        return 9 / 5

    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        """Return uniform samples, (count, d)."""
        return 12**0.5 * (rng.random((count, dim)) - 0.5)
