"""Gram matrices of columns that stream past, tile by tile, and the weight K that they are summed with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.arrays.dot_products import inner, row_dots
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.pairs import pairs_of
from rmtsim.kernels.tiling import Tiling

#: (number of a tile, chunk, whether the tile's samples are seen for the first time in this pass) → one array
#: (…, samples of the tile, columns) for each kind of column. Called once for every tile and chunk, by any thread.
Columns = Callable[[int, Any, bool], tuple[Array, ...]]

#: Numbers of two tiles.
Pair = tuple[int, int]

#: (tile i, tile j, Gram matrices of every kind) → numbers to be added up, one (…) for each kind of result.
Finish = Callable[[int, int, list[Array]], tuple[Array, ...]]

#: Features of all samples are kept up to this many numbers, else made anew for every chunk; so are Gram matrices of
#: the samples that neurons let through.
_KEPT_NUMBERS = 2**22


def gram_sums(
    columns: Columns,
    finish: Finish,
    n_samples: int,
    chunks: Callable[[], Iterable[Any]],
    tiling: Tiling,
    team: ThreadTeam,
    xp: Module,
) -> list[Array]:
    """Make G_ij = Σ A_i A_jᵀ for every kind A of column and all tiles i ≥ j; add up what ``finish`` makes of them.

    All chunks stream past once for every block of tiles; those with pairs i = j come first. Where i = j, only
    the lower triangle of G is computed.
    """
    done: dict[Pair, tuple[Array, ...]] = {}
    for block in tiling.blocks(tiling.n_tiles(n_samples)):
        grams = _grams_of_block(columns, block, chunks(), team, xp)
        results = team.map(lambda pair, grams=grams: finish(pair[0], pair[1], grams.pop(pair)), block)  # type: ignore[misc]
        done.update(zip(block, results, strict=True))
    # In an order that does not depend on the blocks.
    return [sum(parts[1:], parts[0]) for parts in zip(*(done[pair] for pair in sorted(done)), strict=True)]


def _grams_of_block(
    columns: Columns, block: list[Pair], chunks: Iterable[Any], team: ThreadTeam, xp: Module
) -> dict[Pair, list[Array]]:
    """Gram matrices of the block's pairs of tiles, of every kind of column, summed over the chunks."""
    fresh = {i for i, j in block if i == j}
    wanted = sorted({tile for pair in block for tile in pair})
    kinds: dict[int, tuple[Array, ...]] = {}
    grams: dict[Pair, list[Array]] = {}
    backend = backend_of(xp)
    on_device = backend.chunk_sums()

    def add(job: tuple[Pair, int]) -> None:
        (i, j), kind = job
        if on_device:
            on_device.add_grams(grams[i, j][kind], kinds[i][kind], kinds[j][kind])
        else:
            grams[i, j][kind] = backend.add_product(grams[i, j][kind], kinds[i][kind], kinds[j][kind])

    def zeros(A: Array, B: Array) -> Array:
        return on_device.zero_grams(A, B) if on_device else _zeros(A, B, xp)

    for chunk in chunks:
        made = team.map(lambda i, chunk=chunk: columns(i, chunk, i in fresh), wanted)  # type: ignore[misc]
        kinds.update(zip(wanted, made, strict=True))
        del made
        if not grams:
            grams = {(i, j): [zeros(A, B) for A, B in zip(kinds[i], kinds[j], strict=True)] for i, j in block}
        jobs = [(pair, kind) for pair in block for kind in range(len(grams[pair]))]
        team.map(add, sorted(jobs, key=lambda job: job[0][0] == job[0][1]))  # the costly ones first
        kinds.clear()  # before the next chunk's are made
    if on_device:
        grams = {pair: [on_device.added_grams(totals) for totals in grams.pop(pair)] for pair in block}
    return grams


def _zeros(A: Array, B: Array, xp: Module) -> Array:
    return xp.zeros((*A.shape[:-1], B.shape[-2]), dtype=A.dtype)


