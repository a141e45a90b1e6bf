"""The forward pass: what blocks and block norms both start from."""

from __future__ import annotations

from typing import Any, NamedTuple

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.arrays.dot_products import row_dots
from rmtsim.model.activation import get_activation

#: Float32 rounds by at most this share; the lengths that it enters a bound with are rounded, too, hence a little more.
_ROUNDING = 1.01 * 2.0**-24


class Forward(NamedTuple):
    """All samples as the last layer sees them; its logits are features Vᵀ, (…, N, C). Leading axes run over draws."""

    features: Array  #: what the last layer sees: X (…, N, d), or σ(XWᵀ) (…, N, m)
    slopes: Array  #: σ′ (…, N, m): ReLU's are the masks 1_{n,i} = [w_i·x_n > 0]; None for the linear model
    bends: Array | None = None  #: σ″ (…, N, m); None for the linear model, and where it is 0 everywhere


def forward(X: Array, W: Array | None, xp: Module, activation: str = "relu", active: Array | None = None) -> Forward:
    """Run X (…, N, d) through σ(W (…, m, d)), or through nothing for the linear model.

    A neuron that float32 switches on or off by mistake moves a block norm by far more than float32's own error. So the
    masks of ReLU are as float64 finds them for these X and W, or they are given, as ``active``, by who knows them to
    more digits; and other activations with kinks are taken of products in float64.
    """
    if W is None:
        return Forward(X, None)
    sigma, products = get_activation(activation), backend_of(xp).products
    if sigma.rectifies:
        pre = products(X, W)
        if active is None:
            active = xp.astype(pre > 0 if X.dtype == xp.float64 else _positive(pre, X, W, xp), X.dtype)
        return Forward(pre * active, active)
    if not sigma.piecewise_linear:
        pre = products(X, W)
        return Forward(*sigma.value_and_slope(pre, xp), sigma.bend(pre, xp))
    double = [A if A.dtype == xp.float64 else xp.astype(A, xp.float64) for A in (X, W)]
    pre = products(*double)
    return Forward(*(xp.astype(found, X.dtype) for found in sigma.value_and_slope(pre, xp)))


def _positive(pre: Array, X: Array, W: Array, xp: Module) -> Array:
    """Return whether XWᵀ > 0, where ``pre`` is XWᵀ in float32: again in float64 where that may have the wrong sign."""
    d = X.shape[-1]
    lengths = [xp.sqrt(row_dots(A, A, xp)) for A in (X, W)]
    bound = d * _ROUNDING * lengths[0][..., :, None] * lengths[1][..., None, :]  # of the products and of their sum
    positive = pre > 0
    doubtful = xp.abs(pre) <= bound
    *draws, samples, neurons = xp.nonzero(doubtful)
    if samples.shape[0]:
        draw = 0
        for index, size in zip(draws, X.shape[:-2], strict=True):
            draw = draw * size + index
        x, w = (
            xp.astype(xp.take(xp.reshape(A, (-1, d)), draw * A.shape[-2] + index, axis=0), xp.float64)
            for A, index in ((X, samples), (W, neurons))
        )
        positive[doubtful] = row_dots(x, w, xp) > 0
    return positive


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
