"""The oracle: losses as the paper states them, differentiated twice by JAX in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tests.cases import Problem

jax.config.update("jax_enable_x64", True)


#: The activations.
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "identity": lambda x: x,
}


def mean_loss(logits: jax.Array, y: np.ndarray, loss: str) -> jax.Array:
    """CE, or MSE."""
    if loss == "ce":
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])
    return jnp.mean(jnp.sum((logits - jax.nn.one_hot(y, logits.shape[1])) ** 2, axis=1))


def deep_hessian(
    X: np.ndarray, weights: Sequence[np.ndarray], y: np.ndarray, loss: str, activation: str = "relu"
) -> np.ndarray:
    """Full Hessian by forward over reverse differentiation: of all weights, layer after layer, row by row."""

    def loss_of(parameters: jax.Array) -> jax.Array:
        h, start = jnp.asarray(X), 0
        for k, W in enumerate(weights):
            pre = h @ parameters[start : start + W.size].reshape(W.shape).T
            h, start = pre if k == len(weights) - 1 else ACTIVATIONS[activation](pre), start + W.size
        return mean_loss(h, y, loss)

    parameters = jnp.concatenate([jnp.ravel(W) for W in weights])
    return np.asarray(jax.jit(jax.hessian(loss_of))(parameters))  # compiled as one, it takes a fifth


def hessian(problem: Problem, activation: str = "relu") -> np.ndarray:
    """Full Hessian of the linear model, or of one hidden layer."""
    X, V, W, y, loss = problem
    return deep_hessian(X, [V] if W is None else [W, V], y, loss, activation)