class DataKernel:
    """K_nk = (u_n·u_k)² = φ_n·φ_k of the samples U (…, N, inputs), with φ_n = vech(u_n u_nᵀ).

    λᵀ K λ / N² is the squared norm of (1/N) Σ_n λ_n u_n u_nᵀ. With ``power=1``, the Gram matrix itself.
    """

    def __init__(self, U: Array, tiling: Tiling, team: ThreadTeam, xp: Module, power: int = 2) -> None:
        self._U, self._tiling, self._team, self._xp, self._power = U, tiling, team, xp, power
        n_samples, inputs = U.shape[-2:]
        self._backend = backend_of(xp)
        self.tiles = tiling.tiles(n_samples)
        self.few_features = few_features(inputs, n_samples)
        self.keeps_tiles = tiling.span >= len(self.tiles)
        self._kept: dict[tuple[int, ...], Array] = {}

    @property
    def in_registers(self) -> bool:
        """Whether the backend sums over pairs of these samples with no Gram matrix in memory: those of one tile."""
        return self._backend.sums_pairs and len(self.tiles) == 1 and not self.few_features

    @property
    def samples(self) -> Array:
        """U."""
        return self._U

    def entries(self, i: int, j: int) -> Array:
        """Return the tile (i, j) of K, j ≤ i; where i = j, only its lower triangle with the diagonal."""
        A, B = (self._U[..., self.tiles[t], :] for t in (i, j))
        K = self._backend.add_product(_zeros(A, B, self._xp), A, A if i == j else B)
        if self._power == 2:
            K *= K
        return K

    def tile(self, i: int, j: int) -> Array:
        """Return the tile (i, j) of K, j ≤ i, as it stands in sums over all pairs of samples.

        That is 2K below the diagonal, K on it and 0 above, for K is symmetric.
        """
        if (i, j) in self._kept:
            return self._kept[i, j]
        K = self.entries(i, j)
        if i == j:
            K = self._backend.pair_weights(K)
        else:
            K *= 2
        if self.keeps_tiles:
            self._kept[i, j] = K
        return K

    def quadratic_sums(self, columns: Columns, chunks: Callable[[], Iterable[Any]]) -> list[Array]:
        """For every kind of column, return Σ λᵀ K λ over all its columns λ, in float64."""
        if not self.few_features:
            n_samples = self._U.shape[-2]
            return gram_sums(columns, self._weigh, n_samples, chunks, self._tiling, self._team, self._xp)
        parts = [self._contracted(columns, chunk) for chunk in chunks()]
        return [sum(kind[1:], kind[0]) for kind in zip(*parts, strict=True)]

    def sums_in_registers(self, A: Array, first: int) -> list[Array]:
        """Return Σ λᵀ K λ over the ``first`` columns λ of A (…, N, columns), and over the others if there are any."""
        sums = self._backend.quadratic_sums(self._U, A, first)
        return [sums[..., kind] for kind in range(1 + (first < A.shape[-1]))]

    def sums_of_active(self, weights: Array, active: Array) -> list[Array]:
        """Return Σ λᵀ K λ over several V and all pairs of neurons i = j, and over all i < j, in float64.

        ``weights`` are λ, (…, pairs, R, N), and ``active`` the masks of neurons, (…, N, m); λ is 0 where a neuron of
        its pair does not let the sample through. So K is restricted to the samples that the first of them lets through:
        where that is half of them, a quarter of K, which is picked out once for all of its pairs and all V.
        """
        xp, (*lead, _, m) = self._xp, active.shape
        first, _ = pairs_of(m)
        others = np.searchsorted(first[m:], np.arange(m + 1)) + m  # where the pairs i < j of each neuron i begin
        jobs = [(draw, neuron) for draw in np.ndindex(*lead) for neuron in range(m)]

        def pick(tile: slice) -> list[tuple[Array, Array, Array]]:
            """Return for each job the samples of a tile that the neuron lets through, and λ there, (V, samples)."""
            found = []
            for draw, neuron in jobs:
                (n,) = xp.nonzero(active[*draw, tile, neuron])
                some = (slice(neuron, neuron + 1), slice(int(others[neuron]), int(others[neuron + 1])))
                rows = (xp.take(weights[*draw, pairs, :, tile], n, axis=-1) for pairs in some)
                found.append((n, *(xp.reshape(A, (A.shape[0] * A.shape[1], A.shape[2])) for A in rows)))
            return found

        def product(A: Array, K: Array, B: Array) -> Array:
            return xp.sum(xp.astype(row_dots(A @ K, B, xp), xp.float64))

        passing = self._team.map(pick, self.tiles)
        sums = xp.zeros((*lead, m, 2), dtype=xp.float64)
        for a, b in _pairs(len(self.tiles)):
            tile = self.tile(a, b)

            def of_neuron(job: int, tile: Array = tile, a: int = a, b: int = b) -> Array:
                (n, *left), (k, *right) = passing[a][job], passing[b][job]
                K = xp.take(xp.take(tile[*jobs[job][0], 0, :, :], n, axis=0), k, axis=1)
                return xp.stack([product(A, K, B) for A, B in zip(left, right, strict=True)])

            parts = self._team.map(of_neuron, range(len(jobs)))
            sums += xp.reshape(xp.stack(parts), sums.shape)
        return [xp.sum(sums[..., kind], axis=-1) for kind in range(1 if m == 1 else 2)]

    def diagonal(self) -> Array:
        """Return K_nn, (…, N, 1), in float64."""
        return self._xp.sum(self._xp.astype(self._U**2, self._xp.float64), axis=-1, keepdims=True) ** self._power

    def quadratic_forms(self, columns: Columns, chunk: Any) -> list[Array]:
        """For every kind of column, return Σ_{n≠k} K_nk λ_n λ_k for each of the chunk's columns λ, in float64."""
        xp = self._xp
        kinds = [columns(i, chunk, True) for i in range(len(self.tiles))]

        def form(pair: Pair) -> list[Array]:
            K, left, right = self.tile(*pair), kinds[pair[0]], kinds[pair[1]]
            if pair[0] == pair[1]:
                K = xp.tril(K, k=-1)
            products = (A * self._backend.products(K, B.mT) for A, B in zip(left, right, strict=True))
            return [xp.sum(xp.astype(of_kind, xp.float64), axis=-2) for of_kind in products]

        forms = self._team.map(form, _pairs(len(kinds)))
        return [sum(kind[1:], kind[0]) for kind in zip(*forms, strict=True)]

    def _weigh(self, i: int, j: int, grams: list[Array]) -> tuple[Array, ...]:
        K = self.tile(i, j)
        return tuple(inner(K, G, self._xp) for G in grams)

    def _contracted(self, columns: Columns, chunk: Any) -> list[Array]:
        """‖ΦᵀA‖² for every kind A of the chunk's columns."""

        def contract(i: int) -> list[Array]:
            return [self._backend.products(self._features(i).mT, A.mT) for A in columns(i, chunk, True)]

        # As many tiles at once as there are threads, added in order: neither memory nor bits depend on N.
        sums: list[Array] = []
        for start in range(0, len(self.tiles), self._team.threads):
            together = range(start, min(start + self._team.threads, len(self.tiles)))
            for part in self._team.map(contract, together):
                sums = [a + b for a, b in zip(sums, part, strict=True)] if sums else part
        return [inner(T, T, self._xp) for T in sums]

    def _features(self, i: int) -> Array:
        """φ (…, samples of the tile, inputs(inputs+1)/2): products of two entries, those off the diagonal times √2."""
        if (i,) in self._kept:
            return self._kept[i,]
        U = self._U[..., self.tiles[i], :]
        rows, columns = np.triu_indices(U.shape[-1])
        phi = self._backend.column_products(U, U, rows, columns, np.where(rows == columns, 1.0, np.sqrt(2.0)))
        if kept_features(U.shape[-1], self._U.shape[-2]):
            self._kept[i,] = phi
        return phi


def _pairs(n_tiles: int) -> list[Pair]:
    """Return all pairs of tiles i ≥ j."""
    return [(i, j) for i in range(n_tiles) for j in range(i + 1)]


def kept_features(inputs: int, n_samples: int) -> bool:
    """Whether the features of all samples are kept, rather than made anew for every chunk."""
    return inputs * (inputs + 1) // 2 * n_samples <= _KEPT_NUMBERS


def kept_grams(n_samples: int, neurons: int, masked: bool) -> bool:
    """Whether Gram matrices of the samples are kept for further V.

    There is one for each neuron, of the samples that it lets through, about half, if slopes are masks; else one.
    """
    return (neurons * n_samples**2 // 4 if masked else n_samples**2) <= _KEPT_NUMBERS


def few_features(inputs: int, n_samples: int) -> bool:
    """Whether contracting through φ is cheaper: GEMM with 2N·inputs(inputs+1)/2 flops a column, SYRK with N²."""
    return inputs * (inputs + 1) < n_samples
