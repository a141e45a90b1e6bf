"""Random draws of (X, W, V, y) from keyed streams, and further last layers V₂, V₃, … for the same X, W and y.

The entries of each matrix are i.i.d. centred normals, of the variances of the point's ensemble. Labels are uniform over
the classes.

An array is a pure function of (seed, point, draw, role), and so is each of its rows: the rows of a matrix come in
blocks, each from a stream of its own whose key is a hash of these four and the block's number. So rows do not depend on
how draws are batched, on how a matrix is cut into chunks, on the order in which they are made, or by how many threads.
Normals are made in float64 and rounded to the dtype asked for, so both dtypes see the same draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of, get_backend
from rmtsim.arrays.threads import ONE_THREAD, ThreadTeam
from rmtsim.kernels.scaling import Scaling
from rmtsim.model.point import Point

#: Changes whenever the same key starts to give other numbers; kept in the store's metadata. The stream of NumPy.
STREAM = get_backend("numpy").stream

#: About how many numbers, and at most how many rows, a block has. The rows are a power of two, so that chunks are
#: whole blocks.
_BLOCK_NUMBERS, _BLOCK_ROWS = 2**16, 2**9

#: About how many numbers are there before rounding at a time.
_DOUBLE_NUMBERS = 2**20

_UNSCALED = Scaling()


class NormalRows:
    """A matrix of i.i.d. normals for each of some draws, whose rows are made when they are asked for.

    Parameters
    ----------
    key
        Key of the random stream: seed, point and role.
    draws
        Numbers of the draws, for a leading axis over them; or one number, for no such axis.
    size, variance
        Shape and law of one matrix.
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
        power: int = 0,
        dtype: str,
        xp: Module,
        team: ThreadTeam = ONE_THREAD,
    ) -> None:
        self._key, self._size, self._variance, self._power = key, size, variance, power
        self._scale = math.ldexp(variance**0.5, power)
        self._options: dict[str, Any] = {"dtype": dtype, "xp": xp, "team": team}
        self._draws = [draws] if isinstance(draws, int) else list(draws)
        self.shape: tuple[int, ...] = size if isinstance(draws, int) else (len(self._draws), *size)

    def rows(self, wanted: slice) -> Array:
        """Return the wanted rows, (…, rows, columns)."""
        xp, size = self._options["xp"], (wanted.stop - wanted.start, self._size[1])
        make = self._on_device if backend_of(xp).makes_normals else self._on_host
        return xp.reshape(make(wanted.start, wanted.stop), (*self.shape[:-2], *size))

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
        for some in _cut(self._size[0], _rows_of(self._size[1], _DOUBLE_NUMBERS)):
            rows = double.rows(some)
            parts.append((xp.astype(rows, kind), xp.astype(rows @ W.mT > 0, kind)))
        X, signs = (xp.concat(pieces, axis=-2) if len(pieces) > 1 else pieces[0] for pieces in zip(*parts, strict=True))
        return X, signs

    def in_float64(self) -> NormalRows:
        """Return the same before its numbers are rounded to the dtype."""
        options = self._options | {"dtype": "float64"}
        draws = self._draws if len(self.shape) > 2 else self._draws[0]
        return NormalRows(self._key, draws, self._size, self._variance, power=self._power, **options)

    def draw(self, index: tuple[int, ...]) -> NormalRows:
        """Return the matrix of one draw, by its place in the leading axis."""
        number, power = self._draws[index[0]], self._power
        return NormalRows(self._key, number, self._size, self._variance, power=power, **self._options)

    def other(self, name: str) -> NormalRows:
        """Return a matrix of the same size and law from a stream of its own: that of the role with ``name`` added."""
        key, of = f"{self._key}/{name}", self._draws if len(self.shape) > 2 else self._draws[0]
        return NormalRows(key, of, self._size, self._variance, power=self._power, **self._options)

    def _on_host(self, start: int, stop: int) -> Array:
        columns, scale = self._size[1], self._scale
        out = np.empty((len(self._draws), stop - start, columns), dtype=self._options["dtype"])
        per_block = min(_BLOCK_ROWS, _rows_of(columns, _BLOCK_NUMBERS))

        def fill(job: tuple[int, int]) -> None:
            place, block = job
            first = block * per_block
            low, high = max(start, first), min(stop, first + per_block)
            values = _stream(self._identity(self._draws[place], block)).standard_normal((high - first, columns))
            np.multiply(values[low - first :], scale, out=out[place, low - start : high - start], casting="same_kind")

        blocks = range(start // per_block, -(-stop // per_block))
        self._options["team"].map(fill, [(place, block) for place in range(len(self._draws)) for block in blocks])
        return self._options["xp"].asarray(out)

    def _on_device(self, start: int, stop: int) -> Array:
        rows, columns, scale = range(start, stop), self._size[1], self._scale
        dtype, xp = self._options["dtype"], self._options["xp"]
        normals = backend_of(xp).normals
        made = [normals(self._identity(draw), rows, columns, scale, dtype) for draw in self._draws]
        return xp.stack(made) if len(made) > 1 else made[0]

    def _identity(self, draw: int, block: int = 0) -> bytes:
        return blake2b(f"{self._key}/{draw}/{block}".encode(), digest_size=16).digest()


class Draws(NamedTuple):
    """A batch of draws; the first axis runs over draws."""

    X: Array  #: (B, N, d)
    V: NormalRows  #: (B, C, d), or (B, C, m) with a hidden layer, made as asked for; `last_layers` gives further ones
    W: Array | None  #: (B, m, d), or None for the linear model
    y: Array | None  #: (B, N) labels, or None if not asked for
    active: Array | None  #: masks 1_{n,i} (B, N, m) of the draw before it was rounded to float32; else None


def sample(
    point: Point,
    draws: range,
    seed: int,
    *,
    dtype: str,
    xp: Module,
    labels: bool = False,
    team: ThreadTeam = ONE_THREAD,
    scaling: Scaling = _UNSCALED,
) -> Draws:
    """Draw the arrays of ``draws`` of ``point``, in ``dtype``, as arrays of ``xp``, less what ``scaling`` takes out."""
    C, d, N, m, ensemble = point.n_classes, point.dim, point.n_samples, point.width, point.ensemble
    prefix = f"{backend_of(xp).stream}/{seed}/{point.id}"

    def normal(role: str, rows: int, columns: int, variance: float, power: int) -> NormalRows:
        key = f"{prefix}/{role}"
        return NormalRows(key, draws, (rows, columns), variance, power=power, dtype=dtype, xp=xp, team=team)

    X = normal("X", N, d, ensemble.data_variance, -scaling.data)
    V = normal("V", C, m or d, ensemble.last_variance(m or d, C), scaling.last)
    W = None if m is None else normal("W", m, d, ensemble.hidden_variance(d, m), -sum(scaling.hidden))
    if W is None or dtype == "float64":
        samples, hidden, active = X.all(), None if W is None else W.all(), None
    else:
        double = W.in_float64().all()
        samples, active = X.all_with_signs(double)
        hidden = xp.astype(double, samples.dtype)
    y = None
    if labels:
        keys = (blake2b(f"{prefix}/y/{draw}".encode(), digest_size=16).digest() for draw in draws)
        y = xp.asarray(np.stack([_stream(key).integers(C, size=N) for key in keys]))
    return Draws(samples, V, hidden, y, active)


def _rows_of(columns: int, numbers: int) -> int:
    """Return how many rows have about so many numbers: a power of two."""
    return 1 << max(0, (numbers // columns).bit_length() - 1)


def _cut(count: int, size: int) -> list[slice]:
    """Cut ``count`` rows into pieces."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def last_layers(V: NormalRows, count: int) -> list[NormalRows]:
    """Return V₁ … V_count of the draws whose last layer is V = V₁; V_r does not depend on ``count``."""
    return [V, *(V.other(str(r)) for r in range(2, count + 1))]


def _stream(identity: bytes) -> np.random.Generator:
    """Return the generator of a key of 128 bits: SFC64, the fastest that NumPy has."""
    return np.random.Generator(np.random.SFC64(int.from_bytes(identity, "little")))
