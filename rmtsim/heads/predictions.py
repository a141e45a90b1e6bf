"""What the softmax of a batch predicts, added up as the classes pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.classes import Chunk, Rows
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.tiling import Tiling

Values = npt.NDArray[np.float64]


class HeadSoftmax(Softmax):
    """A softmax that also keeps the moments of its logits, and of a later pass the mean prediction."""

    def __init__(self, U: npt.NDArray[Any], V: Rows, tiling: Tiling, team: ThreadTeam) -> None:
        super().__init__(U, V, tiling, team, np)
        self._logits = np.zeros((2, len(U)))  # Σ_c l and Σ_c l² of each sample
        self._passed: set[tuple[int, int]] = set()
        self._predicted = np.zeros((len(self.tiles), V.shape[-2]))  # Σ_n p of each tile: threads do not share one

    def logits(self, i: int, chunk: Chunk) -> npt.NDArray[Any]:
        """Return the logits of a tile and a chunk, whose moments are added up when they are first made."""
        L: npt.NDArray[Any] = super().logits(i, chunk)
        if (i, chunk.classes.start) not in self._passed:
            self._passed.add((i, chunk.classes.start))
            self._logits[0, self.tiles[i]] += np.sum(L, axis=-1, dtype=np.float64)
            self._logits[1, self.tiles[i]] += np.vecdot(L, L)
        return L

    def diagonal_weights(self, i: int, chunk: Chunk, fresh: bool = True) -> tuple[Any, Any]:
        """Return Q = p(1 − p) and S = p² of a tile and a chunk; where ``fresh``, add p = Q + S up."""
        Q, S = super().diagonal_weights(i, chunk, fresh)
        if fresh:
            self._predicted[i, chunk.classes] += np.sum(Q + S, axis=0, dtype=np.float64)
        return Q, S

    def logit_variance(self) -> float:
        """Return the mean over samples of the variance of their logits over the classes."""
        mean, square = self._logits / self.V.shape[-2]
        return float(np.mean(np.maximum(square - mean**2, 0.0)))

    def mean_prediction(self) -> Values:
        """Return the mean of p over the samples, (C,), after a pass of `diagonal_weights`."""
        mean: Values = np.sum(self._predicted, axis=0) / len(self.U)
        return mean


class Predictions:
    """Of each sample Σ_c p², the entropy and the most probable classes, from the first pass of a softmax.

    Parameters
    ----------
    softmax
        The softmax.
    top
        How many of the most probable classes are kept of each sample, at most.
    """

    def __init__(self, softmax: Softmax, top: int = 0) -> None:
        self._soft, self._top = softmax, min(top, softmax.V.shape[-2])
        self.reset()

    def reset(self) -> None:
        """Start again."""
        n = len(self._soft.U)
        self._squares, self._logs = np.zeros((n, 1)), np.zeros((n, 1))
        self._best = np.full((n, self._top), -1.0, self._soft.U.dtype)
        self._classes = np.zeros((n, self._top), np.int64)

    def add(self, i: int, chunk: Chunk, E: npt.NDArray[Any]) -> None:
        """Add a tile's terms of a chunk: E = exp(logits − shift)."""
        rows = self._soft.tiles[i]
        self._squares[rows, 0] += np.vecdot(E, E)
        self._logs[rows, 0] += np.vecdot(E, np.log(np.maximum(E, np.finfo(E.dtype).tiny)))  # 0 log 0 = 0
        if self._top:
            self._keep_best(rows, chunk, E)

    def _keep_best(self, rows: slice, chunk: Chunk, E: npt.NDArray[Any]) -> None:
        best, classes = self._best[rows], self._classes[rows]  # views
        (better,) = np.nonzero(np.max(E, axis=1) > np.min(best, axis=1))
        if not len(better):
            return
        numbers = np.broadcast_to(np.arange(chunk.classes.start, chunk.classes.stop), E[better].shape)
        values = np.concatenate([best[better], E[better]], axis=1)
        numbers = np.concatenate([classes[better], numbers], axis=1)
        chosen = np.argpartition(-values, self._top - 1, axis=1)[:, : self._top]
        best[better] = np.take_along_axis(values, chosen, axis=1)
        classes[better] = np.take_along_axis(numbers, chosen, axis=1)

    def square(self) -> float:
        """Return the mean over samples of Σ_c p²."""
        return float(np.mean(self._squares / self._soft.total**2))

    def entropy(self) -> float:
        """Return the mean over samples of −Σ_c p log p."""
        total = self._soft.total
        return float(np.mean(np.maximum(np.log(total) - self._logs / total, 0.0)))

    def best(self) -> tuple[Values, npt.NDArray[np.int64]]:
        """Return probabilities and numbers of the most probable classes, (N, top), the most probable first."""
        order = np.argsort(-self._best, axis=1, kind="stable")
        p = np.take_along_axis(self._best, order, axis=1) / self._soft.total
        return p, np.take_along_axis(self._classes, order, axis=1)


def entropy_of(p: Values) -> float:
    """Return −Σ p log p of probabilities."""
    positive = p[p > 0]
    return float(-np.sum(positive * np.log(positive)))
