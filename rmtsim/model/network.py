"""The forward pass: what blocks and block norms both start from."""

from __future__ import annotations

from typing import Any, NamedTuple

from rmtsim.arrays.backend import Array, Module


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


def residual(logits: Array, y: Array, loss: str, xp: Module) -> Array:
    """Return N ∂loss/∂logits, (…, N, C): p − y for CE, 2(f − y) for MSE."""
    Y = one_hot(y, slice(0, logits.shape[-1]), logits.dtype, xp)
    return 2 * (logits - Y) if loss == "mse" else softmax(logits, xp) - Y
