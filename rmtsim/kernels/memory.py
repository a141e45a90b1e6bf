"""What a draw holds in memory, and the tiling that keeps within a budget."""

from __future__ import annotations

from rmtsim.arrays import tensor_cores
from rmtsim.arrays.gpu_chunks import slices
from rmtsim.errors import InputError
from rmtsim.kernels.cost import (
    bends,
    diagonal_classes,
    masks_samples,
    pairs_of_classes,
    point_tiling,
    restricts_pairs,
    weights_at_once,
)
from rmtsim.kernels.grams import few_features, kept_features, kept_grams
from rmtsim.kernels.tiling import TILE, Tiling, with_span
from rmtsim.model.layers import CROSS, HIDDEN, LAST
from rmtsim.model.loss import get_loss
from rmtsim.model.point import Point
from rmtsim.text.sizes import format_bytes, format_count

#: Python with NumPy, SciPy and pandas (measured: 190 MiB), and what BLAS and the C library keep (20).
BASE = 220 * 2**20

#: Numbers of a block of normals, made in float64 before they are rounded; one for each thread.
_FILL = 2**16

#: Numbers of X that are in float64 while float32's masks are made.
_DOUBLE_NUMBERS = 2**20

#: Matrices held while one of orthogonal rows is made, itself included.
_ORTHOGONAL = 4

#: Working set of a batch: within a core's share of the last cache, and large enough that Python's part is small.
_BATCH_BYTES = 2**23
#: The same on a GPU: large enough to fill it, and small beside its memory.
_GPU_BATCH_BYTES = 2**29
_MAX_BATCH = 64


