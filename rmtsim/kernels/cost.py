"""What a draw costs: floating-point operations and normal numbers."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from rmtsim.kernels.grams import few_features, kept_grams
from rmtsim.kernels.tiling import TILE, Tiling, pieces, tiling
from rmtsim.model.activation import get_activation
from rmtsim.model.layers import CROSS, HIDDEN, LAST
from rmtsim.model.loss import get_loss
from rmtsim.model.point import Point

#: Ways to take the terms of single classes: from all of them, or from some where that is more precise for its time.
DiagonalName: TypeAlias = Literal["exact", "auto"]
DIAGONALS: tuple[DiagonalName, ...] = get_args(DiagonalName)

#: A normal number, and an entry of what is made entry by entry, cost about as much as this many flops of a product.
_FLOPS_PER_NORMAL, _FLOPS_PER_ENTRY = 300.0, 100.0

#: Numbers that some V side by side hold, at most, and the weights of a bundle.
_GROUP_NUMBERS, _BUNDLE_NUMBERS = 2**20, 2**22

#: To pick an entry of K out, and to call what multiplies, in flops; and the share of K's entries that a neuron lets
#: through, of its lower triangle and what its tiles have above.
_PICK_FLOPS, _CALL_FLOPS, _PASSING = 40, 5e5, 0.4

#: The passes over an entry of the Gram matrices of one V, in flops; products hide them where classes are many.
FLOPS_PER_GRAM_ENTRY = 150.0

#: Most classes whose pairs have weight vectors.
_FEW_CLASSES = 64

#: Multiplications of a Gram matrix that take a GPU less time than the launches of a contraction through few features.
_FEW_PRODUCTS = 2**27

#: Number of sampled classes; classes are sampled where there are at least eight times as many.
_SAMPLED_CLASSES = 512


def point_tiling(point: Point, *, gpu: bool = False) -> Tiling:
    """Return the tiling of the point's draws if memory is unlimited."""
    return tiling(point.n_classes, point.width or point.dim, point.n_samples, gpu=gpu)


def diagonal_classes(point: Point, diagonal: str) -> int:
    """Return the number of classes whose single terms are summed, for ``diagonal`` of `DIAGONALS`.

    Taking all costs up to two thirds of a draw's products where K is contracted directly. Their part in the sums falls
    as 1/C, so with many classes a few hundred of them leave an error far below the spread from draw to draw (see
    ``benchmarks/variance.py``). Where features are few, as with a hidden layer, all classes cost little.
    """
    few = few_features(point.width or point.dim, point.n_samples)
    if diagonal == "exact" or few or not get_loss(point.loss).softmax or point.n_classes < 8 * _SAMPLED_CLASSES:
        return point.n_classes
    return _SAMPLED_CLASSES


def ways(point: Point, diagonal: str, weights: int = 1) -> tuple[object, ...]:
    """Return what decides by which steps a GPU makes a draw of the point: equal ones take the same kernels."""
    C, d, N, m, cut = point.n_classes, point.dim, point.n_samples, point.width, point_tiling(point, gpu=True)
    sizes = C > 1, N > 1, m == 1, cut.one_chunk(C), cut.hold, cut.n_tiles(N) > 1
    few = few_features(d, N), few_features(m or d, N), diagonal_classes(point, diagonal) < C
    in_registers = pays_in_registers(few[1], N, C)
    several = weights > 1, pairs_of_classes(C, m or d, N, cut, weights), restricts_pairs(d, N, m or 1, weights)
    return point.model, point.loss, point.ensemble, sizes, few, in_registers, several


def pays_in_registers(few: bool, n_samples: int, n_classes: int) -> bool:
    """Whether a GPU is to add up all pairs of samples in registers, and not through the features where they are few."""
    return not few or n_samples**2 * n_classes <= _FEW_PRODUCTS


def masks_samples(point: Point) -> bool:
    """Whether a neuron leaves samples out of its sums, as ReLU does."""
    return get_activation(point.ensemble.activation).rectifies


