"""The forward pass: what blocks and block norms both start from."""

from __future__ import annotations

from typing import Any, NamedTuple

from rmtsim.arrays.backend import Array, Module, backend_of


class Forward(NamedTuple):
    """All samples as the last layer sees them; its logits are features Vᵀ, (…, N, C). Leading axes run over draws."""

    features: Array  #: what the last layer sees: X (…, N, d), or σ(XWᵀ) (…, N, m)
    active: Array  #: 1_{n,i} = [w_i·x_n > 0], (…, N, m) in the arrays' dtype; None for the linear model


def forward(X: Array, W: Array | None, xp: Module) -> Forward:
    """Run X (…, N, d) through ReLU(W (…, m, d)), or through nothing for the linear model."""
    if W is None:
        return Forward(X, None)
    pre = X @ W.mT
    active = xp.astype(pre > 0, X.dtype)
    return Forward(pre * active, active)


def softmax(logits: Array, xp: Module) -> Array:
    """Return the softmax over the last axis; the row maximum is taken out, so large logits are safe."""
    P = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    P /= xp.sum(P, axis=-1, keepdims=True)
    return P


def one_hot(y: Array, classes: slice, dtype: Any, xp: Module) -> Array:
    """Return labels y (…, N) as rows of zeros with a one, (…, N, classes)."""
    return xp.astype(y[..., None] == xp.arange(classes.start, classes.stop), dtype)


def minus_one_hot(A: Array, y: Array, xp: Module) -> Array:
    """Return A (N, C) less 1 at each label y (N,); may overwrite A."""
    if backend_of(xp).takes_index_arrays:
        A[xp.arange(A.shape[0]), y] -= 1
        return A
    return A - one_hot(y, slice(0, A.shape[-1]), A.dtype, xp)
