"""The forward pass: what blocks and block norms both start from."""

from __future__ import annotations

from typing import NamedTuple

from rmtsim.backend import Array, Module


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


#: A probability above this has lost two digits of its complement.
SATURATED = 0.99


def is_saturated(P: Array, xp: Module) -> bool:
    """Whether some sample has nearly all its probability in one class."""
    return bool(xp.any(P > SATURATED))


def split(P: Array, xp: Module) -> tuple[Array, Array]:
    """Return the leading class of every sample, (…, N), and P with that class set to zero."""
    top = xp.argmax(P, axis=-1)
    return top, xp.where(top[..., None] == xp.arange(P.shape[-1]), xp.zeros_like(P), P)


def complement(P: Array, xp: Module) -> Array:
    """Return 1 − P; where p is nearly 1, as the sum of the other classes, which keeps its digits."""
    if not is_saturated(P, xp):
        return 1 - P
    _, rest = split(P, xp)
    return xp.where(P > SATURATED, xp.sum(rest, axis=-1, keepdims=True), 1 - P)


def one_hot(y: Array, n_classes: int, like: Array, xp: Module) -> Array:
    """Return labels y (…, N) as rows of zeros with a one, (…, N, C), in the dtype of ``like``."""
    return xp.astype(y[..., None] == xp.arange(n_classes), like.dtype)


def residual(logits: Array, y: Array, loss: str, xp: Module) -> Array:
    """Return N ∂loss/∂logits, (…, N, C): p − y for CE, 2(f − y) for MSE."""
    Y = one_hot(y, logits.shape[-1], logits, xp)
    if loss == "mse":
        return 2 * (logits - Y)
    P = softmax(logits, xp)
    return P * (1 - Y) - complement(P, xp) * Y
