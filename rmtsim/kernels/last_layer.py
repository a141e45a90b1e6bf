"""Block norms of the layer before the logits: the linear model, or the output layer over the hidden one.

With P the softmax of all samples, Q = P∘(1−P), S = P∘P and K of the layer's inputs (see ``rmtsim.kernels.norms``),

    Σ_i ‖H_ii‖² = N⁻² ⟨K, QQᵀ⟩,    Σ_{i≠j} ‖H_ij‖² = N⁻² (⟨K, (PPᵀ)∘(PPᵀ)⟩ − ⟨K, SSᵀ⟩).

⟨K, (PPᵀ)∘(PPᵀ)⟩ needs all classes, ⟨K, QQᵀ⟩ and ⟨K, SSᵀ⟩ are sums of a term λᵀKλ for each class. At initialisation
QQᵀ is PPᵀ up to a part of order 1/C, and ⟨K, PPᵀ⟩ comes with the first sum for nothing; so with many classes it is
enough to take both differences from a sample of the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.arrays.dot_products import inner, row_dots
from rmtsim.kernels.classes import Chunk
from rmtsim.kernels.cost import pays_in_registers
from rmtsim.kernels.device_sums import Add, sums_of_pairs
from rmtsim.kernels.grams import DataKernel, gram_sums
from rmtsim.kernels.hidden_layer import side_by_side
from rmtsim.kernels.pairs import pair
from rmtsim.kernels.precision import most_cancelled
from rmtsim.kernels.probabilities import Softmax
from rmtsim.kernels.results import BlockNorms, SampledNorms
from rmtsim.kernels.saturated import careful_offdiag


class RowSums(Protocol):
    """What is added up of every sample, tile by tile, as the classes pass for the first time."""

    def reset(self) -> None:
        """Start again."""

    def add(self, i: int, chunk: Chunk, E: Array) -> None:
        """Add a tile's terms of a chunk: E = exp(logits − shift), which may not be written to."""


def last_layer_mse(U: Array, n_classes: int, xp: Module) -> BlockNorms:
    """Linear model (3), U = X, or output layer (9), U = σ: all diagonal blocks are (2/N) UᵀU, all others zero."""
    A = U.mT if U.shape[-1] < U.shape[-2] else U
    small = backend_of(xp).products(A, A)  # either has the same norm
    diag = 4 / U.shape[-2] ** 2 * inner(small, small, xp)
    return BlockNorms(diag, 0 * diag if n_classes > 1 else diag * xp.nan)


def first_pass(
    softmax: Softmax, kernel: DataKernel | None, sums: Sequence[RowSums], powers: tuple[int, ...] = (2,)
) -> tuple[Array, ...]:
    """Let all classes pass once, for the softmax's normalisation and for all ``sums`` that need every class.

    Returns
    -------
    tuple
        ⟨K, (PPᵀ)^power⟩ for each of ``powers``, taken entry by entry, if a kernel is given.
    """
    xp = softmax.xp

    def columns(i: int, chunk: Chunk, fresh: bool = True) -> tuple[Array]:
        E = softmax.count(i, chunk, fresh)
        for kind in sums if fresh else ():
            kind.add(i, chunk, E)
        return (E,)

    def without_pairs() -> tuple[Array, ...]:
        for chunk in softmax.chunks():

            def add(i: int, chunk: Chunk = chunk) -> None:
                columns(i, chunk)  # whose exponentials go before those of all tiles are there

            softmax.team.map(add, range(len(softmax.tiles)))
        return ()

    def with_pairs(kernel: DataKernel) -> tuple[Array, ...]:
        def finish(i: int, j: int, grams: list[Array]) -> tuple[Array, ...]:
            K, left, right = kernel.tile(i, j), softmax.inverse(i), softmax.inverse(j)
            return tuple(backend_of(xp).weighted_sum(K, grams[0], left, right, power) for power in powers)

        return tuple(gram_sums(columns, finish, softmax.U.shape[-2], softmax.chunks, softmax.tiling, softmax.team, xp))

    def work() -> tuple[Array, ...]:
        for kind in sums:
            kind.reset()
        return with_pairs(kernel) if kernel else without_pairs()

    return softmax.first_pass(work)


