"""The oracle: losses as the paper states them, differentiated twice by JAX in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tests.cases import Problem

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)  # each is run once or twice: to compile it is what takes time


#: The activations.
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "identity": lambda x: x,
}


def mean_loss(logits: jax.Array, y: jax.Array, loss: str) -> jax.Array:
    """CE, or MSE."""
    if loss == "ce":
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])
    return jnp.mean(jnp.sum((logits - jax.nn.one_hot(y, logits.shape[1])) ** 2, axis=1))


def deep_hessian(
    X: np.ndarray, weights: Sequence[np.ndarray], y: np.ndarray, loss: str, activation: str = "relu"
) -> np.ndarray:
    """Full Hessian by forward over reverse differentiation: of all weights, layer after layer, row by row."""
    parameters = np.concatenate([np.ravel(W) for W in weights])
    return np.asarray(_deep_hessian(parameters, X, y, tuple(W.shape for W in weights), loss, activation))


@partial(jax.jit, static_argnums=(3, 4, 5))  # compiled as one, it takes a fifth
def _deep_hessian(
    parameters: jax.Array, X: jax.Array, y: jax.Array, shapes: tuple[tuple[int, int], ...], loss: str, activation: str
) -> jax.Array:
    def loss_of(parameters: jax.Array) -> jax.Array:
        h, start = X, 0
        for k, (rows, columns) in enumerate(shapes):
            pre = h @ parameters[start : start + rows * columns].reshape(rows, columns).T
            h, start = pre if k == len(shapes) - 1 else ACTIVATIONS[activation](pre), start + rows * columns
        return mean_loss(h, y, loss)

    hessian_of: Callable[[jax.Array], jax.Array] = jax.hessian(loss_of)
    return hessian_of(parameters)


def hessian(problem: Problem, activation: str = "relu") -> np.ndarray:
    """Full Hessian of the linear model, or of one hidden layer."""
    X, V, W, y, loss = problem
    return deep_hessian(X, [V] if W is None else [W, V], y, loss, activation)
