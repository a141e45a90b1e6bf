"""ReLU networks of any depth without biases: forward pass, backward pass, gradient.

h_0 = x, h_k = σ(W_k h_{k−1}), logits W_L h_{L−1}. D_k is the 0/1 mask of layer k; B_k = W_L D_{L−1} W_{L−1} ⋯ D_k
takes a change of layer k's pre-activation to the logits, B_L = I.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rmtsim.arrays.backend import Array, Module, namespace
from rmtsim.model.losses import loss_and_residuals


class Activations(NamedTuple):
    """What a forward pass leaves behind, for all samples."""

    inputs: list[Array]  #: h_0 … h_{L−1}, what each layer sees, (N, d_k)
    masks: list[Array]  #: D_1 … D_{L−1}, 0 or 1, (N, n_k)
    logits: Array  #: (N, C)


def propagate(X: Array, weights: Sequence[Array], xp: Module) -> Activations:
    """Run the samples X (N, d) through layers W_1 … W_L, each (outputs, inputs)."""
    inputs, masks = [X], []
    for W in weights[:-1]:
        pre = inputs[-1] @ W.mT
        masks.append(xp.astype(pre > 0, X.dtype))
        inputs.append(pre * masks[-1])
    return Activations(inputs, masks, inputs[-1] @ weights[-1].mT)


def pull_back(cotangent: Array, weights: Sequence[Array], masks: Sequence[Array], to: int) -> list[Array]:
    """Return B_kᵀ c_n for k from ``to`` to L (layers count from 1), each (N, n_k), for a cotangent c (N, C)."""
    found = [cotangent]
    for k in range(len(weights) - 1, to - 1, -1):
        found.append(found[-1] @ weights[k] * masks[k - 1])
    return found[::-1]


def loss_and_gradient(X: Array, weights: Sequence[Array], y: Array, loss: str) -> tuple[float, list[Array]]:
    """Mean loss and its gradient by each layer's weights: (1/N) Σ_n (B_kᵀ r_n) h_{k−1}ᵀ, of the weights' shapes."""
    xp = namespace(X)
    seen = propagate(X, weights, xp)
    value, r = loss_and_residuals(seen.logits, y, loss, xp)
    deltas = pull_back(r, weights, seen.masks, 1)
    return value, [delta.mT @ h / X.shape[0] for delta, h in zip(deltas, seen.inputs, strict=True)]
