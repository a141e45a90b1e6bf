"""The strongest off-diagonal blocks: candidates by the most probable classes of each sample, then their exact norms.

−H_ij = (1/N) Σ_n p_ni p_nj x_n x_nᵀ is positive semidefinite, so its norm is at most its trace
t_ij = (1/N) Σ_n p_ni p_nj |x_n|². Samples that have both i and j among their T most probable classes are counted; in
all others p_ni p_nj is at most the product of the largest probability and the (T+1)-th. So every pair has a bound,
whether it was looked at or not, and what was not looked at is known to be weaker where its bound is below what was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rmtsim.heads.batch import BatchNorms
from rmtsim.heads.head import Head, HeadRows
from rmtsim.heads.predictions import Values

#: T, and how many candidates have their norms computed, at least.
MOST_PROBABLE, _EVALUATED = 12, 2048

#: Candidates that are remembered, at most, and pairs whose norms are computed at once.
_REMEMBERED, _AT_ONCE = 2**20, 512


class StrongestPairs(NamedTuple):
    """Pairs of classes i < j with the largest mean squared norms ‖H_ij‖², the strongest first."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    sqfro: Values  #: mean over batches of ‖H_ij‖²
    certain: bool  #: whether no other pair can be stronger
    others: float  #: what the mean squared norm of any pair that was not computed is at most


class PairCandidates:
    """Bounds of pairs of classes, added up over batches."""

    def __init__(self, head: Head) -> None:
        self._head, self._C = head, head.V.shape[0]
        self._keys, self._bounds = np.zeros(0, np.int64), np.zeros(0)
        self._unseen = self._forgotten = 0.0
        self._batches = 0

    def add(self, found: BatchNorms, X: npt.NDArray[Any]) -> None:
        """Add the pairs of a batch X (N, d) that was measured with one class more than T of each sample."""
        p, classes = found.best
        squares = _squares(self._head, X)
        seen = min(MOST_PROBABLE, p.shape[1])
        rest = float(np.mean(squares * p[:, 0] * p[:, seen])) if p.shape[1] > seen else 0.0
        a, b = np.triu_indices(seen, 1)
        low, high = np.minimum(classes[:, a], classes[:, b]), np.maximum(classes[:, a], classes[:, b])
        keys, place = np.unique(low * self._C + high, return_inverse=True)
        traces: Values = np.bincount(place.ravel(), (p[:, a] * p[:, b] * squares[:, None]).ravel()) / len(X)
        self._merge(keys, traces**2 + 2 * traces * rest)
        self._unseen += rest**2
        self._batches += 1

    def _merge(self, keys: npt.NDArray[np.int64], bounds: Values) -> None:
        keys, place = np.unique(np.concatenate([self._keys, keys]), return_inverse=True)
        total: Values = np.bincount(place, np.concatenate([self._bounds, bounds])).astype(np.float64)
        if len(keys) > _REMEMBERED:
            order = np.argsort(-total)
            self._forgotten += float(total[order[_REMEMBERED]])
            keys, total = keys[order[:_REMEMBERED]], total[order[:_REMEMBERED]]
        self._keys, self._bounds = keys, total

    def strongest(self, count: int, batches: Iterable[tuple[npt.NDArray[Any], Values]]) -> StrongestPairs:
        """Return the strongest pairs, from the exact norms of the candidates with the largest bounds.

        Parameters
        ----------
        count
            How many.
        batches
            Samples X (N, d) and log Σ_c exp(logit) (N,) of every batch that was added.
        """
        order = np.argsort(-self._bounds, kind="stable")
        chosen = np.sort(self._keys[order[: max(_EVALUATED, 4 * count)]])
        left = self._bounds[order[len(chosen) :]]
        others = (float(left[0]) if len(left) else 0.0) + self._unseen + self._forgotten
        first, second = chosen // self._C, chosen % self._C
        sums = np.zeros(len(chosen))
        for X, log_sums in batches:
            sums += pair_norms(self._head, X, log_sums, first, second)
        sqfro, others = sums / self._batches, others / self._batches
        ranked = np.lexsort((chosen, -sqfro))[:count]
        enough = len(chosen) == self._C * (self._C - 1) // 2
        certain = enough or (len(ranked) == count and bool(sqfro[ranked[-1]] >= others))
        return StrongestPairs(first[ranked], second[ranked], sqfro[ranked], certain, 0.0 if enough else others)


def _squares(head: Head, X: npt.NDArray[Any]) -> Values:
    """Return |x_n|² of the vectors that the blocks are of, (N,)."""
    U = head.of_blocks(head.inputs(X.astype(np.float64, copy=False)))
    squares: Values = np.sum(U * U, axis=1)
    return squares


def pair_norms(
    head: Head, X: npt.NDArray[Any], log_sums: Values, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> Values:
    """Return ‖H_ij‖² of some pairs i ≠ j in a batch, N⁻² λᵀKλ with λ_n = p_ni p_nj.

    Parameters
    ----------
    head, X, log_sums
        The head, the samples (N, d), and log Σ_c exp(logit) of each (N,).
    first, second
        The classes i and j of each pair.
    """
    U = head.inputs(X.astype(np.float64, copy=False))
    classes, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    rows, P = HeadRows(head, "float64", 0, classes), np.empty((len(U), len(classes)))
    for start in range(0, len(classes), _AT_ONCE):
        P[:, start : start + _AT_ONCE] = np.exp(U @ rows.rows(slice(start, start + _AT_ONCE)).T - log_sums[:, None])
    blocks = head.of_blocks(U)
    K = blocks @ blocks.T
    K *= K
    found = np.empty(len(first))
    for start in range(0, len(first), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        weights = P[:, place[: len(first)][some]] * P[:, place[len(first) :][some]]
        found[some] = np.sum(weights * (K @ weights), axis=0)
    return found / len(U) ** 2