def last_layer_ce(softmax: Softmax, kernel: DataKernel, all_pairs: tuple[Array, ...]) -> BlockNorms:
    """Linear model (5) or output layer (15), after `first_pass`; the kernel is that of the softmax's samples."""
    n_samples, C = softmax.U.shape[-2], softmax.V.shape[-2]
    same, squares = _diagonal_sums(softmax, kernel)
    diag = same / (n_samples**2 * C)
    if C == 1:
        return BlockNorms(diag, diag * softmax.xp.nan)
    off = all_pairs[0] - squares
    rest = _beyond_cancelling(off, all_pairs[0], softmax)
    if _has_cancelled(rest, softmax):
        off = softmax.xp.where(rest < 0, careful_offdiag(softmax, kernel), off)
    return BlockNorms(diag, off / (n_samples**2 * C * (C - 1)))


def _beyond_cancelling(difference: Array, minuend: Array, softmax: Softmax) -> Array:
    """Return what is left of each draw's difference; below 0 where it has lost too many digits of the minuend."""
    return difference - most_cancelled(softmax.largest_logits, softmax.xp) * minuend


def _has_cancelled(rest: Array, softmax: Softmax) -> bool:
    doubts, xp = softmax.doubts, softmax.xp
    return doubts.all_with_care or (doubts.outside(rest, xp, above=0.0) and bool(xp.any(rest < 0)))


def _diagonal_sums(softmax: Softmax, kernel: DataKernel) -> list[Array]:
    """Return ⟨K, QQᵀ⟩ and ⟨K, SSᵀ⟩: on a GPU as sums over chunks of classes, with no Gram matrix in memory."""
    backend, C = backend_of(softmax.xp), softmax.V.shape[-2]
    sums = backend.chunk_sums()
    if sums is None or kernel.few_features or backend.on_tensor_cores(softmax.U, C):
        return kernel.quadratic_sums(softmax.diagonal_weights, softmax.later_chunks)
    of = softmax.on_device()

    def of_pair(i: int, j: int) -> Add:
        K = kernel.tile(i, j)
        return lambda partial, left, right, chunk: sums.add_diagonal_sums(partial, K, left, right, of)

    N, classes = softmax.U.shape[-2], softmax.later_chunks
    total = sums_of_pairs(sums, N, classes, softmax.tiling, softmax.exponentials, of_pair)
    return [total[..., kind] for kind in range(2)]


def sums_pairs(softmax: Softmax, kernel: DataKernel) -> bool:
    """Whether `last_layer_in_registers` is there for this: of all classes and samples at once."""
    n_samples, C = softmax.U.shape[-2], softmax.V.shape[-2]
    whole = len(softmax.tiles) == 1 and softmax.tiling.one_chunk(C)
    backend, worth = backend_of(softmax.xp), pays_in_registers(kernel.few_features, n_samples, C)
    return backend.sums_pairs and whole and worth and not backend.on_tensor_cores(softmax.U, C)


def last_layer_in_registers(softmax: Softmax, kernel: DataKernel) -> BlockNorms:
    """Do the same on a GPU with no Gram matrix in memory, after a first pass for the normalisation alone.

    Draws with saturated samples, or whose difference has lost digits, are made as `last_layer_ce` makes them.
    """
    n_samples, C, xp = softmax.U.shape[-2], softmax.V.shape[-2], softmax.xp
    (chunk,) = softmax.later_chunks()
    sums = backend_of(xp).pair_sums(kernel.samples, softmax.exponentials(0, chunk), softmax.inverse(0))
    same, all_pairs, squares = (sums[..., kind] for kind in range(3))
    off = all_pairs - squares
    found = BlockNorms(same / (n_samples**2 * C), off / (n_samples**2 * C * (C - 1)))
    rest = _beyond_cancelling(off, all_pairs, softmax)
    if not _has_cancelled(rest, softmax) and not softmax.is_saturated:
        return found
    careful = (rest < 0) | xp.any(softmax.saturated, axis=(-2, -1))
    slow = last_layer_ce(softmax, kernel, first_pass(softmax, kernel, []))
    return BlockNorms(*(xp.where(careful, *pair) for pair in zip(slow, found, strict=True)))


