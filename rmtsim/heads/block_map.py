"""The norms of all blocks between the most frequent classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.heads.head import Head
from rmtsim.heads.pairs import pair_norms
from rmtsim.heads.predictions import Values

#: Classes of a map, at most: a picture of more cannot be read.
MOST_CLASSES = 256


def most_frequent(frequency: Values, count: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the classes that are predicted most, the most frequent first; of equals the lower one."""
    return np.argsort(-frequency, kind="stable")[:count]


def block_map(
    head: Head, classes: npt.NDArray[np.int64], diagonal: Values, batches: Iterable[tuple[npt.NDArray[Any], Values]]
) -> Values:
    """Return the means over batches of ‖H_ij‖² of some classes, (K, K).

    Parameters
    ----------
    head
        The head.
    classes, diagonal
        Numbers of K classes, and ‖H_cc‖² of each.
    batches
        Samples X (N, d) and log Σ_c exp(logit) (N,) of every batch.
    """
    i, j = np.triu_indices(len(classes), 1)
    sums, count = np.zeros(len(i)), 0
    for X, log_sums in batches:
        sums += pair_norms(head, X, log_sums, classes[i], classes[j]) if len(i) else 0.0
        count += 1
    found = np.diag(diagonal)
    found[i, j] = found[j, i] = sums / count
    return found
