"""Random draws of (X, W, V, y) under the paper's Assumptions 1 and 2, from keyed streams.

Assumption 1: the entries of X are i.i.d. N(0, 1). Assumption 2 (LeCun): entries of W are N(0, 1/d), those of V
are N(0, 1/d) for the linear model and N(0, 1/m) with a hidden layer. Labels are uniform over the classes.

An array is a pure function of (seed, point, draw, role). Its key is a hash of these four, so arrays do not depend on
how draws are batched, in which order they are made, or on which machine. All backends and dtypes share the
stream: normals are made in float64 on the host and rounded to the dtype asked for.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from rmtsim.backend import Array, Module
from rmtsim.point import Point

#: Changes whenever the same key starts to give other numbers; kept in the store's metadata.
STREAM = "sfc64-1"


class Draws(NamedTuple):
    """A batch of draws; the first axis runs over draws."""

    X: Array  #: (B, N, d)
    V: Array  #: (B, C, d), or (B, C, m) with a hidden layer
    W: Array | None  #: (B, m, d), or None for the linear model
    y: Array | None  #: (B, N) labels, or None if not asked for


def sample(point: Point, draws: range, seed: int, *, dtype: str, xp: Module, labels: bool = False) -> Draws:
    """Draw the arrays of ``draws`` of ``point``, in ``dtype``, as arrays of ``xp``."""
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width

    def normal(role: str, rows: int, columns: int, variance: float) -> Array:
        out = np.empty((len(draws), rows, columns), dtype=dtype)
        for b, draw in enumerate(draws):
            values = _stream(seed, point, draw, role).standard_normal((rows, columns))
            np.multiply(values, variance**0.5, out=out[b], casting="same_kind")
        return xp.asarray(out)

    X = normal("X", N, d, 1.0)
    V = normal("V", C, m or d, 1.0 / (m or d))
    W = None if m is None else normal("W", m, d, 1.0 / d)
    y = None
    if labels:
        y = xp.asarray(np.stack([_stream(seed, point, draw, "y").integers(C, size=N) for draw in draws]))
    return Draws(X, V, W, y)


def _stream(seed: int, point: Point, draw: int, role: str) -> np.random.Generator:
    """Return the generator of one array: SFC64, seeded by 128 bits of a hash of its key."""
    key = blake2b(f"{STREAM}/{seed}/{point.id}/{draw}/{role}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.SFC64(int.from_bytes(key, "little")))
