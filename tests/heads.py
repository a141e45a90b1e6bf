"""A last layer and features for tests, and its blocks written out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
C, D, N, BATCHES = 50, 12, 40, 3


class Written(NamedTuple):
    """All blocks of a batch, (C, C, d, d), and its probabilities (N, C)."""

    blocks: Values
    p: Values


def written_out(X: Values, V: Values, bias: Values | None, bias_as: str, scale: float) -> Written:
    logits = scale * (X @ V.T + (0 if bias is None else bias))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    if bias is not None and bias_as == "column":
        X = np.column_stack([X, np.ones(len(X))])
    others = np.array([np.delete(p, c, axis=1).sum(axis=1) for c in range(len(V))]).T  # 1 − p to all digits
    weights = -p[:, :, None] * p[:, None, :]
    weights[:, range(len(V)), range(len(V))] = p * others
    outer = X[:, :, None] * X[:, None, :]
    return Written(scale**2 / len(X) * np.tensordot(weights, outer, axes=((0,), (0,))), p)


def squares(blocks: Values) -> Values:
    return np.sum(blocks**2, axis=(2, 3))


def means(written: list[Written]) -> tuple[float, float]:
    norms = np.mean([squares(of.blocks) for of in written], axis=0)
    n_classes = len(norms)
    return float(np.mean(np.diag(norms))), float((norms.sum() - np.trace(norms)) / (n_classes * (n_classes - 1)))


def clustered() -> dict[str, Any]:
    """A head and features with clusters, so that a sample's weights depend on its own vector."""
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(6, D)) * 1.5
    X = centres[rng.integers(6, size=N * BATCHES)] + 0.5 * rng.normal(size=(N * BATCHES, D))
    return {"V": 0.6 * rng.normal(size=(C, D)), "X": X, "bias": rng.normal(size=C)}


def batches(X: Values, seed: int = 0) -> list[Values]:
    order = np.random.default_rng(seed).permutation(len(X))
    return [X[order[k * N : (k + 1) * N]] for k in range(BATCHES)]


def batched(X: Values) -> Values:
    return X[np.random.default_rng(0).permutation(len(X))]
