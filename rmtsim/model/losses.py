"""The losses as the Hessian sees them: value, residual and curvature of a sample's loss by its logits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rmtsim.arrays.backend import Array, Module, is_cupy, row_dots
from rmtsim.arrays.primitives import exponentials
from rmtsim.model.choices import LOSSES
from rmtsim.model.network import one_hot, softmax

#: Losses of one output f for two classes, y ∈ {0, 1}: log(1 + e^{−tf}) and (f − t)², with t = 2y − 1.
BINARY_LOSSES = ("binary_ce", "binary_mse")

#: All losses that a network can be trained with.
NETWORK_LOSSES = (*LOSSES, *BINARY_LOSSES)


class Curvature(NamedTuple):
    """Second derivative by the logits of each sample's loss: S_n = diag(a_n) − b_n b_nᵀ.

    CE: a = b = p. One output, CE: a = p(1 − p). MSE: a = 2; for both b is None, which stands for 0.
    """

    diagonal: Array  #: a, (N, C)
    rank_one: Array | None  #: b, (N, C)

    def apply(self, T: Array, xp: Module) -> Array:
        """Return S_n t_n for the rows of T, (N, C)."""
        out = self.diagonal * T
        if self.rank_one is not None:
            out = out - self.rank_one * xp.sum(self.rank_one * T, axis=-1, keepdims=True)
        return out


def loss_and_residuals(logits: Array, y: Array, loss: str, xp: Module) -> tuple[float, Array]:
    """Return the mean loss and its derivative by each sample's logits, times N, (N, C): p − y, or 2(f − target).

    Logits are (N, C), or (N, 1) for the losses of one output; they may be overwritten.
    """
    if loss == "ce":
        of_label = xp.take_along_axis(logits, y[:, None], axis=-1)
        E, sums, top = exponentials(logits, None, xp)
        value = xp.mean(xp.log(sums) + xp.astype(top, xp.float64) - xp.astype(of_label, xp.float64))
        E *= xp.astype(1 / sums, E.dtype)
        return float(value), _minus_one_hot(E, y, xp)
    if loss == "binary_ce":
        sign = _sign(y, logits, xp)
        margin = -sign * logits[:, 0]
        value = xp.mean(xp.maximum(margin, xp.zeros_like(margin)) + xp.log1p(xp.exp(-xp.abs(margin))))
        return float(value), (-sign * _sigmoid(margin, xp))[:, None]
    error = logits - _sign(y, logits, xp)[:, None] if loss == "binary_mse" else _minus_one_hot(logits, y, xp)
    return float(xp.mean(xp.astype(row_dots(error, error, xp), xp.float64))), 2 * error


def curvature(logits: Array, loss: str, xp: Module) -> Curvature:
    """Return the second derivative of each sample's loss by its logits; the labels do not enter."""
    if loss == "ce":
        P = softmax(logits, xp)
        return Curvature(P, P)
    if loss == "binary_ce":
        return Curvature(_sigmoid(logits, xp) * _sigmoid(-logits, xp), None)
    return Curvature(xp.full_like(logits, 2.0), None)


def _minus_one_hot(A: Array, y: Array, xp: Module) -> Array:
    """Return A (N, C) less 1 at each label; may overwrite A."""
    if xp is np or is_cupy(xp):
        A[xp.arange(A.shape[0]), y] -= 1
        return A
    return A - one_hot(y, slice(0, A.shape[-1]), A.dtype, xp)


def _sigmoid(logits: Array, xp: Module) -> Array:
    """1/(1 + e^{−f}), to full relative precision however small."""
    tail = xp.exp(-xp.abs(logits))
    return xp.where(logits < 0, tail, xp.ones_like(tail)) / (1 + tail)


def _sign(y: Array, logits: Array, xp: Module) -> Array:
    """Labels 0, 1 as −1, 1."""
    return 2 * xp.astype(y, logits.dtype) - 1
