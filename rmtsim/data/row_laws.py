"""Laws of data whose samples are independent, with labels that know nothing of them: those that points can have.

All have mean 0 and E|x|² = d, so that logits are as large as with Gaussian data: they differ in shape alone.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import asdict, dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import Any, ClassVar, TypeAlias, get_type_hints

import numpy as np
import numpy.typing as npt

from rmtsim.data.datasets import DataLaw, parse_data
from rmtsim.data.labelled import Samples, check_sizes, keyed
from rmtsim.errors import InputError
from rmtsim.text.words import abridge

Values: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RowLaw(DataLaw):
    """A law of X with independent rows x of mean 0 and E|x|² = d, and labels uniform over the classes.

    Beside training runs, points of sweeps take such a law: `rmtsim.Ensemble` and ``[ensemble]`` of a spec. A new one
    derives from this class, as a frozen dataclass whose fields are whole numbers (``int``) or numbers (``float``), in
    the order in which they stand after the name; the text is read and written by these fields. It defines `name`,
    `form`, `example` and `rows`, and its moments where theory is to hold for it.

    Attributes
    ----------
    example
        A valid text, which messages show.
    isotropic
        Whether E x xᵀ is the identity.
    moments
        E|x|^k exists for k below this; infinite where all moments do.
    """

    example: ClassVar[str]
    isotropic: ClassVar[bool] = False

    @property
    def moments(self) -> float:
        """Infinite, unless a law has heavy tails."""
        return math.inf

    def __post_init__(self) -> None:
        for name, kind in _kinds_of(type(self)).items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral if kind is int else Real):
                raise InputError(
                    f"data: {name} {abridge(value)} is not valid; give {self.form}, such as {self.example}"
                )
            object.__setattr__(self, name, kind(value))  # so that equal laws have equal identities
        self.check_parameters()

    def check_parameters(self) -> None:
        """Raise InputError unless the parameters are valid; they have their types."""

    @abstractmethod
    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        """Return independent samples, (count, d); a larger count only adds rows to those of a smaller one."""

    def fourth_moment(self, dim: int) -> float:
        """E|x|⁴ at d; infinite where it does not exist, NaN where it is not known."""
        return math.nan

    def pair_moment(self, dim: int) -> float:
        """E(x·x')² = tr (E x xᵀ)² of two samples at d; NaN where it is not known."""
        return math.nan

    @property
    def pair_limit(self) -> float:
        """Limit of `pair_moment` over d as d → ∞; infinite where it grows faster, NaN where it is not known."""
        return math.nan

    @classmethod
    def parse(cls, text: str) -> RowLaw | None:
        """Return the law for its name, followed by a colon and a number for each of its parameters."""
        name, *given = text.split(":")
        if name != cls.name:
            return None
        try:
            return cls(*(kind(number) for kind, number in zip(_kinds_of(cls).values(), given, strict=True)))
        except (ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            advice = f"give {cls.form}" if cls.form == cls.example else f"give {cls.form}, such as {cls.example}"
            raise InputError(f"data: {abridge(text)} is not valid; {advice}") from None

    @property
    def text(self) -> str:
        """The name, followed by a colon and each parameter in its shortest form."""
        return ":".join([self.name, *(repr(value).removesuffix(".0") for value in asdict(self).values())])

    def check(self, n_classes: int, dim: int, n_samples: int) -> None:
        """Raise InputError unless C, d and N are sizes, and d is one that the law has."""
        check_sizes(n_classes, dim, n_samples)
        self.check_dim(dim)

    def check_dim(self, dim: int) -> None:
        """Raise InputError where the law does not exist in d dimensions."""

    def parameters(self) -> dict[str, Any]:
        """Return the name and the parameters."""
        return {"kind": self.name, **asdict(self)}

    def draw(self, n_classes: int, dim: int, n_samples: int, key: str) -> Samples:
        """Return X (N, d) and y (N,), a function of the arguments alone."""
        self.check(n_classes, dim, n_samples)
        X = self.rows(keyed(self.name, "X", key), n_samples, dim)
        return X, keyed(self.name, "y", key).integers(n_classes, size=n_samples)


@cache  # as annotations take long to read, and each point has a law
def _kinds_of(law: type[RowLaw]) -> dict[str, Any]:
    """Return the types of a law's parameters, by their names."""
    hints = get_type_hints(law)
    return {field.name: hints[field.name] for field in fields(law)}


@dataclass(frozen=True)
class EntryLaw(RowLaw):
    """A law of X with independent entries, all of one law of variance 1."""

    isotropic = True

    @property
    @abstractmethod
    def kurtosis(self) -> float:
        """E x_i⁴: 3 for a normal; infinite where it does not exist."""

    def fourth_moment(self, dim: int) -> float:
        """E|x|⁴ = d(d − 1) + d E x_i⁴."""
        return dim * (dim - 1.0) + dim * self.kurtosis

    def pair_moment(self, dim: int) -> float:
        """E(x·x')² = d."""
        return float(dim)

    @property
    def pair_limit(self) -> float:
        """1."""
        return 1.0


@dataclass(frozen=True)
class NormalLaw(RowLaw):
    """A law of X with normal rows x ~ N(0, Σ) and tr Σ = d."""

    def fourth_moment(self, dim: int) -> float:
        """E|x|⁴ = d² + 2 tr Σ²."""
        return dim**2 + 2 * self.pair_moment(dim)


@dataclass(frozen=True)
class AxesLaw(NormalLaw):
    """A law of X with independent normal entries whose variances differ: Σ is diagonal.

    With weights whose law knows no direction, as Gaussian and orthogonal ones, norms depend on the eigenvalues of Σ
    alone; with uniform weights on its axes, too.
    """

    @abstractmethod
    def relative_variances(self, dim: int) -> Values:
        """Return positive numbers (d,) that the variances are proportional to."""

    def variances(self, dim: int) -> Values:
        """Return the variances of the entries, (d,), of mean 1."""
        relative = self.relative_variances(dim)
        found: Values = relative * (dim / relative.sum())
        return found

    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        """Return normal samples, (count, d)."""
        return rng.standard_normal((count, dim)) * np.sqrt(self.variances(dim))

    def pair_moment(self, dim: int) -> float:
        """E(x·x')² = Σ_i Var(x_i)²."""
        return float(np.sum(self.variances(dim) ** 2))


def parse_row_law(text: Any) -> RowLaw:
    """Return the law of independent samples that a text names, as `rmtsim.data.datasets.parse_data` does.

    Raises
    ------
    InputError
        If the text names none.

    Examples
    --------
    >>> from rmtsim.data.row_laws import parse_row_law
    >>> law = parse_row_law("student_t:6.0")
    >>> law.text, law.fourth_moment(dim=10)
    ('student_t:6', 150.0)
    """
    law = parse_data(text, RowLaw)
    assert isinstance(law, RowLaw)
    return law
