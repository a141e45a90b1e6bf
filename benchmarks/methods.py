"""The peers: other ways to the mean squared norms of all blocks of the linear CE Hessian.

Each takes the data X (N, d) and V (C, d), and makes the Hessian, whose order is C·d, in full. Labels do not enter it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from rmtsim.kernels.explicit_blocks import linear_blocks

HAS_TORCH = find_spec("torch") is not None


def jax_hessian(X: np.ndarray, V: np.ndarray) -> Callable[[], Any]:
    """Return a call that makes the full Hessian by a jitted ``jax.hessian``, in the arrays' dtype."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    y = np.zeros(len(X), dtype=int)

    def loss(parameters: jax.Array, X: jax.Array) -> jax.Array:
        logits = X @ parameters.reshape(V.shape).T
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])

    hessian = jax.jit(jax.hessian(loss))
    parameters, data = jnp.ravel(jnp.asarray(V)), jnp.asarray(X)
    return lambda: hessian(parameters, data).block_until_ready()


def torch_hessian(X: np.ndarray, V: np.ndarray) -> Callable[[Sequence[int]], np.ndarray]:
    """Return a call that makes rows of the Hessian by double backward, one backward pass each, as the paper does."""
    import torch

    torch.set_num_threads(1)
    parameters = torch.tensor(V.ravel(), requires_grad=True)
    logits = torch.from_numpy(X) @ parameters.view(V.shape).T
    loss = torch.nn.functional.cross_entropy(logits, torch.zeros(len(X), dtype=torch.long))
    (gradient,) = torch.autograd.grad(loss, parameters, create_graph=True)

    def rows(wanted: Sequence[int]) -> np.ndarray:
        made = torch.empty(len(wanted), parameters.numel(), dtype=parameters.dtype)
        for place, row in enumerate(wanted):
            (made[place],) = torch.autograd.grad(gradient[row], parameters, retain_graph=True)
        return made.numpy()

    return rows


def numpy_blocks(X: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Squared norms of all blocks (C, C), from blocks that are written out."""
    blocks = linear_blocks(X, V, "ce")
    return np.einsum("ijab,ijab->ij", blocks, blocks)


def norms_of_hessian(H: Any, V: np.ndarray) -> np.ndarray:
    """Squared norms of all blocks (C, C) of a full Hessian."""
    (C, d), H = V.shape, np.asarray(H)
    blocks = H.reshape(C, d, C, d)
    return np.einsum("iajb,iajb->ij", blocks, blocks)


def means(sqfro: np.ndarray) -> tuple[float, float]:
    """Mean over the diagonal and over the off-diagonal blocks."""
    C, diag = len(sqfro), float(np.trace(sqfro))
    return diag / C, (float(sqfro.sum()) - diag) / (C * (C - 1))


def norms_by(method: str, X: np.ndarray, V: np.ndarray) -> tuple[float, float]:
    """Return the two means by a method that is named."""
    if method == "jax":
        return means(norms_of_hessian(jax_hessian(X, V)(), V))
    if method == "torch":
        return means(norms_of_hessian(torch_hessian(X, V)(range(V.size)), V))
    return means(numpy_blocks(X, V))
