"""The least that a draw of the linear CE model can take: its BLAS calls and its normal numbers, and nothing else."""

from __future__ import annotations

import numpy as np

from rmtsim.arrays.blas import add_product
from rmtsim.kernels.cost import point_tiling
from rmtsim.kernels.grams import few_features
from rmtsim.model.point import Point

#: Normals are made in float64, in blocks of about this many numbers, as in ``rmtsim.sampling.draws``.
_BLOCK = 2**16


class BareDraw:
    """The calls of one exact draw, in the engine's order and shapes, on arrays that are there.

    With T tiles of the samples, every chunk of classes takes a fill of its rows of V, T products for the logits and
    T(T+1)/2 for the Gram matrices of E in the first pass; in the second, the fill and the logits again where the
    exponentials are not held, and T(T+1)/2 products each for Q and S. X is filled once, and K has T(T+1)/2 products.

    Parameters
    ----------
    point, dtype
        A linear CE point, with few enough samples for all Gram matrices to be held at once.
    """

    def __init__(self, point: Point, dtype: str) -> None:
        C, d, N = point.n_classes, point.dim, point.n_samples
        self._cut, self._point = point_tiling(point), point
        if (point.model, point.loss) != ("linear", "ce") or few_features(d, N):
            raise ValueError("only draws of the linear CE model that contract K directly")
        self._tiles = self._cut.tiles(N)
        self._pairs = [(i, j) for i in range(len(self._tiles)) for j in range(i + 1)]
        self._rng = np.random.Generator(np.random.SFC64(0))
        chunk = min(self._cut.chunk, C)
        self._block = np.empty(_BLOCK)
        self._X, self._V = (self._random(rows, d, dtype) for rows in (N, chunk))
        # Columns of three kinds, tile by tile, and a Gram matrix for each kind and pair of tiles.
        self._columns = [[self._random(t.stop - t.start, chunk, dtype) for t in self._tiles] for _ in "EQS"]
        self._grams = [
            {(i, j): self._random(self._height(i), self._height(j), dtype) for i, j in self._pairs} for _ in "EQS"
        ]

    def fills(self) -> None:
        """Make as many normal numbers as the engine does."""
        self._draw(with_products=False)

    def fills_and_products(self) -> None:
        """Make the normal numbers and the BLAS calls, when the engine makes them: the floor of a draw's time."""
        self._draw(with_products=True)

    def _draw(self, with_products: bool) -> None:
        C, d, cut = self._point.n_classes, self._point.dim, self._cut
        self._fill(self._X.size)
        for first in (True, False):
            for classes in cut.chunks(C):
                size = classes.stop - classes.start
                if first or not (cut.hold or cut.one_chunk(C)):
                    self._fill(size * d)
                if with_products:
                    self._products_of_chunk(size, first)
        if with_products:
            self._gram_of_data()

    def _products_of_chunk(self, size: int, first: bool) -> None:
        if first or not self._cut.hold:
            self._logits(size)
        for kind in (0,) if first else (1, 2):
            for i, j in self._pairs:
                self._add(self._grams[kind][i, j], self._columns[kind][i], self._columns[kind][j], size)

    def _logits(self, size: int) -> None:
        for i, tile in enumerate(self._tiles):
            # Into the place of Q, which no later call reads as a number that means anything.
            np.matmul(self._X[tile], self._V[:size].T, out=self._columns[1][i][:, :size])

    def _gram_of_data(self) -> None:
        for i, j in self._pairs:
            A = self._X[self._tiles[i]]
            add_product(self._grams[0][i, j], A, A if i == j else self._X[self._tiles[j]])

    def _fill(self, count: int) -> None:
        for start in range(0, count, _BLOCK):
            self._rng.standard_normal(out=self._block[: min(_BLOCK, count - start)])

    @staticmethod
    def _add(total: np.ndarray, A: np.ndarray, B: np.ndarray, size: int) -> None:
        left = A[:, :size]
        add_product(total, left, left if A is B else B[:, :size])

    def _height(self, i: int) -> int:
        return self._tiles[i].stop - self._tiles[i].start

    def _random(self, rows: int, columns: int, dtype: str) -> np.ndarray:
        return self._rng.standard_normal((rows, columns)).astype(dtype)