def last_layer_by_pairs(softmax: Softmax, kernel: DataKernel) -> BlockNorms:
    """Do the same for several V with a weight vector p_i p_j for each pair of classes; return sums over V, (…, 1).

    It pays with few classes (`rmtsim.kernels.cost.pairs_of_classes`), and nothing is taken from anything: terms of all
    sizes keep their digits.
    """
    n_samples, C = softmax.U.shape[-2], softmax.V.shape[-2]

    def columns(i: int, chunk: Chunk, fresh: bool) -> tuple[Array, Array]:
        Q, _ = softmax.diagonal_weights(i, chunk, fresh)
        products = pair(softmax.probabilities(i, chunk), softmax.xp)[..., C:]
        return side_by_side([Q], softmax.xp), side_by_side([products], softmax.xp)

    same, different = kernel.quadratic_sums(columns, softmax.later_chunks)
    return BlockNorms(same / (n_samples**2 * C), 2 * different / (n_samples**2 * C * (C - 1)))


def last_layer_sampled(
    softmax: Softmax, kernel: DataKernel, all_pairs: tuple[Array, ...], powers: RowPowers, n_classes: int
) -> SampledNorms:
    """Do the same with the terms of single classes from the first ``n_classes`` alone, at initialisation.

    The classes of a draw are exchangeable, so the first are as good a sample as any, and the estimates are unbiased.
    Terms of one sample, n = k, have heavy tails and are summed over all classes: they need no products.
    """
    n_samples, C = softmax.U.shape[-2], softmax.V.shape[-2]
    scale, xp = 1 / n_samples**2, softmax.xp

    def columns(i: int, chunk: Chunk, fresh: bool) -> tuple[Array, Array, Array]:
        return (*softmax.diagonal_weights(i, chunk), softmax.probabilities(i, chunk))

    forms = [kernel.quadratic_forms(columns, chunk) for chunk in softmax.later_chunks(n_classes)]
    same, squares, pure = (xp.concat(kind, axis=-1) for kind in zip(*forms, strict=True))
    less, std_error_less = _mean(pure - same, C, xp)
    square, std_error_square = _mean(squares, C, xp)
    third, fourth = (xp.sum(kernel.diagonal() * power, axis=(-2, -1)) for power in powers.normalised(softmax.total))
    diag = (all_pairs[1] - 2 * third + fourth) / C - less
    off = (all_pairs[0] - fourth) / C - square
    return SampledNorms(diag * scale, off * scale / (C - 1), std_error_less * scale, std_error_square * scale / (C - 1))


class RowPowers:
    """Σ_c E_nc³ and Σ_c E_nc⁴ of every sample for E = exp(logits − shift), added up in float64 as classes pass by."""

    def __init__(self, softmax: Softmax) -> None:
        self._soft = softmax
        self.reset()

    def reset(self) -> None:
        """Start again."""
        xp, shape = self._soft.xp, (*self._soft.U.shape[:-1], 2)
        self._sums = xp.zeros(shape, dtype=xp.float64)

    def add(self, i: int, chunk: Chunk, E: Array) -> None:
        """Add a tile's terms of a chunk."""
        rows, xp = self._soft.tiles[i], self._soft.xp
        if on_device := backend_of(xp).chunk_sums():
            on_device.add_row_powers(self._sums, E, rows.start)
            return
        squares = E * E
        for power, other in enumerate((E, squares)):
            self._sums[..., rows, power] += xp.astype(row_dots(squares, other, xp), xp.float64)

    def normalised(self, total: Array) -> tuple[Array, Array]:
        """Σ_c p_nc³ and Σ_c p_nc⁴, (…, N, 1)."""
        cubes, fourths = self._sums[..., :1], self._sums[..., 1:]
        return cubes / total**3, fourths / total**4


def _mean(values: Array, n_classes: int, xp: Module) -> tuple[Array, Array]:
    """Mean over the last axis, a sample without repetition from ``n_classes``, and its standard error."""
    count, mean = values.shape[-1], xp.mean(values, axis=-1, keepdims=True)
    spread = xp.sum((values - mean) ** 2, axis=-1) / (count - 1)
    return mean[..., 0], (spread * (1 / count - 1 / n_classes)) ** 0.5
