"""The data sets that Hessians are computed on, by one interface."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from rmtsim.data.cifar import Cifar100
from rmtsim.data.clusters import Clusters
from rmtsim.data.labelled import Samples, check_sizes, keyed
from rmtsim.data.own_data import OwnData
from rmtsim.errors import InputError

__all__ = ["Cifar100", "Clusters", "Data", "Gaussian", "OwnData", "parse_data"]


class Data(Protocol):
    """A data set: a law of (X, y), or a file to draw samples from. It is hashable and can be pickled."""

    @property
    def kind(self) -> str:
        """Name of the kind of data set."""
        ...

    @property
    def text(self) -> str:
        """What tells it from others in tables, as `parse_data` takes it; of a file, its name and content instead.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        ...

    def check(self, n_classes: int, dim: int, n_samples: int) -> None:
        """Raise InputError where ``draw`` would: a size is not valid, or does not fit the file."""
        ...

    def parameters(self) -> dict[str, Any]:
        """Return all that the samples depend on beside the arguments of ``draw``, as JSON takes it.

        A file stands there by a hash of its content, wherever it is.
        """
        ...

    def draw(self, n_classes: int, dim: int, n_samples: int, key: str) -> Samples:
        """Return X (N, d), float64, and y (N,), labels from 0 to C − 1, int64: a function of the arguments alone.

        Raises
        ------
        InputError
            If a size is not valid, or does not fit the file.
        """
        ...


@dataclass(frozen=True)
class Gaussian:
    """I.i.d. N(0, 1) entries and labels uniform over the classes: the paper's Assumption 1 and Appendix B.3.

    Examples
    --------
    >>> from rmtsim.data.datasets import Gaussian
    >>> X, y = Gaussian().draw(n_classes=10, dim=3, n_samples=5, key="0")
    >>> X.shape, y.shape
    ((5, 3), (5,))
    """

    kind: ClassVar[str] = "gaussian"

    @property
    def text(self) -> str:
        """The kind."""
        return self.kind

    def check(self, n_classes: int, dim: int, n_samples: int) -> None:
        """Raise InputError unless C, d and N are sizes."""
        check_sizes(n_classes, dim, n_samples)

    def parameters(self) -> dict[str, Any]:
        """Return the kind."""
        return {"kind": self.kind}

    def draw(self, n_classes: int, dim: int, n_samples: int, key: str) -> Samples:
        """Return X (N, d) and y (N,), a function of the arguments alone."""
        self.check(n_classes, dim, n_samples)
        X = keyed(self.kind, "X", key).standard_normal((n_samples, dim))
        return X, keyed(self.kind, "y", key).integers(n_classes, size=n_samples)


def parse_data(text: str) -> Data:
    """Return the data set that a text names.

    Parameters
    ----------
    text
        ``gaussian``; ``clusters:K``, as in ``clusters:20``, or ``clusters:K:SCALE:NOISE``, as in
        ``clusters:20:standard:0.05``; ``cifar100:FOLDER``; or ``FILE.npz``. A file is read when it is first needed,
        not here.

    Raises
    ------
    InputError
        If the text names none.

    Examples
    --------
    >>> from rmtsim.data.datasets import parse_data
    >>> parse_data("clusters:20")
    Clusters(n_clusters=20, noise=0.05, scale='unit')
    """
    kind, _, value = text.partition(":")
    if text == "gaussian":
        return Gaussian()
    if kind == "clusters" and (found := re.fullmatch(r"(\d{1,10})(?::(\w+):([\d.e+-]+))?", value, re.ASCII)):
        n_clusters, scale, noise = found.groups()
        return Clusters(int(n_clusters)) if scale is None else Clusters(int(n_clusters), _number(noise), scale)
    if kind == "cifar100" and value:
        return Cifar100(value)
    if text.endswith(".npz"):
        return OwnData(text)
    raise InputError(f"data: {text!r} is not known; choose one of gaussian, clusters:K, cifar100:FOLDER, FILE.npz")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # which no noise may be
