"""Gaussian data with random labels: the paper's Assumption 1 and Appendix B.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmtsim.data.datasets import DataLaw, register_data
from rmtsim.data.labelled import Samples, check_sizes, keyed


@register_data
@dataclass(frozen=True)
class Gaussian(DataLaw):
    """I.i.d. N(0, 1) entries, and labels uniform over the classes.

    Examples
    --------
    >>> from rmtsim.data.gaussian import Gaussian
    >>> X, y = Gaussian().draw(n_classes=10, dim=3, n_samples=5, key="0")
    >>> X.shape, y.shape
    ((5, 3), (5,))
    """

    name = form = "gaussian"
    is_gaussian = True

    @classmethod
    def parse(cls, text: str) -> Gaussian | None:
        """Return the law for ``gaussian``."""
        return cls() if text == cls.form else None

    @property
    def text(self) -> str:
        """The name."""
        return self.name

    def check(self, n_classes: int, dim: int, n_samples: int) -> None:
        """Raise InputError unless C, d and N are sizes."""
        check_sizes(n_classes, dim, n_samples)

    def parameters(self) -> dict[str, Any]:
        """Return the kind of data."""
        return {"kind": self.name}

    def draw(self, n_classes: int, dim: int, n_samples: int, key: str) -> Samples:
        """Return X (N, d) and y (N,), a function of the arguments alone."""
        self.check(n_classes, dim, n_samples)
        X = keyed(self.name, "X", key).standard_normal((n_samples, dim))
        return X, keyed(self.name, "y", key).integers(n_classes, size=n_samples)
