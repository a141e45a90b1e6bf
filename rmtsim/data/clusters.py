"""Clustered data on the unit sphere (Li, Soltanolkotabi & Oymak 2020), as in the paper's Appendix B.2."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.data.datasets import DataLaw, register_data
from rmtsim.data.labelled import Samples, check_sizes, keyed
from rmtsim.errors import InputError
from rmtsim.text.checks import check_choice, check_size
from rmtsim.text.words import abridge

SCALES = ("unit", "standard")

#: The largest noise: a larger one is a typing error.
_MOST = 1e6


@register_data
@dataclass(frozen=True)
class Clusters(DataLaw):
    """K clusters around centres on the unit sphere of R^d; a class is made of one or more of them.

    A sample is x = s (μ_k + ε) with a centre μ_k, uniform on the unit sphere, and ε ~ N(0, noise² I_d), so that
    E‖ε‖² = d · noise². Samples and classes are spread over the clusters as evenly as possible, in random order:

    - K ≥ C: a class has ⌊K/C⌋ or ⌈K/C⌉ clusters, and clusters have equally many samples;
    - K < C: a cluster has ⌊C/K⌋ or ⌈C/K⌉ classes, and classes have equally many samples, which share their cluster's
      centre: within a cluster, labels are independent of x.

    The paper describes K ≥ C only. K < C extends its question, how many features the data have at a given C: the data
    are K points and noise, and each class belongs to one of them.

    Parameters
    ----------
    n_clusters
        K. Where it exceeds N, every (K/N)-th cluster has a sample and the others have none.
    noise
        Standard deviation of an entry of ε in the unit of the centres' norm. 0.05 is the value of the data generator
        that the paper's authors published; at d = 64 it moves a sample by 0.4 of the centres' norm.
    scale
        ``"unit"``: s = 1, the unit sphere, as the paper and Li et al. have it. Entries then are of size 1/√d, logits of
        LeCun weights too, and p is close to 1/C: a far smaller gain than with the N(0, 1) entries of Assumption 1.
        ``"standard"``: s² = d/(1 + d · noise²), so that E x_i² = 1 as in Assumption 1: the data then differ from
        Gaussian ones by the clusters alone.

    Raises
    ------
    InputError
        If a value is of the wrong type or out of range.

    Notes
    -----
    Centres are a function of key, K and d: they are the same for any N and C.

    Examples
    --------
    >>> import numpy as np
    >>> from rmtsim.data.clusters import Clusters
    >>> X, y = Clusters(n_clusters=6, noise=0.0).draw(n_classes=3, dim=5, n_samples=12, key="0")
    >>> [len(np.unique(X[y == c], axis=0)) for c in range(3)], bool(np.allclose(np.linalg.norm(X, axis=1), 1))
    ([2, 2, 2], True)
    """

    name, form = "clusters", "clusters:K"

    n_clusters: int
    noise: float = 0.05
    scale: str = "unit"

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_clusters", check_size("n_clusters", self.n_clusters))
        number = isinstance(self.noise, Real) and not isinstance(self.noise, bool)
        if not number or not 0 <= self.noise <= _MOST:
            raise InputError(f"noise: {abridge(self.noise)} is not valid; give a number from 0 to {_MOST:g}")
        object.__setattr__(self, "noise", float(self.noise))
        check_choice("scale", self.scale, SCALES)

    @classmethod
    def parse(cls, text: str) -> Clusters | None:
        """Return the law for ``clusters:K`` or ``clusters:K:SCALE:NOISE``."""
        found = re.fullmatch(r"clusters:(\d{1,10})(?::(\w+):([\d.e+-]+))?", text, re.ASCII)
        if found is None:
            return None
        n_clusters, scale, noise = found.groups()
        return cls(int(n_clusters)) if scale is None else cls(int(n_clusters), _number(noise), scale)

    @property
    def text(self) -> str:
        """``clusters:K``, with scale and noise where they are not the paper's."""
        short = f"{self.name}:{self.n_clusters}"
        return short if self == Clusters(self.n_clusters) else f"{short}:{self.scale}:{self.noise!r}"

    def check(self, n_classes: int, dim: int, n_samples: int) -> None:
        """Raise InputError unless C, d and N are sizes."""
        check_sizes(n_classes, dim, n_samples)

    def parameters(self) -> dict[str, Any]:
        """Return kind and parameters."""
        return {"kind": self.name, "n_clusters": self.n_clusters, "noise": self.noise, "scale": self.scale}

    def draw(self, n_classes: int, dim: int, n_samples: int, key: str) -> Samples:
        """Return X (N, d) and y (N,), a function of the arguments alone; the order of the samples is random."""
        self.check(n_classes, dim, n_samples)
        s = 1.0 if self.scale == "unit" else (dim / (1 + dim * self.noise**2)) ** 0.5
        centres = keyed(self.name, "centres", key).standard_normal((self.n_clusters, dim))
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        clusters, y = self._memberships(n_classes, n_samples, keyed(self.name, "memberships", key))
        X = keyed(self.name, "noise", key).standard_normal((n_samples, dim))
        X *= self.noise
        X += centres[clusters]
        X *= s
        return X, y

    def _memberships(
        self, C: int, N: int, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return cluster and class of each sample, drawn evenly from the finer of the two partitions."""
        K = self.n_clusters
        finer = rng.permutation(np.arange(N) * max(K, C) // N)
        return (finer, finer * C // K) if K >= C else (finer * K // C, finer)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # which is not a valid noise
