"""The oracle: losses as the paper states them, differentiated twice by JAX in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tests.cases import Problem

jax.config.update("jax_enable_x64", True)


def loss_of(parameters: jax.Array, problem: Problem) -> jax.Array:
    """Loss as a function of all parameters in one vector: W row by row, then V row by row."""
    X, V, W, y, loss = problem
    if W is None:
        features, rest = X, parameters
    else:
        features = jax.nn.relu(X @ parameters[: W.size].reshape(W.shape).T)
        rest = parameters[W.size :]
    logits = features @ rest.reshape(V.shape).T
    if loss == "ce":
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])
    return jnp.mean(jnp.sum((logits - jax.nn.one_hot(y, len(V))) ** 2, axis=1))


def hessian(problem: Problem) -> np.ndarray:
    """Full Hessian by forward over reverse differentiation."""
    parts = [problem.V] if problem.W is None else [problem.W, problem.V]
    parameters = jnp.concatenate([jnp.ravel(part) for part in parts])
    differentiated = jax.jit(jax.hessian(lambda vector: loss_of(vector, problem)))  # compiled as one, it takes a fifth
    return np.asarray(differentiated(parameters))
