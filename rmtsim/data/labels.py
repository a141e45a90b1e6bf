"""Laws of the labels of data that have none of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.data.labelled import keyed
from rmtsim.errors import InputError
from rmtsim.text.words import abridge, did_you_mean

#: The texts of laws of labels, as users write them.
FORMS = "uniform, zipf:S"


@dataclass(frozen=True)
class Labels:
    """Independent labels, class c = 0 … C − 1 with a probability proportional to (c + 1)^−s.

    Parameters
    ----------
    decay
        s: 0 for uniform labels; 1 is Zipf's law of the words of a language.

    Examples
    --------
    >>> from rmtsim.data.labels import Labels
    >>> Labels(decay=1.0).probabilities(3)
    array([0.54545455, 0.27272727, 0.18181818])
    """

    decay: float = 0.0

    @property
    def text(self) -> str:
        """``uniform``, or ``zipf:S``."""
        return f"zipf:{self.decay!r}".removesuffix(".0") if self.decay else "uniform"

    def probabilities(self, n_classes: int) -> npt.NDArray[np.float64]:
        """Return the probability of each class, (C,)."""
        shares: npt.NDArray[np.float64] = np.arange(1.0, n_classes + 1) ** -self.decay
        shares /= shares.sum()
        return shares

    def draw(self, n_classes: int, n_samples: int, key: str) -> npt.NDArray[np.int64]:
        """Return labels (N,), a function of the arguments alone."""
        rng = keyed("labels", self.text, key)
        if not self.decay:
            return rng.integers(n_classes, size=n_samples)
        ends = np.cumsum(self.probabilities(n_classes))[:-1]  # of the classes' intervals; the last one's is 1
        return np.searchsorted(ends, rng.random(n_samples), side="right")


def parse_labels(text: Any) -> Labels:
    """Return the law of labels that a text names: ``uniform``, or ``zipf:S``, as in ``zipf:1.0``.

    Raises
    ------
    InputError
        If it names none, or S is not a number above 0 and up to 10.

    Examples
    --------
    >>> from rmtsim.data.labels import parse_labels
    >>> parse_labels("zipf:1.0").text
    'zipf:1'
    """
    if not isinstance(text, str):
        raise InputError(f"labels: {abridge(text)} is not valid; give a text, such as 'zipf:1'")
    name, _, number = text.partition(":")
    if text == "uniform":
        return Labels()
    if name != "zipf":
        meant = did_you_mean(name, ("uniform", "zipf"))
        raise InputError(f"labels: {abridge(text)} is not known{meant}; choose one of {FORMS}")
    try:
        decay = float(number)
    except ValueError:
        decay = 0.0
    if not 0 < decay <= 10:
        raise InputError(
            f"labels: {abridge(text)} is not valid; give zipf:S with S above 0 and up to 10, such as zipf:1"
        )
    return Labels(decay)
