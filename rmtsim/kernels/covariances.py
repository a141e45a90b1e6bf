"""Covariances of rows of V under the softmax, for many V of a draw: sums over classes in one product for each V.

Samples lie along the last axis, and nothing is taken out of the logits but what all rows of V share, which changes no
probability. That is all that the V of a draw at initialisation need, as a rule; how far it did for each is told, and
for the rest there is `rmtsim.kernels.moments.Moments`, which takes three times as long and is right for all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.arrays.dot_products import row_dots
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.classes import Rows, chunks
from rmtsim.kernels.pairs import n_pairs, pair, pairs_of
from rmtsim.kernels.tiling import Tiling

#: Sums of exponentials between these have lost nothing to the range of a dtype.
_LEAST_TOTAL, _LARGEST_TOTAL = 2.0**-30, 2.0**60

#: A covariance below this share of the products of means that it is less has lost two digits.
_DOMINATED = 0.01


class Covariances(NamedTuple):
    """Covariances of several V, and what is known of them."""

    values: Array  #: (…, R, pairs, N), in the dtype of the arrays; 0 where the pair does not let the sample through
    trusted: Array  #: whether those of a V are good to all digits but two, (…, R)
    size: Array  #: at least the largest of a V, and at most √(pairs·N) times that, (…, R), in float64


def covariances(
    U: Array, V: Rows, active: Array, seen: Array, tiling: Tiling, team: ThreadTeam, xp: Module
) -> Covariances:
    """Return Cov_p(v_i, v_j) of (14), p = softmax(V u_n), for pairs of neurons and samples U (…, 1, N, m).

    ``active`` are the masks of neurons, (…, 1, N, m), in the dtype, and ``seen`` their products for pairs, (…, 1, N,
    pairs); V is (…, R, C, m).
    """
    n_samples, m = U.shape[-2:]
    seen, active = (_by_rows(A.mT, xp) for A in (seen, active))
    C, tiles, backend = V.shape[-2], tiling.tiles(n_samples), backend_of(xp)
    kind = U.dtype if tiling.one_chunk(C) else xp.float64  # of sums over chunks
    sums = xp.empty((*V.shape[:-2], 1 + m + n_pairs(m), n_samples), dtype=kind)

    def add(i: int, rows: Array, powers: Array, first: bool) -> None:
        E = backend.exp_in_place(backend.products(rows, samples[i].mT))
        found, part = backend.products(powers, E.mT), sums[..., tiles[i]]
        if first:
            part[...] = found
        else:
            part += found

    samples, centre = [_by_rows(U[..., tile, :].mT, xp) for tile in tiles], None
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is not trusted
        for chunk in chunks(V, tiling):
            if first := centre is None:
                centre = xp.mean(chunk.V, axis=-2, keepdims=True)
            rows = chunk.V - centre
            powers = xp.concat([xp.ones_like(rows[..., :1]), rows, pair(rows, xp)], axis=-1).mT
            jobs = [(i, rows, powers, first) for i in range(len(tiles))]
            team.map(lambda job: add(*job), jobs)
        total = sums[..., :1, :]
        means = xp.astype(sums[..., 1 : m + 1, :] / total, U.dtype, copy=False) * active
        i, j = map(backend.fixed, pairs_of(m))
        products = xp.take(means, i, axis=-2)
        products *= xp.take(means, j, axis=-2)
        values = xp.astype(sums[..., m + 1 :, :] / total, U.dtype, copy=False)
        values *= seen
        values -= products
        left, lost = (xp.astype(row_dots(A, A, xp), xp.float64) for A in (values, products))
        trusted = xp.all((total >= _LEAST_TOTAL) & (total <= _LARGEST_TOTAL), axis=(-2, -1))
        for some in (slice(0, m), slice(m, None)):  # pairs i = j and i < j go into different norms
            trusted &= xp.sum(left[..., some], axis=-1) >= _DOMINATED**2 * xp.sum(lost[..., some], axis=-1)
    return Covariances(values, trusted, xp.sqrt(xp.sum(left, axis=-1)))


def _by_rows(A: Array, xp: Module) -> Array:
    """Return a copy whose rows lie one after the other."""
    found = xp.empty(A.shape, dtype=A.dtype)
    found[...] = A
    return found
