"""What a draw costs: floating-point operations, memory, and the batch that keeps both in hand."""

from __future__ import annotations

from rmtsim.point import Point

#: Working set of a batch: about the size of a core's share of cache, so that passes over a batch stay there.
_BATCH_BYTES = 2**20
_MAX_BATCH = 64


def flops(point: Point, layers: tuple[str, ...]) -> float:
    """Leading floating-point operations of one draw: matrix products only, symmetric ones at half price."""
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width or 0
    ce = point.loss == "ce"
    total = 2.0 * N * C * (m or d) * (ce or "cross" in layers) + 2.0 * N * m * d
    for layer in layers:
        if layer in ("linear", "output"):
            inputs = d if layer == "linear" else m
            if ce:
                features = inputs * (inputs + 1) / 2
                per_sum = N * min(N, 2 * features) * C
                total += N**2 * inputs + N**2 * C + 2 * per_sum
            else:
                total += N * inputs * min(N, inputs)
        elif layer == "hidden":
            pairs = m * (m + 1) / 2
            per_sum = N * min(N, d * (d + 1.0)) * pairs
            total += N**2 * d * (d * (d + 1) >= N) + per_sum + 2 * N * C * (pairs + m) * ce
        else:
            total += m * (N / 2) ** 2 * (2 * C + d)
    return total


def memory(point: Point, layers: tuple[str, ...], dtype: str, batch: int = 1) -> int:
    """Bytes that a batch of draws holds at its peak, from the arrays' shapes: an upper estimate."""
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width or 0
    item = 4 if dtype == "float32" else 8
    inputs = m or d
    per_draw = N * d + C * inputs + m * d  # X, V, W
    per_draw += 4 * N * C  # logits, P, and two products of P
    per_draw += 3 * N**2  # K and two Gram matrices
    if m:
        per_draw += 2 * (C + N) * m * (m + 1) // 2
    if inputs * (inputs + 1) < N:
        per_draw += N * inputs * (inputs + 1)
    if "cross" in layers:
        per_draw += 3 * N * C
    scratch = 8 * max(N * d, C * inputs)  # normals are made in float64, one array at a time
    return batch * per_draw * item + scratch


def batch_size(point: Point, layers: tuple[str, ...], dtype: str) -> int:
    """Draws to compute at once on a CPU: many small ones, one large one."""
    return max(1, min(_MAX_BATCH, _BATCH_BYTES // memory(point, layers, dtype)))
