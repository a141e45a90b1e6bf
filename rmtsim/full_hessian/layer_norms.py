"""Norms of each layer's own blocks without the blocks: ‖(1/N) Σ_n λ_n h_n h_nᵀ‖² = N⁻² λᵀ K λ, K_nk = (h_n·h_k)².

The block of neurons i, j of layer a has weights λ_n = [B_aᵀ S B_a]_ij, and the inputs h_{a−1} of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rmtsim.arrays.backend import Array, Module, namespace
from rmtsim.full_hessian.layers import propagate
from rmtsim.full_hessian.losses import Curvature, curvature

#: Weights λ held at once.
_HELD = 2**22


class LayerNorms(NamedTuple):
    """Mean squared Frobenius norms of the blocks of a layer with itself."""

    diag: float  #: H_{w_i w_i}
    offdiag: float  #: H_{w_i w_j}, i ≠ j; NaN for a layer of one neuron


def layer_norms(X: Array, weights: Sequence[Array], loss: str) -> list[LayerNorms]:
    """Return the block norms of every layer's own Hessian, without labels, which do not enter.

    Parameters
    ----------
    X, weights
        Samples (N, d) and layers W_1 … W_L, each (outputs, inputs).
    loss
        One of ``rmtsim.full_hessian.losses.NETWORK_LOSSES``.

    Returns
    -------
    list of LayerNorms
        One for each layer, in N² n² flops for a layer of n neurons.

    Examples
    --------
    >>> from rmtsim.full_hessian.layer_norms import layer_norms
    >>> from rmtsim.training.problem import Problem
    >>> X, weights, _ = Problem("mse", n_classes=5, dim=6, n_samples=20, hidden=(4, 3)).draw()
    >>> [round(norms.offdiag / norms.diag, 3) for norms in layer_norms(X, weights, "mse")]
    [0.24, 0.266, 0.0]
    """
    xp = namespace(X)
    seen = propagate(X, weights, xp)
    S = curvature(seen.logits, loss, xp)
    found, B = [], None  # B (N, C, neurons): B_a of each sample; None stands for the identity
    for a in range(len(weights) - 1, -1, -1):
        gram = seen.inputs[a] @ seen.inputs[a].mT
        found.append(_norms(B, S, gram**2 / X.shape[0] ** 2, xp))
        if a:
            B = (weights[a][None, :, :] if B is None else B @ weights[a]) * seen.masks[a - 1][:, None, :]
    return found[::-1]


def _norms(B: Array | None, S: Curvature, K: Array, xp: Module) -> LayerNorms:
    N, n = S.diagonal.shape[0], (S.diagonal if B is None else B).shape[-1]
    SB = None if B is None else _apply(S, B)
    step, diag, offdiag = max(1, _HELD // (N * n)), 0.0, 0.0
    for first in range(0, n, step):
        rows = slice(first, min(first + step, n))
        weights = _rows(S, rows, xp) if B is None else B[:, :, rows].mT @ SB  # (N, rows, n)
        size = rows.stop - rows.start
        own = xp.zeros((N, size), dtype=K.dtype)
        for k in range(size):
            own[:, k] = weights[:, k, first + k]
            weights[:, k, first + k] = 0
        weights = xp.reshape(weights, (N, -1))
        diag += float(xp.sum(own * (K @ own)))
        offdiag += float(xp.sum(weights * (K @ weights)))
    return LayerNorms(diag / n, offdiag / (n * (n - 1)) if n > 1 else math.nan)


def _apply(S: Curvature, B: Array) -> Array:
    """Return S_n B_n, (N, C, neurons)."""
    out = S.diagonal[:, :, None] * B
    if S.rank_one is not None:
        out -= S.rank_one[:, :, None] * (S.rank_one[:, None, :] @ B)
    return out


def _rows(S: Curvature, rows: slice, xp: Module) -> Array:
    """Return some rows of S_n, (N, rows, C)."""
    out = xp.zeros((S.diagonal.shape[0], rows.stop - rows.start, S.diagonal.shape[1]), dtype=S.diagonal.dtype)
    if S.rank_one is not None:
        out -= S.rank_one[:, rows, None] * S.rank_one[:, None, :]
    for k in range(rows.stop - rows.start):
        out[:, k, rows.start + k] += S.diagonal[:, rows.start + k]
    return out
