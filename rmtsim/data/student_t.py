"""Entries with heavy tails: Student's t."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rmtsim.data.datasets import register_data
from rmtsim.data.row_laws import EntryLaw, Values
from rmtsim.errors import InputError


@register_data
@dataclass(frozen=True)
class StudentT(EntryLaw):
    """I.i.d. entries √((ν − 2)/ν) t of variance 1, where t has Student's law with ν degrees of freedom.

    Moments of order ν and above do not exist. Squared norms of blocks go with fourth powers of x, so their mean exists
    for ν > 4, and has a finite variance for ν > 8, where nothing else bounds them, as the softmax does with CE.

    Parameters
    ----------
    dof
        ν, a number above 2 and at most 10⁶.

    Raises
    ------
    InputError
        If it is not.

    Examples
    --------
    >>> from rmtsim.data.student_t import StudentT
    >>> StudentT(dof=6).kurtosis, StudentT(dof=4).kurtosis
    (6.0, inf)
    """

    name, form, example = "student_t", "student_t:NU", "student_t:5"

    dof: float

    def check_parameters(self) -> None:
        """Raise InputError unless the parameters are in their ranges."""
        if self.dof <= 2:
            raise InputError(f"data: {self.text} has no variance; give NU above 2, such as {self.example}")
        if not self.dof <= 1e6:
            raise InputError(f"data: {self.text} is not valid; give NU up to 1000000, or gaussian")

    @property
    def moments(self) -> float:
        """ν."""
        return self.dof

    @property
    def kurtosis(self) -> float:
        """3 (ν − 2)/(ν − 4); infinite for ν ≤ 4."""
        return 3 * (self.dof - 2) / (self.dof - 4) if self.dof > 4 else math.inf

    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        """Return samples, (count, d)."""
        return math.sqrt((self.dof - 2) / self.dof) * rng.standard_t(self.dof, (count, dim))