def bends(point: Point) -> bool:
    """Whether there is a term with σ″: every sample then has weights of its own for each V, whatever the loss."""
    return point.width is not None and not get_activation(point.ensemble.activation).piecewise_linear


def restricts_pairs(dim: int, n_samples: int, width: int, weights: int) -> bool:
    """Whether a hidden layer's K is restricted to the samples that each neuron lets through.

    Half of the samples pass, so of N² products for every pair of neurons and V less than half are left. But for every
    neuron a part of K has to be picked out, which several V must share to make it worth while.
    """
    if weights == 1 or few_features(dim, n_samples):
        return False
    pairs = width * (width + 1) / 2
    products = weights * pairs * (1 - _PASSING)
    return (_PICK_FLOPS * _PASSING * width - products) * n_samples**2 + _CALL_FLOPS * width < 0


def pairs_of_classes(n_classes: int, inputs: int, n_samples: int, tiling: Tiling, weights: int) -> bool:
    """Whether the last layer has a weight vector for each pair of classes, rather than Gram matrices for each V.

    Weight vectors of all V lie side by side: with few classes, several V then share the passes over N² entries.
    """
    if weights == 1 or not 1 < n_classes <= min(_FEW_CLASSES, tiling.chunk):
        return False
    of_column, grams = _quadratic_sum(n_samples, inputs), float(n_samples) ** 2 * (n_classes + FLOPS_PER_GRAM_ENTRY)
    pairs = (of_column + _FLOPS_PER_ENTRY * n_samples) * n_classes * (n_classes + 1) / 2
    return pairs < grams + 2 * of_column * n_classes


