"""Matrices of random numbers from keyed streams, whose rows are made when they are asked for.

A matrix is a pure function of its key and the draw, and so is each of its rows: the rows come in blocks, each from a
stream of its own whose name is a hash of the key, the draw and the block's number. So rows do not depend on how draws
are batched, on how a matrix is cut into chunks, on the order in which they are made, or by how many threads. Numbers
are made in float64 and rounded to the dtype asked for, so both dtypes see the same draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of, get_backend
from rmtsim.arrays.threads import ONE_THREAD, ThreadTeam
from rmtsim.data.gaussian import Gaussian
from rmtsim.data.row_laws import RowLaw

#: Changes whenever the same key starts to give other numbers; kept in the store's metadata. The stream of NumPy.
STREAM = get_backend("numpy").stream

#: About how many numbers, and at most how many rows, a block has. The rows are a power of two, so that chunks are
#: whole blocks.
_BLOCK_NUMBERS, _BLOCK_ROWS = 2**16, 2**9

#: About how many numbers are there before rounding at a time.
_DOUBLE_NUMBERS = 2**20

#: I.i.d. normals.
GAUSSIAN = Gaussian()


class RandomRows:
    """A matrix for each of some draws, of independent rows of one law, which are made when they are asked for.

    Normals are made on the device where the backend can; other laws on the host, from where they are copied.

    Parameters
    ----------
    key
        Key of the random stream: seed, point and role.
    draws
        Numbers of the draws, for a leading axis over them; or one number, for no such axis.
    size, variance
        Shape of one matrix, and the variance of its entries, a mean over those of a row.
    law
        Law of its rows, of variance 1: by default i.i.d. normals.
    power
        The numbers are multiplied by this power of two.
    dtype, xp, team
        Of the arrays; the threads that make them.
    """

    def __init__(
        self,
        key: str,
        draws: Sequence[int] | int,
        size: tuple[int, int],
        variance: float,
        *,
        law: RowLaw = GAUSSIAN,
        power: int = 0,
        dtype: str,
        xp: Module,
        team: ThreadTeam = ONE_THREAD,
    ) -> None:
        self._key, self._size, self._variance, self._law, self._power = key, size, variance, law, power
        self._scale = math.ldexp(variance**0.5, power)
        self._options: dict[str, Any] = {"dtype": dtype, "xp": xp, "team": team}
        self._draws = [draws] if isinstance(draws, int) else list(draws)
        self.shape: tuple[int, ...] = size if isinstance(draws, int) else (len(self._draws), *size)

    def rows(self, wanted: slice) -> Array:
        """Return the wanted rows, (…, rows, columns)."""
        xp, size = self._options["xp"], (wanted.stop - wanted.start, self._size[1])
        make = self._on_device if self._is_made_on_device() else self._on_host
        return xp.reshape(make(wanted.start, wanted.stop), (*self.shape[:-2], *size))

    def rows_beside(self, others: Sequence[RandomRows], wanted: slice) -> Array | None:
        """Return the wanted rows of this matrix and of ``others``, (…, 1 + others, rows, columns), made on the device.

        Return None where the host makes them.
        """
        if not self._is_made_on_device():
            return None
        xp, size = self._options["xp"], (wanted.stop - wanted.start, self._size[1])
        made = self._on_device(wanted.start, wanted.stop, others)
        return xp.reshape(made, (*self.shape[:-2], 1 + len(others), *size))

    def all(self) -> Array:
        """Return all rows, (…, rows, columns)."""
        return self.rows(slice(0, self._size[0]))

    def all_with_signs(self, W: Array) -> tuple[Array, Array]:
        """Return all rows, and 1 where one has a positive product with a row of W, else 0, (…, rows, rows of W).

        Both are in the dtype, but W is in float64, and so are the rows in these products.
        """
        xp = self._options["xp"]
        kind, double = getattr(xp, self._options["dtype"]), self.in_float64()
        parts: list[tuple[Array, Array]] = []
        for some in cut(self._size[0], rows_of(self._size[1], _DOUBLE_NUMBERS)):
            rows = double.rows(some)
            parts.append((xp.astype(rows, kind), xp.astype(backend_of(xp).products(rows, W) > 0, kind)))
        X, signs = (xp.concat(pieces, axis=-2) if len(pieces) > 1 else pieces[0] for pieces in zip(*parts, strict=True))
        return X, signs

    def in_float64(self) -> RandomRows:
        """Return the same before its numbers are rounded to the dtype."""
        return self._like(dtype="float64")

    def draw(self, index: tuple[int, ...]) -> RandomRows:
        """Return the matrix of one draw, by its place in the leading axis."""
        return self._like(draws=self._draws[index[0]])

    def other(self, name: str) -> RandomRows:
        """Return a matrix of the same size and law from a stream of its own: that of the role with ``name`` added."""
        return self._like(key=f"{self._key}/{name}")

    def _like(self, **changes: Any) -> RandomRows:
        """Return the same but for some arguments."""
        draws = self._draws if len(self.shape) > 2 else self._draws[0]
        given = {"key": self._key, "draws": draws, "size": self._size, "variance": self._variance, "law": self._law}
        return type(self)(**given | {"power": self._power} | self._options | changes)

    def _is_normal(self) -> bool:
        """Whether all entries are i.i.d. normals."""
        return self._law == GAUSSIAN

    def _is_made_on_device(self) -> bool:
        return self._is_normal() and backend_of(self._options["xp"]).makes_normals

    def _on_host(self, start: int, stop: int) -> Array:
        columns, scale = self._size[1], self._scale
        out = np.empty((len(self._draws), stop - start, columns), dtype=self._options["dtype"])
        per_block = min(_BLOCK_ROWS, rows_of(columns, _BLOCK_NUMBERS))

        def fill(job: tuple[int, int]) -> None:
            place, block = job
            first = block * per_block
            low, high = max(start, first), min(stop, first + per_block)
            values = self._law.rows(stream(self._identity(self._draws[place], block)), high - first, columns)
            np.multiply(values[low - first :], scale, out=out[place, low - start : high - start], casting="same_kind")

        blocks = range(start // per_block, -(-stop // per_block))
        self._options["team"].map(fill, [(place, block) for place in range(len(self._draws)) for block in blocks])
        return self._options["xp"].asarray(out)

    def _on_device(self, start: int, stop: int, others: Sequence[RandomRows] = ()) -> Array:
        rows, columns, scale = range(start, stop), self._size[1], self._scale
        dtype, xp = self._options["dtype"], self._options["xp"]
        normals = backend_of(xp).normals
        names = [of._identity(draw) for draw in self._draws for of in (self, *others)]
        return normals(names, rows, columns, scale, dtype)

    def _identity(self, draw: int, block: int = 0) -> bytes:
        return blake2b(f"{self._key}/{draw}/{block}".encode(), digest_size=16).digest()


def rows_of(columns: int, numbers: int) -> int:
    """Return how many rows have about so many numbers: a power of two."""
    return 1 << max(0, (numbers // columns).bit_length() - 1)


def cut(count: int, size: int) -> list[slice]:
    """Cut ``count`` rows into pieces."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def stream(identity: bytes) -> np.random.Generator:
    """Return the generator of a key of 128 bits: SFC64, the fastest that NumPy has."""
    return np.random.Generator(np.random.SFC64(int.from_bytes(identity, "little")))
