"""What a draw costs: floating-point operations and normal numbers."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from rmtsim.kernels.grams import few_features
from rmtsim.kernels.tiling import Tiling, tiling
from rmtsim.model.layers import CROSS, HIDDEN, LAST
from rmtsim.model.loss import get_loss
from rmtsim.model.point import Point

#: Ways to take the terms of single classes: from all of them, or from some where that is more precise for its time.
DiagonalName: TypeAlias = Literal["exact", "auto"]
DIAGONALS: tuple[DiagonalName, ...] = get_args(DiagonalName)

#: A normal number costs about as much as this many flops of a matrix product.
_FLOPS_PER_NORMAL = 300.0

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


def cost(point: Point, layers: tuple[str, ...], diagonal: str = "exact", weights: int = 1) -> float:
    """Work of one draw with ``weights`` last layers, in flops, the making of its normals included."""
    numbers = normals(point, layers, diagonal, weights)
    return flops(point, layers, diagonal, weights) + _FLOPS_PER_NORMAL * numbers


def flops(
    point: Point, layers: tuple[str, ...], diagonal: str = "exact", weights: int = 1, *, gpu: bool = False
) -> float:
    """Leading floating-point operations of one draw: matrix products only, symmetric ones at half price."""
    return weights * _flops(point, layers, diagonal, gpu)


def _flops(point: Point, layers: tuple[str, ...], diagonal: str, gpu: bool) -> float:
    """Operations for one last layer."""
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width or 0
    inputs, again = m or d, _classes_again(point, layers, diagonal, gpu)
    total = 2.0 * N * m * d  # pre-activations
    softmax = get_loss(point.loss).softmax
    if softmax:
        total += 2.0 * N * inputs * (C + again)  # logits
        if not set(LAST).issuperset(layers):
            total += 2.0 * N * C * (m + m * (m + 1) / 2)  # moments of V
    for layer in layers:
        if layer == HIDDEN.name:
            total += N**2 * d * (not few_features(d, N)) + _quadratic_sum(N, d) * m * (m + 1) / 2
        elif layer == CROSS.name:
            grams = 2 if softmax else 1
            total += m * ((N / 2) ** 2 * (grams * C + d) + N * C * m)
        elif softmax:
            total += N**2 * (inputs + C) + 2 * _quadratic_sum(N, inputs) * diagonal_classes(point, diagonal)
        else:
            total += N * inputs * min(N, inputs)
    return total


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
