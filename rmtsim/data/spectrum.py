"""Data whose covariance has a power law of eigenvalues, as images and features of networks have."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rmtsim.data.datasets import register_data
from rmtsim.data.row_laws import AxesLaw, Values
from rmtsim.errors import InputError


@register_data
@dataclass(frozen=True)
class Spectrum(AxesLaw):
    """Independent normal entries of variances proportional to i^−α for i = 1 … d, of mean 1.

    Parameters
    ----------
    decay
        α, above 0 and at most 4.

    Raises
    ------
    InputError
        If it is not.

    Examples
    --------
    >>> from rmtsim.data.spectrum import Spectrum
    >>> Spectrum(decay=1).variances(dim=2)
    array([1.33333333, 0.66666667])
    """

    name, form, example = "spectrum", "spectrum:ALPHA", "spectrum:1"

    decay: float

    def check_parameters(self) -> None:
        """Raise InputError unless the parameters are in their ranges."""
        if not 0 < self.decay <= 4:
            raise InputError(f"data: {self.text} is not valid; give ALPHA above 0 and up to 4, such as {self.example}")

    def relative_variances(self, dim: int) -> Values:
        """Return i^−α."""
        found: Values = np.arange(1.0, dim + 1) ** -self.decay
        return found

    @property
    def pair_limit(self) -> float:
        """(1 − α)²/(1 − 2α) for α < 1/2; else infinite, as the first entries alone then make up for most of Σ²."""
        return (1 - self.decay) ** 2 / (1 - 2 * self.decay) if self.decay < 0.5 else math.inf
