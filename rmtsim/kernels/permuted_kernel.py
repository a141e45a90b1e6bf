"""The data kernel under several orders of the samples: the weights of one sample with the vector of another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import Array, Module
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.grams import DataKernel
from rmtsim.kernels.tiling import Tiling


class PermutedKernel(DataKernel):
    """K of the samples U (N, inputs) in each of R orders π, (R, N, N) with K_nk = (u_π(n)·u_π(k))².

    Sums with it have a leading axis of R: what is costly, the Gram matrices of the weights, is made once for all
    orders. K itself is held.

    Parameters
    ----------
    U, orders
        Samples (N, inputs), and R permutations of 0 … N − 1, (R, N).
    """

    def __init__(self, U: Array, orders: npt.NDArray[np.int64], tiling: Tiling, team: ThreadTeam, xp: Module) -> None:
        super().__init__(U, tiling, team, xp)
        self.few_features = self.keeps_tiles = False
        self._orders = orders
        self._factor: Callable[[int], Array] | None = None
        self._whole = xp.zeros((U.shape[-2], U.shape[-2]), dtype=U.dtype)
        team.map(lambda pair: self._fill(*pair), [(i, j) for i in range(len(self.tiles)) for j in range(i + 1)])

    def _fill(self, i: int, j: int) -> None:
        K, rows, columns = DataKernel.entries(self, i, j), self.tiles[i], self.tiles[j]
        if i == j:
            K = self._xp.tril(K) + self._xp.tril(K, k=-1).mT
        self._whole[rows, columns] = K
        self._whole[columns, rows] = K.mT

    def entries(self, i: int, j: int) -> Array:
        """Return the tile (i, j) of K in each order, (R, n, k)."""
        rows, columns = (self._orders[:, self.tiles[t]] for t in (i, j))
        K = self._whole[rows[:, :, None], columns[:, None, :]]
        if self._factor is not None:
            K *= self._factor(i) ** 2 * self._factor(j).mT ** 2
        return K

    def weighed(self, factor: Callable[[int], Array]) -> PermutedKernel:
        """Return the kernel of the samples times a factor each, in their own order; ``factor`` has those of a tile.

        They are asked for when K is, (n, 1) for the tile's n samples.
        """
        other = object.__new__(PermutedKernel)
        other.__dict__.update(self.__dict__, _orders=np.arange(self._whole.shape[0])[None], _factor=factor)
        return other

    def class_sums(self, weights: Array) -> Array:
        """Return λᵀKλ in the samples' own order for each column λ of ``weights`` (N, c), in float64."""
        product = self._whole @ weights
        return self._xp.sum(self._xp.astype(weights * product, self._xp.float64), axis=0)
