"""Block norms between the layers: the blocks ∂²loss/∂w_i∂v_jᵀ of (11) and (18).

Block (i, j) has the columns N⁻¹ Σ_n s_n x_n u_nj σ_nl for l ≠ i and N⁻¹ Σ_n s_n x_n w_nj for l = i, where
w = r + u σ_i, r is the residual, u_nj = p_nj(v_ji − Σ_c p_nc v_ci) for CE, 2 v_ji for MSE, and s_n = σ′(w_i·x_n) is
the slope of neuron i. So with G_nk = s_n x_n·x_k s_k and Gram matrices over the classes j,

    N² Σ_j ‖H_{w_i v_j}‖² = ⟨G, uuᵀ∘(σσᵀ − σ_i σ_iᵀ) + wwᵀ⟩.

The slopes of ReLU are masks: all sums then run over the samples that neuron i lets through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.arrays.dot_products import inner
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.classes import Chunk, Rows, chunks
from rmtsim.kernels.device_sums import sums_of_pairs
from rmtsim.kernels.grams import DataKernel, gram_sums, kept_grams
from rmtsim.kernels.moments import Moments
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.results import BlockNorms
from rmtsim.kernels.tiling import Tiling, retiled
from rmtsim.model.network import Forward, one_hot


class Passing(NamedTuple):
    """The samples that a neuron of a draw lets through: half of them with ReLU, all with other activations."""

    draw: tuple[int, ...]
    neuron: int
    samples: Array  #: their numbers
    tiling: Tiling
    gram: DataKernel | _Sloped  #: G of them


class _Sloped(NamedTuple):
    """G_nk = s_n x_n·x_k s_k of all samples of a draw, from XXᵀ, which its neurons share."""

    gram: DataKernel
    slopes: Array  #: s, (N, 1)

    def tile(self, i: int, j: int) -> Array:
        """Return the tile (i, j), as `DataKernel.tile` does."""
        n, k = (self.slopes[self.gram.tiles[t], :] for t in (i, j))
        return self.gram.tile(i, j) * (n * k.mT)


#: (what a neuron lets through, place of V among those side by side) → N² Σ_j ‖H_{w_i v_j}‖²
_OfNeuron = Callable[[Passing, int], Array]


class CrossLayer:
    """Norms over all m·C blocks for several V of each draw, which share the Gram matrices of X.

    Parameters
    ----------
    X, y
        Samples (…, N, d) and labels (…, N).
    masked
        Whether slopes are masks.
    keep
        Whether the Gram matrices are wanted again, for further V; they are kept where they are not too large.
    """

    def __init__(
        self,
        X: Array,
        forward_pass: Forward,
        y: Array,
        tiling: Tiling,
        team: ThreadTeam,
        xp: Module,
        *,
        masked: bool,
        keep: bool,
    ) -> None:
        self._X, self._forward, self._y, self._tiling, self._team, self._xp = X, forward_pass, y, tiling, team, xp
        *lead, n_samples, m = forward_pass.features.shape
        self._lead, self._blocks, self._masked, self._N = lead, n_samples**2 * m, masked, n_samples
        self._sums = backend_of(xp).chunk_sums()
        self._keeps = keep and kept_grams(n_samples, m, masked)
        self._kept: dict[tuple[int, ...], Any] = {}

    def ce(self, softmax: Softmax, moments: Moments) -> BlockNorms:
        """Return the norms (18), (…, R), for probabilities and moments after their first pass."""
        xp, mean = softmax.xp, moments.mean()
        leading = moments.excess_of_leading() if softmax.is_saturated else mean  # where it is wanted
        if self._sums:
            of, given = softmax.on_device(), (softmax.later_chunks, softmax.exponentials)
            return self._on_device(*given, softmax.V, mean, leading, of)

        def of_neuron(passing: Passing, place: int) -> Array:
            draw, neuron, gram = (*passing.draw, place), passing.neuron, passing.gram
            here = softmax.select(draw, passing.samples)
            centre, excess = (xp.take(A[*draw, :, neuron, None], passing.samples, axis=0) for A in (mean, leading))
            labels = xp.take(self._y[*passing.draw, :], passing.samples)

            def columns(i: int, chunk: Chunk, fresh: bool) -> tuple[Array, Array]:
                rows = here.tiles[i]
                P = here.probabilities(i, chunk)
                u = P * here.leading_or(chunk, i, excess[rows, :], chunk.V[:, neuron] - centre[rows, :])
                return u, here.residual(P, i, chunk, labels[rows]) + u * here.U[rows, neuron, None]

            def finish(i: int, j: int, grams: list[Array]) -> tuple[Array]:
                uu, ww = grams
                return (inner(gram.tile(i, j), uu * _others(here.U, here.tiles[i], here.tiles[j], neuron) + ww, xp),)

            return gram_sums(columns, finish, labels.shape[0], here.chunks, here.tiling, softmax.team, xp)[0]

        return self._mean_over_blocks(softmax.V, of_neuron)

    def mse(self, V: Rows) -> BlockNorms:
        """Return the norms (11), (…, R), for the rows of V (…, R, C, m)."""
        xp = self._xp
        if self._sums:
            features = self._forward.features[..., None, :, :]
            tiles = self._tiling.tiles(self._N)

            def outputs(i: int, chunk: Chunk) -> Array:
                return backend_of(xp).products(features[..., tiles[i], :], chunk.V)

            return self._on_device(lambda: chunks(V, self._tiling), outputs, V, features, features)

        def of_neuron(passing: Passing, place: int) -> Array:
            neuron, here, gram = passing.neuron, passing.tiling, passing.gram
            rows_of_V = V.draw((*passing.draw, place))
            s = xp.take(self._forward.features[*passing.draw, :, :], passing.samples, axis=0)
            labels = xp.take(self._y[*passing.draw, :], passing.samples)
            tiles = here.tiles(s.shape[0])

            def columns(i: int, chunk: Chunk, fresh: bool) -> tuple[Array]:
                rows = tiles[i]
                Y = one_hot(labels[rows], chunk.classes, s.dtype, xp)
                return (2 * (s[rows, :] @ chunk.V.mT - Y + s[rows, neuron, None] * chunk.V[:, neuron]),)

            squares = [xp.sum(xp.astype(c.V[:, neuron], xp.float64) ** 2) for c in chunks(rows_of_V, here)]
            uu = xp.astype(4 * sum(squares[1:], squares[0]), s.dtype)

            def finish(i: int, j: int, grams: list[Array]) -> tuple[Array]:
                return (inner(gram.tile(i, j), uu * _others(s, tiles[i], tiles[j], neuron) + grams[0], xp),)

            return gram_sums(columns, finish, s.shape[0], lambda: chunks(rows_of_V, here), here, self._team, xp)[0]

        return self._mean_over_blocks(V, of_neuron)

    def _on_device(
        self,
        classes: Callable[[], Iterable[Chunk]],
        outputs: Callable[[int, Chunk], Array],
        V: Rows,
        centre: Array,
        excess: Array,
        of: Any = None,
    ) -> BlockNorms:
        """Sum over all neurons of all draws at once on a GPU, where a sample that is not let through has slope 0."""
        sums, C = self._sums, V.shape[-2]
        X, slopes, features = self._X, self._forward.slopes, self._forward.features
        neurons = sums.Neurons(X, slopes, features, self._y, centre, excess)

        def add(partial: Array | None, left: Any, right: Any, chunk: Chunk) -> Array:
            rows = V.rows(chunk.classes) if chunk.V is None else chunk.V
            return sums.add_cross_sums(partial, left, right, rows, neurons, of)

        found = sums_of_pairs(sums, self._N, classes, self._tiling, outputs, lambda i, j: add)
        off = found[..., 0] / (self._blocks * C)
        return BlockNorms(off * self._xp.nan, off)

    def _mean_over_blocks(self, V: Rows, of_neuron: _OfNeuron) -> BlockNorms:
        """Mean over all blocks; a loop, since every draw and neuron has another number of samples that pass."""
        xp, (count, n_classes) = self._xp, V.shape[-3:-1]
        totals = []
        for draw in np.ndindex(*self._lead):
            total = [xp.zeros((), dtype=xp.float64) for _ in range(count)]
            for neuron in range(self._forward.features.shape[-1]):
                passing = self._passing(draw, neuron) if self._masked else self._all(draw, neuron)
                if passing.samples.shape[0]:
                    total = [sum_ + of_neuron(passing, place) for place, sum_ in enumerate(total)]
            if not self._keeps:
                self._kept.clear()
            totals.append(xp.stack(total) / (self._blocks * n_classes))
        off = xp.reshape(xp.stack(totals) if totals else xp.zeros(0, dtype=xp.float64), (*self._lead, count))
        return BlockNorms(off * xp.nan, off)

    def _passing(self, draw: tuple[int, ...], neuron: int) -> Passing:
        """Return the samples that a neuron lets through."""
        key, xp = (*draw, neuron), self._xp
        if key in self._kept:
            found: Passing = self._kept[key]
            return found
        (on,) = xp.nonzero(self._forward.slopes[*draw, :, neuron])
        tiling = retiled(self._tiling, on.shape[0]) if on.shape[0] else self._tiling
        x = xp.take(self._X[*draw, :, :], on, axis=0)
        found = Passing(draw, neuron, on, tiling, DataKernel(x, tiling, self._team, xp, power=1))
        if self._keeps:
            self._kept[key] = found
        return found

    def _all(self, draw: tuple[int, ...], neuron: int) -> Passing:
        """Return all samples, with the slopes of a neuron."""
        tiling = retiled(self._tiling, self._X.shape[-2])
        if draw not in self._kept:
            self._kept[draw] = DataKernel(self._X[*draw, :, :], tiling, self._team, self._xp, power=1)
        gram = _Sloped(self._kept[draw], self._forward.slopes[*draw, :, neuron, None])
        return Passing(draw, neuron, self._xp.arange(self._X.shape[-2]), tiling, gram)


def _others(s: Array, rows: slice, columns: slice, neuron: int) -> Array:
    """σσᵀ without the neuron's own term."""
    return s[rows, :] @ s[columns, :].mT - s[rows, neuron, None] * s[columns, neuron, None].mT
