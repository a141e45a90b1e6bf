"""Networks of any depth without biases: forward pass, backward pass, gradient.

h_0 = x, pre_k = W_k h_{k−1}, h_k = σ(pre_k), logits W_L h_{L−1}. D_k is the diagonal matrix of the slopes σ′(pre_k);
B_k = W_L D_{L−1} W_{L−1} ⋯ D_k takes a change of layer k's pre-activation to the logits, B_L = I. With the residuals
r, δ_k = B_kᵀ r is the derivative of a sample's loss by the pre-activations of layer k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rmtsim.arrays.backend import Array, Module, namespace
from rmtsim.model.activation import get_activation
from rmtsim.model.loss import get_loss


class ForwardPass(NamedTuple):
    """What a forward pass leaves behind, for all samples."""

    inputs: list[Array]  #: h_0 … h_{L−1}, what each layer sees, (N, d_k)
    slopes: list[Array]  #: σ′ of the pre-activations of layers 1 … L−1, (N, n_k); the 0/1 masks of ReLU
    bends: list[Array] | None  #: σ″ of the same; None where σ is piecewise linear
    logits: Array  #: (N, C)


def propagate(X: Array, weights: Sequence[Array], xp: Module, activation: str = "relu") -> ForwardPass:
    """Run the samples X (N, d) through layers W_1 … W_L, each (outputs, inputs)."""
    sigma = get_activation(activation)
    inputs, slopes, bends = [X], [], []
    for W in weights[:-1]:
        pre = inputs[-1] @ W.mT
        value, slope = sigma.value_and_slope(pre, xp)
        inputs.append(value)
        slopes.append(slope)
        if not sigma.piecewise_linear:
            bends.append(sigma.bend(pre, xp))
    return ForwardPass(inputs, slopes, None if sigma.piecewise_linear else bends, inputs[-1] @ weights[-1].mT)


def pull_back(
    cotangent: Array,
    weights: Sequence[Array],
    slopes: Sequence[Array],
    to: int,
    added: Mapping[int, Array] | None = None,
) -> list[Array]:
    """Return B_kᵀ c_n for k from ``to`` to L (layers count from 1), each (N, n_k), for a cotangent c (N, C).

    ``added`` are cotangents that enter at the pre-activations of layers on the way, by the layer's number.
    """
    found = [cotangent]
    for k in range(len(weights) - 1, to - 1, -1):
        pulled = found[-1] @ weights[k] * slopes[k - 1]
        found.append(pulled if added is None else pulled + added[k])
    return found[::-1]


def second_order(seen: ForwardPass, weights: Sequence[Array], deltas: Sequence[Array]) -> dict[int, Array] | None:
    """Return σ″(pre_k) ∘ W_{k+1}ᵀ δ_{k+1} of each hidden layer k, (N, n_k): what δ_k changes by with pre_k directly.

    ``deltas`` are δ_1 … δ_L. None where σ is piecewise linear.
    """
    if seen.bends is None:
        return None
    return {k: bend * (deltas[k] @ weights[k]) for k, bend in enumerate(seen.bends, 1)}


def loss_and_gradient(
    X: Array, weights: Sequence[Array], y: Array, loss: str, activation: str = "relu"
) -> tuple[float, list[Array]]:
    """Mean loss and its gradient by each layer's weights: (1/N) Σ_n δ_k h_{k−1}ᵀ, of the weights' shapes."""
    xp = namespace(X)
    seen = propagate(X, weights, xp, activation)
    value, r = get_loss(loss).value_and_residuals(seen.logits, y, xp)
    deltas = pull_back(r, weights, seen.slopes, 1)
    return value, [delta.mT @ h / X.shape[0] for delta, h in zip(deltas, seen.inputs, strict=True)]