def memory(
    point: Point,
    layers: tuple[str, ...],
    dtype: str,
    tiling: Tiling,
    *,
    batch: int = 1,
    threads: int = 1,
    weights: int = 1,
) -> int:
    """Bytes that a batch of draws holds at its peak, counted from the arrays' shapes; `BASE` comes on top.

    Each draw has ``weights`` last layers.
    """
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width or 0
    inputs, chunk = m or d, min(tiling.chunk, C)
    n_tiles = tiling.n_tiles(N)
    whole = tiling.span >= n_tiles
    rows = min(N, tiling.tile * (tiling.span if whole else 2 * tiling.span))  # of the tiles held at once
    pairs = n_tiles * (n_tiles + 1) // 2 if whole else tiling.span**2
    area, on_gpu = tiling.tile**2, tiling.largest > TILE
    item = 4 if dtype == "float32" else 8
    bundles = weights_at_once(C, d, N, point.width, layers, tiling, weights)
    together = max(len(some) for bundle in bundles for some in bundle)
    bundle = max(some[-1].stop - some[0].start for some in bundles)
    numbers = N * d + m * d + 3 * N * m  # X, W, pre-activations, mask, features
    softmax, masked = get_loss(point.loss).softmax, masks_samples(point)
    if bends(point):
        numbers += N * m
    if softmax or CROSS.name in layers:
        numbers += together * (2 * chunk * inputs + N * C * tiling.hold)
    passes = [0]
    for layer in layers:
        if layer == HIDDEN.name:
            triangle = m * (m + 1) // 2
            if softmax:  # logits and exponentials of tiles and a chunk, and what is added up of them
                # Products of the entries of a chunk's rows: of each thread two arrays, in float64 where that is needed.
                of_chunk = (1 if on_gpu else 2 * min(threads, n_tiles)) * 8 // item * chunk * triangle
                passes.append((2 * threads * tiling.tile * chunk + rows * triangle + of_chunk) * together)
            else:  # products of the entries of a chunk's rows, and the same in float64
                passes.append((1 + 8 // item) * chunk * triangle * together)
            if softmax and masked and restricts_pairs(d, N, m, weights):
                # Weights in both orders, and what a pair lets through.
                passes.append(2 * N * triangle * bundle + threads * (4 * area + 2 * tiling.tile * bundle))
            else:
                columns = triangle * (bundle if softmax or bends(point) else 1)
                passes.append(2 * rows * columns + _contraction(d, N, tiling, columns, pairs))
            if weights > 1 and (softmax or bends(point)):
                numbers += 2 * N * triangle * bundle  # covariances in float64
        elif layer == CROSS.name:
            if on_gpu:  # all V side by side, and no Gram matrix
                passes.append(4 * rows * chunk * together)
                continue
            passes.append(4 * rows * chunk + 2 * pairs * area)
            if not masked:  # XXᵀ of all samples, that times slopes, and a copy of what is kept of the softmax
                numbers += N**2 + 2 * area + N * C * tiling.hold
            elif weights > together and kept_grams(N, m, masked):
                numbers += m * (N * d // 2 + N**2 // 4)
        elif softmax and pairs_of_classes(C, inputs, N, tiling, weights):
            columns = together * C * (C + 1) // 2
            passes.append(
                3 * rows * columns
                + _contraction(inputs, N, tiling, columns, 2 * pairs * _slices(tiling, tiling.tile, columns))
            )
        elif softmax:
            both = _contraction(inputs, N, tiling, 2 * chunk * together, 2 * pairs * together)
            passes.append(4 * rows * chunk * together + both)
            if diagonal_classes(point, "auto") < C:
                passes.append(4 * N * chunk * together)  # of the sampled classes, for all samples
            kinds = _kinds_of_grams(C, N, dtype, tiling)
            sums = kinds * pairs * area * _slices(tiling, tiling.tile, chunk)
            passes.append(((1 + kinds) * rows * chunk + sums) * together)
        else:
            numbers += min(N, inputs) ** 2
    numbers += max(passes)
    if not on_gpu or set(layers) != {CROSS.name}:  # tiles of K, and those that are made
        numbers += (pairs * area if whole else 0) + 3 * threads * area
    fills = threads * max(_FILL, inputs, d)
    moments = m + m * (m + 1) // 2
    copies = 3 + _slices(tiling, moments, chunk)
    doubles = together * N * copies * moments if not set(LAST).issuperset(layers) else 0
    if point.width is not None and dtype == "float32":
        doubles += min(N * d, max(d, _DOUBLE_NUMBERS)) if masked else 0 if bends(point) else N * d
    if point.ensemble.weights == "orthogonal":
        # Of each V what makes its rows is kept; while it is made, there are normals, a factor and a product besides.
        doubles += (weights + _ORTHOGONAL - 1) * _orthogonal(C, inputs) + (_ORTHOGONAL * _orthogonal(m, d) if m else 0)
    return batch * (numbers * item + 8 * doubles) + 8 * fills


def _slices(tiling: Tiling, rows: int, columns: int) -> int:
    """Matrices held for a product (tile, columns) by (columns, rows): on a GPU one a slice of columns, and the sum."""
    count = slices(tiling.tile, rows, columns) if tiling.largest > TILE else 1
    return count + (count > 1)


def _kinds_of_grams(n_classes: int, n_samples: int, dtype: str, tiling: Tiling) -> int:
    """Kinds of Gram matrices of the last layer that are held at once: PPᵀ alone, or QQᵀ and SSᵀ on tensor cores."""
    return 1 + (tiling.largest > TILE and tensor_cores.used(dtype, n_samples, n_samples, n_classes))


def _orthogonal(rows: int, columns: int) -> int:
    """Numbers of a whole matrix, or of the factor that makes the rows of a tall one (`rmtsim.sampling.weight_rows`)."""
    return min(rows, 2 * columns + 16) * columns


def _contraction(inputs: int, n_samples: int, tiling: Tiling, columns: int, pairs: int) -> int:
    """Numbers held for Σ λᵀ K λ: features and their products, or Gram matrices."""
    if not few_features(inputs, n_samples):
        return pairs * tiling.tile**2
    features = inputs * (inputs + 1) // 2
    kept = n_samples if kept_features(inputs, n_samples) else 0
    return features * (kept + 3 * tiling.tile + 3 * columns)


def fitting_tiling(
    point: Point,
    layers: tuple[str, ...],
    dtype: str,
    budget: float,
    *,
    threads: int = 1,
    batch: int = 1,
    weights: int = 1,
    gpu: bool = False,
) -> Tiling:
    """Return the tiling that holds as much at once as ``budget`` bytes allow.

    Raises
    ------
    InputError
        If not even a single tile at a time fits.
    """
    tiling = point_tiling(point, gpu=gpu)
    least = with_span(tiling, 1)
    while True:
        need = BASE + memory(point, layers, dtype, tiling, batch=batch, threads=threads, weights=weights)
        if need <= budget:
            return tiling
        if tiling == least:
            break
        tiling = with_span(tiling, max(1, tiling.span // 2))
    what = "a draw" if batch == 1 else f"a batch of {format_count(batch)} draws"
    raise InputError(
        f"memory: {what} at {point.sizes} needs {format_bytes(need)}, Python included, and there are "
        f"{format_bytes(budget)}; "
        "give smaller sizes, or more memory"
    )


def least_memory(point: Point, layers: tuple[str, ...], dtype: str, threads: int, weights: int = 1) -> int:
    """Bytes that a draw holds at its peak when a single tile at a time is held; `BASE` comes on top."""
    return memory(point, layers, dtype, with_span(point_tiling(point), 1), threads=threads, weights=weights)


def batch_size(
    point: Point, layers: tuple[str, ...], dtype: str, budget: float, weights: int = 1, *, gpu: bool = False
) -> int:
    """Draws to compute at once: on a CPU, as many small ones as fit in the cache with what is made of them.

    On a GPU as many as fill it: a launch of a kernel takes longer than its work on a small draw.
    """
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width or 0
    whole = point_tiling(point, gpu=gpu)
    if not whole.one_chunk(C):
        return 1
    together = len(weights_at_once(C, d, N, point.width, layers, whole, weights)[0][0])
    numbers = N * d + C * (m or d) + m * d + (3 * N * C + 2 * N**2) * together
    size = max(
        1, min(_MAX_BATCH, (_GPU_BATCH_BYTES if gpu else _BATCH_BYTES) // (numbers * (4 if dtype == "float32" else 8)))
    )
    while size > 1 and BASE + memory(point, layers, dtype, whole, batch=size, weights=weights) > budget:
        size //= 2
    return size
