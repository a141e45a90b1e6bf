"""Data whose neighbouring coordinates are correlated, as of a time series."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rmtsim.data.datasets import register_data
from rmtsim.data.row_laws import NormalLaw, Values
from rmtsim.errors import InputError


@register_data
@dataclass(frozen=True)
class Ar1(NormalLaw):
    """Stationary autoregressive samples, x_i = ρ x_{i−1} + √(1 − ρ²) g_i: normal with covariance Σ_ij = ρ^|i−j|.

    Parameters
    ----------
    correlation
        ρ of neighbours, between −1 and 1, and not 0, which is Gaussian data.

    Raises
    ------
    InputError
        If it is not.

    Examples
    --------
    >>> from rmtsim.data.ar1 import Ar1
    >>> Ar1(correlation=0.5).pair_limit
    1.6666666666666667
    """

    name, form, example = "ar1", "ar1:RHO", "ar1:0.5"

    correlation: float

    def check_parameters(self) -> None:
        """Raise InputError unless the parameters are in their ranges."""
        if not -1 < self.correlation < 1:
            raise InputError(f"data: {self.text} is not stationary; give RHO between -1 and 1, such as {self.example}")
        if self.correlation == 0:
            raise InputError(f"data: {self.text} has independent entries; give gaussian for these")

    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        """Return samples, (count, d)."""
        columns = np.ascontiguousarray(
            rng.standard_normal((count, dim)).T
        )  # one coordinate of all samples after another
        columns[1:] *= math.sqrt(1 - self.correlation**2)
        for before, after in pairwise(columns):
            after += self.correlation * before
        return np.ascontiguousarray(columns.T)

    def pair_moment(self, dim: int) -> float:
        """E(x·x')² = Σ_ij ρ^{2|i−j|}."""
        lags = np.arange(1, dim)
        return dim + 2 * float(np.sum((dim - lags) * self.correlation ** (2.0 * lags)))

    @property
    def pair_limit(self) -> float:
        """(1 + ρ²)/(1 − ρ²)."""
        return (1 + self.correlation**2) / (1 - self.correlation**2)
