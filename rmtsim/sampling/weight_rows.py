"""Weights of other laws than the normal: uniform ones, and random orthogonal matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import Array
from rmtsim.data.uniform import Uniform
from rmtsim.model.choices import WeightsName
from rmtsim.sampling.random_rows import GAUSSIAN, RandomRows, cut, rows_of

Values = npt.NDArray[np.float64]

#: I.i.d. uniform entries.
UNIFORM = Uniform()

#: Numbers of rows that are multiplied by a matrix at a time: always the same pieces, so that bits do not depend on the
#: rows asked for.
_PIECE_NUMBERS = 2**18

#: From so many rows for each column, and so many more than columns, the Gram matrix of normals is well-conditioned
#: (about 34 at most, where there are many columns): its Cholesky factor makes the columns orthonormal to rounding, and
#: no matrix needs to be held whole.
_TALL, _SPARE = 2, 16


class OrthogonalRows(RandomRows):
    """A random matrix for each of some draws, a multiple of one with orthonormal rows or, if there are fewer, columns.

    Its law is uniform: that of G (GᵀG)^−1/2 with i.i.d. normals G, or its transpose, which does not change where it is
    multiplied by an orthogonal matrix on either side. The entries have the variance asked for: of C rows and d columns,
    V Vᵀ = d Var I for C ≤ d, and VᵀV = C Var I for C ≥ d. G is what the streams have for normal weights.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._factors: dict[int, Values] = {}

    def _is_normal(self) -> bool:
        return False

    def _on_host(self, start: int, stop: int) -> Array:
        options, (count, columns) = self._options, self._size
        scale = math.sqrt(max(count, columns)) * self._scale
        out = np.empty((len(self._draws), stop - start, columns), dtype=options["dtype"])
        for place, draw in enumerate(self._draws):
            for rows in cut(count, rows_of(columns, _PIECE_NUMBERS)):
                low, high = max(start, rows.start), min(stop, rows.stop)
                if low < high:
                    values = self._orthonormal(draw, rows)[low - rows.start : high - rows.start]
                    np.multiply(values, scale, out=out[place, low - start : high - start], casting="same_kind")
        return options["xp"].asarray(out)

    def _orthonormal(self, draw: int, rows: slice) -> Values:
        """Return rows of the matrix of a draw with orthonormal rows or columns."""
        factor = self._factors.get(draw)
        if factor is None:
            factor = self._factors[draw] = self._factor(draw)
        if self._is_tall():
            product: Values = self._normals(draw, rows) @ factor
            return product
        return factor[rows]

    def _is_tall(self) -> bool:
        count, columns = self._size
        return count >= max(_TALL * columns, columns + _SPARE)

    def _factor(self, draw: int) -> Values:
        """Return R⁻¹ of G = QR, (d, d), for a tall matrix; else the whole matrix."""
        count, columns = self._size
        if self._is_tall():
            gram = np.zeros((columns, columns))
            for rows in cut(count, rows_of(columns, _PIECE_NUMBERS)):
                G = self._normals(draw, rows)
                gram += G.T @ G
            return np.linalg.inv(np.linalg.cholesky(gram)).T
        G = self._normals(draw, slice(0, count))
        Q, R = np.linalg.qr(G if count >= columns else G.T)
        Q *= np.sign(np.diagonal(R))  # the factorisation whose R has a positive diagonal, which makes Q uniform
        return np.ascontiguousarray(Q if count >= columns else Q.T)

    def _normals(self, draw: int, rows: slice) -> Values:
        options = self._options | {"dtype": "float64", "xp": np}
        made: Values = RandomRows(self._key, draw, self._size, 1.0, **options).rows(rows)
        return made


def weight_rows(
    weights: WeightsName, key: str, draws: Sequence[int] | int, size: tuple[int, int], variance: float, **options: Any
) -> RandomRows:
    """Return matrices of weights of a law (`rmtsim.Ensemble`); ``options`` are further arguments of `RandomRows`."""
    if weights == "orthogonal":
        return OrthogonalRows(key, draws, size, variance, **options)
    law = GAUSSIAN if weights == "gaussian" else UNIFORM
    return RandomRows(key, draws, size, variance, law=law, **options)
