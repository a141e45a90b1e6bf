"""Signs: the law of bounded data with the lightest tails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmtsim.data.datasets import register_data
from rmtsim.data.row_laws import EntryLaw, Values


@register_data
@dataclass(frozen=True)
class Rademacher(EntryLaw):
    """I.i.d. entries ±1 with equal chances, so that |x|² = d in every sample.

    Examples
    --------
    >>> from rmtsim.data.rademacher import Rademacher
    >>> X, y = Rademacher().draw(n_classes=10, dim=3, n_samples=5, key="0")
    >>> set((X**2).sum(axis=1).tolist())
    {3.0}
    """

    name = form = example = "rademacher"

    @property
    def kurtosis(self) -> float:
        """1."""
        return 1.0

    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        """Return samples of signs, (count, d)."""
        signs = 2 * rng.integers(0, 2, size=(count, dim), dtype=np.int8) - 1
        return signs.astype(np.float64)
