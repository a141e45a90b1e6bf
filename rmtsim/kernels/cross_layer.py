"""Block norms between the layers: the blocks ∂²loss/∂w_i∂v_jᵀ of (11) and (18).

Block (i, j) has the columns N⁻¹ Σ_n x_n u_nj σ_nl for l ≠ i and N⁻¹ Σ_n x_n w_nj for l = i, where w = r + u σ_i,
r is the residual and u_nj = p_nj(v_ji − Σ_c p_nc v_ci) for CE, 2 v_ji for MSE, all on the samples that neuron i lets
through. So with G = XXᵀ and Gram matrices over the classes j,

    N² Σ_j ‖H_{w_i v_j}‖² = ⟨G, uuᵀ∘(σσᵀ − σ_i σ_iᵀ) + wwᵀ⟩.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rmtsim.arrays.backend import Array, Module, inner
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.classes import Chunk, Rows, chunks
from rmtsim.kernels.grams import DataKernel, gram_sums
from rmtsim.kernels.hidden_layer import Moments
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.results import BlockNorms
from rmtsim.kernels.tiling import Tiling, retiled
from rmtsim.model.network import Forward, one_hot

#: (draw, neuron, the samples that it lets through) → N² Σ_j ‖H_{w_i v_j}‖²
_OfNeuron = Callable[[tuple[int, ...], int, Array], Array]


def cross_ce(X: Array, forward_pass: Forward, y: Array, softmax: Softmax, moments: Moments) -> BlockNorms:
    """Norms over all m·C blocks (18), for probabilities and moments after their first pass."""
    xp, mean = softmax.xp, moments.mean()
    leading = moments.excess_of_leading() if softmax.is_saturated else mean  # where it is wanted

    def of_neuron(draw: tuple[int, ...], neuron: int, on: Array) -> Array:
        here = softmax.select(draw, on)
        centre, excess = (xp.take(A[*draw, :, neuron, None], on, axis=0) for A in (mean, leading))
        labels = xp.take(y[*draw, :], on)

        def columns(i: int, chunk: Chunk, fresh: bool) -> tuple[Array, Array]:
            rows = here.tiles[i]
            P = here.probabilities(i, chunk)
            u = P * here.leading_or(chunk, i, excess[rows, :], chunk.V[:, neuron] - centre[rows, :])
            return u, here.residual(P, i, chunk, labels[rows]) + u * here.U[rows, neuron, None]

        def finish(i: int, j: int, grams: list[Array]) -> tuple[Array]:
            uu, ww = grams
            return (inner(data.tile(i, j), uu * _others(here.U, here.tiles[i], here.tiles[j], neuron) + ww, xp),)

        x = xp.take(X[*draw, ...], on, axis=0)
        data = DataKernel(x, here.tiling, softmax.team, xp, power=1)
        return gram_sums(columns, finish, x.shape[0], here.chunks, here.tiling, softmax.team, xp)[0]

    return _mean_over_blocks(forward_pass, softmax.V.shape[-2], of_neuron, xp)


def cross_mse(
    X: Array, V: Rows, forward_pass: Forward, y: Array, tiling: Tiling, team: ThreadTeam, xp: Module
) -> BlockNorms:
    """Norms over all m·C blocks (11)."""

    def of_neuron(draw: tuple[int, ...], neuron: int, on: Array) -> Array:
        rows_of_V = V.draw(draw)
        x, s = (xp.take(A[*draw, ...], on, axis=0) for A in (X, forward_pass.features))
        labels = xp.take(y[*draw, :], on)
        here = retiled(tiling, x.shape[0])
        tiles = here.tiles(x.shape[0])

        def columns(i: int, chunk: Chunk, fresh: bool) -> tuple[Array]:
            rows = tiles[i]
            Y = one_hot(labels[rows], chunk.classes, x.dtype, xp)
            return (2 * (s[rows, :] @ chunk.V.mT - Y + s[rows, neuron, None] * chunk.V[:, neuron]),)

        squares = [xp.sum(xp.astype(c.V[:, neuron], xp.float64) ** 2) for c in chunks(rows_of_V, here)]
        uu = xp.astype(4 * sum(squares[1:], squares[0]), x.dtype)
        data = DataKernel(x, here, team, xp, power=1)

        def finish(i: int, j: int, grams: list[Array]) -> tuple[Array]:
            return (inner(data.tile(i, j), uu * _others(s, tiles[i], tiles[j], neuron) + grams[0], xp),)

        return gram_sums(columns, finish, x.shape[0], lambda: chunks(rows_of_V, here), here, team, xp)[0]

    return _mean_over_blocks(forward_pass, V.shape[-2], of_neuron, xp)


def _mean_over_blocks(forward_pass: Forward, n_classes: int, of_neuron: _OfNeuron, xp: Module) -> BlockNorms:
    """Mean over all blocks; a loop, since every draw and neuron has another number of samples that pass."""
    *lead, n_samples, m = forward_pass.features.shape
    totals = []
    for draw in np.ndindex(*lead):
        total = xp.zeros((), dtype=xp.float64)
        for neuron in range(m):
            (on,) = xp.nonzero(forward_pass.active[*draw, :, neuron])
            if on.shape[0]:
                total = total + of_neuron(draw, neuron, on)
        totals.append(total / (n_samples**2 * m * n_classes))
    off = xp.reshape(xp.stack(totals) if totals else xp.zeros(0, dtype=xp.float64), tuple(lead))
    return BlockNorms(off * xp.nan, off)


def _others(s: Array, rows: slice, columns: slice, neuron: int) -> Array:
    """σσᵀ without the neuron's own term."""
    return s[rows, :] @ s[columns, :].mT - s[rows, neuron, None] * s[columns, neuron, None].mT