def weights_at_once(
    n_classes: int, dim: int, n_samples: int, width: int | None, layers: tuple[str, ...], tiling: Tiling, weights: int
) -> list[list[range]]:
    """Return which V go through all steps side by side, in bundles whose hidden layers are summed together.

    A function of the sizes alone, since sums are made bundle by bundle: values do not depend on memory.
    """
    factor = tiling.largest / TILE  # above 1 on a GPU, which takes more to be kept busy
    pairs = width * (width + 1) // 2 if width and HIDDEN.name in layers else 0
    bundle = max(1, int(_BUNDLE_NUMBERS * factor) // (n_samples * pairs)) if pairs else weights
    numbers = 3 * n_samples * (min(n_classes, tiling.chunk) + pairs)
    if set(layers) == {HIDDEN.name}:  # each step is short
        numbers = n_samples * (min(n_classes, tiling.chunk) + 3 * pairs)
    if not set(LAST).isdisjoint(layers):
        by_pairs = pairs_of_classes(n_classes, width or dim, n_samples, tiling, weights)
        numbers += n_samples * n_classes * (n_classes + 1) if by_pairs else 2 * n_samples**2
    group = max(1, int(_GROUP_NUMBERS * factor**2) // numbers)
    return [
        [range(of.start + some.start, of.start + some.stop) for some in pieces(len(of), group)]
        for of in pieces(weights, bundle)
    ]


def cost(point: Point, layers: tuple[str, ...], diagonal: str = "exact", weights: int = 1) -> float:
    """Work of one draw with ``weights`` last layers, in flops, all but matrix products turned into such."""
    others = _FLOPS_PER_NORMAL * normals(point, layers, diagonal, weights)
    others += _FLOPS_PER_ENTRY * _entries(point, layers, diagonal, weights)
    return flops(point, layers, diagonal, weights) + others


def flops(
    point: Point, layers: tuple[str, ...], diagonal: str = "exact", weights: int = 1, *, gpu: bool = False
) -> float:
    """Leading floating-point operations of one draw: matrix products only, symmetric ones at half price."""
    shared, of_one = _flops(point, layers, diagonal, weights, gpu)
    return shared + weights * of_one


def _flops(point: Point, layers: tuple[str, ...], diagonal: str, weights: int, gpu: bool) -> tuple[float, float]:
    """Operations that several V share, and those for each of them."""
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width or 0
    inputs, again = m or d, _classes_again(point, layers, diagonal, gpu)
    shared, of_one = 2.0 * N * m * d, 0.0  # pre-activations
    softmax, masked = get_loss(point.loss).softmax, masks_samples(point)
    if softmax:
        of_one += 2.0 * N * inputs * (C + again)  # logits
        if not set(LAST).issuperset(layers):
            of_one += 2.0 * N * C * (m + m * (m + 1) / 2)  # moments of V
    for layer in layers:
        if layer == HIDDEN.name:
            shared += N**2 * d * (not few_features(d, N))
            if not softmax and not bends(point):  # the weights of all V are multiples of the same
                shared += _quadratic_sum(N, d) * m * (m + 1) / 2
            elif softmax and masked and restricts_pairs(d, N, m, weights):
                part = N**2 * _PASSING * m
                shared, of_one = shared + _PICK_FLOPS * part, of_one + part * (m + 1) / 2
            else:
                of_one += _quadratic_sum(N, d) * m * (m + 1) / 2
        elif layer == CROSS.name:
            grams, seen = 2 if softmax else 1, N / 2 if masked else N
            gram = (m if masked else 1) * seen**2 * d
            shared, of_one = (shared + gram, of_one) if kept_grams(N, m, masked) else (shared, of_one + gram)
            of_one += m * (seen**2 * grams * C + 2 * seen * C * m)
        elif softmax and pairs_of_classes(C, inputs, N, point_tiling(point, gpu=gpu), weights):
            shared += N**2 * inputs * (not few_features(inputs, N))
            of_one += _quadratic_sum(N, inputs) * C * (C + 1) / 2
        elif softmax:
            shared += N**2 * inputs
            of_one += N**2 * C + 2 * _quadratic_sum(N, inputs) * diagonal_classes(point, diagonal)
        else:
            shared += N * inputs * min(N, inputs)
    return shared, of_one


def _entries(point: Point, layers: tuple[str, ...], diagonal: str, weights: int) -> float:
    """Return the number of entries of exponentials, of covariances and of K, which is made from a Gram matrix."""
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width or 0
    with_K = (
        inputs for layer in layers for inputs in ([d] if layer == HIDDEN.name else [m or d] if layer in LAST else [])
    )
    shared = sum(float(N) ** 2 for inputs in with_K if not few_features(inputs, N))
    if not get_loss(point.loss).softmax:
        return shared
    of_one = float(N) * (C + _classes_again(point, layers, diagonal, gpu=False))
    if HIDDEN.name in layers:
        of_one += N * m * (m + 1) / 2
    if not set(LAST).isdisjoint(layers) and pairs_of_classes(C, m or d, N, point_tiling(point), weights):
        of_one += N * C * (C + 1) / 2
    return shared + weights * of_one


def normals(
    point: Point, layers: tuple[str, ...], diagonal: str = "exact", weights: int = 1, *, gpu: bool = False
) -> float:
    """Return the number of normals drawn for one draw; the rows of each V are drawn again for every pass."""
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width or 0
    return N * d + m * d + weights * (m or d) * (C + _classes_again(point, layers, diagonal, gpu))


def _classes_again(point: Point, layers: tuple[str, ...], diagonal: str, gpu: bool) -> int:
    """Return the number of classes that are streamed a second time, in chunks that are not held."""
    tiling = point_tiling(point, gpu=gpu)
    second = get_loss(point.loss).softmax and not set(LAST).isdisjoint(layers)
    return diagonal_classes(point, diagonal) if second and not tiling.hold else 0


def _quadratic_sum(n_samples: int, inputs: int) -> float:
    """Flops of Σ λᵀ K λ for each column λ: through φ, or by the column's part of a Gram matrix."""
    return n_samples * inputs * (inputs + 1.0) if few_features(inputs, n_samples) else float(n_samples) ** 2
