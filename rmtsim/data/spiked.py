"""Data with a few strong directions (Johnstone 2001, Annals of Statistics 29, 295)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmtsim.data.datasets import register_data
from rmtsim.data.row_laws import AxesLaw, Values
from rmtsim.errors import InputError
from rmtsim.text.checks import MAX_SIZE


@register_data
@dataclass(frozen=True)
class Spiked(AxesLaw):
    """Independent normal entries, the first k with 1 + s times the variance of the others; the mean variance is 1.

    Parameters
    ----------
    spikes
        k, from 1 up to d.
    strength
        s, above 0 and at most 10⁶.

    Raises
    ------
    InputError
        If one is not.

    Examples
    --------
    >>> from rmtsim.data.spiked import Spiked
    >>> Spiked(spikes=1, strength=3).variances(dim=3)
    array([2. , 0.5, 0.5])
    """

    name, form, example = "spiked", "spiked:K:S", "spiked:3:10"

    spikes: int
    strength: float

    def check_parameters(self) -> None:
        """Raise InputError unless the parameters are in their ranges."""
        if not 1 <= self.spikes <= MAX_SIZE:
            raise InputError(f"data: {self.text} has {self.spikes} spikes; give K from 1 to the dimension, or gaussian")
        if not 0 < self.strength <= 1e6:
            raise InputError(
                f"data: {self.text} is not valid; give S above 0 and up to 1000000, such as {self.example}"
            )

    def check_dim(self, dim: int) -> None:
        """Raise InputError where there are fewer dimensions than spikes."""
        if self.spikes > dim:
            raise InputError(f"data: {self.text} has {self.spikes} spikes at dim {dim}; give K up to the dimension")

    def relative_variances(self, dim: int) -> Values:
        """Return 1 + s, k times, and 1 for the others."""
        return np.where(np.arange(dim) < self.spikes, 1 + self.strength, 1.0)

    @property
    def pair_limit(self) -> float:
        """1: the spikes are few among many."""
        return 1.0
