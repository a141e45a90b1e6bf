"""The full Hessian of a network of any depth, a few neurons' rows at a time.

For weights (W_a)_{ik} and (W_b)_{jl} with a ≤ b, S_n the curvature of sample n's loss and r_n its residual,

    ∂² = (1/N) Σ_n [B_aᵀ S B_b]_{ij} h_{a−1,k} h_{b−1,l} + (1/N) Σ_n (B_bᵀ r)_j [∂h_{b−1}/∂pre_a]_{li} h_{a−1,k},

the second term where a < b. With an activation that bends, [B_aᵀ S B_b] stands for the second derivative of the loss
by pre_a and pre_b, which then has a term Σ_c J_{ca}ᵀ diag(σ″(pre_c) ∘ W_{c+1}ᵀ δ_{c+1}) J_{cb}, c ≥ b,
J_{ca} = ∂pre_c/∂pre_a.

All inputs k of neuron i share the tangent of a change of its pre-activation: pushed
forward it is T_b = ∂h_{b−1}/∂pre_{a,i} and, at the logits, B_a e_i; S times that, pulled back, is U_b = B_bᵀ S B_a e_i.
Where σ″ is not 0, U_b takes up σ″(pre_c) ∘ W_{c+1}ᵀ δ_{c+1} times the tangent of pre_c at every layer c on its way
back.

So the rows of a neuron are one product, (1/N) h_{a−1}ᵀ [U_b ⊗ h_{b−1} + (B_bᵀ r) ⊗ T_b]: Pearlmutter's pass for each
neuron, not for each weight. In the last layer S = diag(a) − b bᵀ makes it a Gram matrix of b ⊗ h_{L−1}, for many
classes at once. That is N (parameters)² flops in matrix products, the upper triangle's share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from rmtsim.arrays.backend import Array, Module, namespace
from rmtsim.full_hessian.propagation import ForwardPass, propagate, pull_back, second_order
from rmtsim.model.loss import Curvature, get_loss

#: Numbers of the right factor of a product held at once, and about how many rows of the last layer a panel has.
_HELD, _LAST_ROWS = 2**24, 512


class Panel(NamedTuple):
    """Rows of the Hessian of some neighbouring neurons of a layer, from their own columns to the last."""

    layer: int  #: a, counted from 1
    neurons: slice  #: which of its neurons
    start: int  #: number of the first row, and of the first column
    values: Array  #: (rows, parameters − start)


def offsets(weights: Sequence[Array]) -> list[int]:
    """Return where each layer's parameters start, and how many there are: layers in order, each row by row."""
    return [0, *accumulate(W.shape[0] * W.shape[1] for W in weights)]


def panels(X: Array, weights: Sequence[Array], y: Array, loss: str, activation: str = "relu") -> Iterator[Panel]:
    """Yield the upper triangle of the Hessian as panels, in the order of the parameters.

    Parameters
    ----------
    X, weights, y
        Samples (N, d), layers W_1 … W_L, each (outputs, inputs), and labels (N,).
    loss, activation
        Names of a loss and of an activation.
    """
    xp = namespace(X)
    seen = propagate(X, weights, xp, activation)
    S = get_loss(loss).curvature(seen.logits, y, xp)
    _, r = get_loss(loss).value_and_residuals(seen.logits, y, xp)  # the logits are not needed any more
    deltas = pull_back(r, weights, seen.slopes, 1)
    bent = second_order(seen, weights, deltas)
    starts = offsets(weights)
    for a in range(1, len(weights)):
        for i in range(weights[a - 1].shape[0]):
            start = starts[a - 1] + i * weights[a - 1].shape[1]
            yield Panel(a, slice(i, i + 1), start, _neuron(a, i, seen, weights, S, deltas, bent, xp))
    h, L = seen.inputs[-1], len(weights)
    classes, step = weights[-1].shape[0], max(1, _LAST_ROWS // h.shape[1])
    for first in range(0, classes, step):
        group = slice(first, min(first + step, classes))
        yield Panel(L, group, starts[-2] + first * h.shape[1], _last_layer(group, h, S, xp))


def _neuron(
    a: int,
    i: int,
    seen: ForwardPass,
    weights: Sequence[Array],
    S: Curvature,
    deltas: Sequence[Array],
    bent: dict[int, Array] | None,
    xp: Module,
) -> Array:
    """Rows of neuron i of the hidden layer a, from its own columns on."""
    L, left = len(weights), seen.inputs[a - 1].mT / seen.inputs[0].shape[0]
    tangents = {a + 1: _only(seen.slopes[a - 1], i, xp)}  # T_b, for b > a
    added = None if bent is None else {a: _only(bent[a], i, xp)}
    for k in range(a + 1, L):
        tangent_of_pre = tangents[k] @ weights[k - 1].mT
        tangents[k + 1] = tangent_of_pre * seen.slopes[k - 1]
        if added is not None and bent is not None:
            added[k] = bent[k] * tangent_of_pre
    pulled = pull_back(S.apply(tangents[L] @ weights[-1].mT, xp), weights, seen.slopes, a, added)
    parts = [_product(left, [(pulled[0][:, i:], seen.inputs[a - 1])], xp)]
    for b in range(a + 1, L + 1):
        terms = [(pulled[b - a], seen.inputs[b - 1]), (deltas[b - 1], tangents[b])]
        parts.append(_product(left, terms, xp))
    return xp.concat(parts, axis=1)


def _last_layer(group: slice, h: Array, S: Curvature, xp: Module) -> Array:
    """Rows of some classes of the last layer, from their own columns on."""
    n, (N, m) = group.stop - group.start, h.shape
    of_group = S.diagonal[:, group]
    diagonal = (xp.permute_dims(of_group, (1, 0))[:, None, :] * h.mT[None, :, :]) @ h / N  # (classes, m, m)
    columns = (S.diagonal.shape[1] - group.start) * m
    if S.rank_one is None:
        out = xp.zeros((n * m, columns), dtype=h.dtype)
    else:
        left = _outer(S.rank_one[:, group], h, xp).mT / -N
        out = _product(left, [(S.rank_one[:, group.start :], h)], xp)
    for k in range(n):
        here = slice(k * m, (k + 1) * m)
        out[here, here] += diagonal[k, ...]
    return out


def _product(left: Array, terms: Sequence[tuple[Array, Array]], xp: Module) -> Array:
    """Return left (k, N) times the sum of u ⊗ h (N, columns of u · columns of h), in pieces of the samples."""
    u, h = terms[0]
    step = max(1, _HELD // (u.shape[1] * h.shape[1]))
    out = None
    for first in range(0, u.shape[0], step):
        here = slice(first, min(first + step, u.shape[0]))
        right = _outer(u[here, :], h[here, :], xp)
        for v, t in terms[1:]:
            right += _outer(v[here, :], t[here, :], xp)
        piece = left[:, here] @ right
        out = piece if out is None else out + piece
    return out


def _outer(u: Array, h: Array, xp: Module) -> Array:
    """Row-wise Kronecker product, (N, columns of u · columns of h)."""
    return xp.reshape(u[:, :, None] * h[:, None, :], (u.shape[0], -1))


def _only(A: Array, i: int, xp: Module) -> Array:
    """Return A with all columns but the i-th zero."""
    out = xp.zeros_like(A)
    out[:, i] = A[:, i]
    return out
