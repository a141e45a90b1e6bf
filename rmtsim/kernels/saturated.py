"""Off-diagonal blocks of the last layer where one class has nearly all the probability, as after training."""

from __future__ import annotations

from rmtsim.arrays.backend import Array, backend_of
from rmtsim.arrays.dot_products import inner
from rmtsim.kernels.classes import Chunk
from rmtsim.kernels.grams import DataKernel, gram_sums
from rmtsim.kernels.probabilities import Softmax


def careful_offdiag(softmax: Softmax, kernel: DataKernel) -> Array:
    """⟨K, (PPᵀ)∘(PPᵀ) − SSᵀ⟩ without cancellation of the leading classes' squares.

    Split p_n = τ_n e_{t(n)} + ρ_n at its largest entry. With D_nk = τ_n τ_k [t(n) = t(k)] and B_nk = ρ_{n,t(k)} τ_k,
    PPᵀ = ρρᵀ + B + Bᵀ + D, and of B_nk and D_nk one is zero, so the large squares cancel on paper:

        (PPᵀ)∘(PPᵀ) − SSᵀ = (ρρᵀ)∘(ρρᵀ) − (ρ∘ρ)(ρ∘ρ)ᵀ + 2 ρρᵀ∘(B + Bᵀ + D) + 2 B∘Bᵀ.
    """
    xp, others, leading = softmax.xp, softmax.without_leading(), softmax.leading
    leading_rows = softmax.leading_rows  # found here once, not by the team's threads

    def columns(i: int, chunk: Chunk, fresh: bool) -> tuple[Array, Array]:
        E = others.count(i, chunk, fresh)
        return E, E * E

    def tau(i: int) -> Array:
        """Probability of the leading class, which has exp(0) = 1."""
        return xp.astype(1 / (1 + others.total[..., softmax.tiles[i], :]), softmax.U.dtype)

    def spill(i: int, j: int) -> Array:
        """B of the samples in tiles i and j: what i's samples give to the classes that lead in j."""
        n, k = (..., softmax.tiles[i], slice(None)), (..., softmax.tiles[j], slice(None))
        rho = xp.exp(backend_of(xp).products(softmax.U[n], leading_rows[k]) - leading.logit[n]) * tau(i)
        return xp.where(leading.index[n] == leading.index[k].mT, xp.zeros_like(rho), rho * tau(j).mT)

    def finish(i: int, j: int, grams: list[Array]) -> tuple[Array]:
        both = tau(i) * tau(j).mT
        n, k = (..., softmax.tiles[i], slice(None)), (..., softmax.tiles[j], slice(None))
        D = xp.where(leading.index[n] == leading.index[k].mT, both, xp.zeros_like(both))
        B, Bt, rho = spill(i, j), spill(j, i).mT, grams[0] * both
        pairs = rho * (rho + 2 * (B + Bt + D)) + 2 * B * Bt - grams[1] * both**2
        return (inner(kernel.tile(i, j), pairs, xp),)

    def work() -> Array:
        return gram_sums(columns, finish, softmax.U.shape[-2], others.chunks, softmax.tiling, softmax.team, xp)[0]

    return others.first_pass(work)
