"""Between how many classes a softmax wavers, as far as the Hessian of its last layer is concerned."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def pairs_seen(V: Array, X: Array, bias: Array | None = None, scale: float = 1.0) -> float:
    """Return k: how many times the squared norms of the diagonal blocks hold those of the others, sample by sample.

    Of one sample they are |x|⁴ Σ_i p_i²(1 − p_i)² and |x|⁴ Σ_{i≠j} p_i² p_j². A sample that is sure of its class has
    neither, and one that wavers between m classes has the first m − 1 times. k is the mean of the first over that of
    the second; the effective number of classes counts sure samples, too. A bias is the weight of an input of 1.
    """
    diag = offdiag = 0.0
    for start in range(0, len(X), 256):
        x = X[start : start + 256]
        logits = scale * (x @ V.T + (0 if bias is None else bias)).astype(float)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        length = np.sum(np.square(x, dtype=float), axis=1) + (bias is not None)
        square = p * p
        rest = p.sum(axis=1, keepdims=True) - p
        diag += float(length**2 @ np.sum(square * rest**2, axis=1))
        offdiag += float(length**2 @ np.sum(square * (square.sum(axis=1, keepdims=True) - square), axis=1))
    return diag / offdiag
