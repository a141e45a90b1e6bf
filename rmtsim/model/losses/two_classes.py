"""Losses of one output f for two classes: labels y of 0 and 1 stand for t = 2y − 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmtsim.arrays.backend import Array, Module
from rmtsim.arrays.dot_products import row_dots
from rmtsim.model.loss import Certainty, Curvature, Loss, register_loss


class BinaryCrossEntropy(Loss):
    """(1/N) Σ_n log(1 + e^{−t_n f(x_n)}): r = −t σ(−tf), a = p(1 − p)."""

    name, one_output = "binary_ce", True

    def value_and_residuals(self, logits: Array, y: Array, xp: Module) -> tuple[float, Array]:
        """Return the mean loss and p − y, to full relative precision however small."""
        sign = _sign(y, logits, xp)
        margin = -sign * logits[:, 0]
        value = xp.mean(xp.maximum(margin, xp.zeros_like(margin)) + xp.log1p(xp.exp(-xp.abs(margin))))
        return float(value), (-sign * _sigmoid(margin, xp))[:, None]

    def curvature(self, logits: Array, y: Array | None, xp: Module) -> Curvature:
        """Return a = p(1 − p), b = 0."""
        return Curvature(_sigmoid(logits, xp) * _sigmoid(-logits, xp), None)

    def scale_exponent(self, logits: Any, far: int) -> Any:
        """Return δ where logits are too small to change a digit of a probability."""
        return np.maximum(logits, -far) - logits

    def certainty(self, logits: Array, dtype: str, xp: Module) -> Certainty | None:
        """Return p(1 − p), which has all its digits down to the smallest numbers of the dtype."""
        info = np.finfo(dtype)
        return Certainty(self.curvature(logits, None, xp).diagonal[:, 0], float(info.tiny / info.eps))


class BinarySquaredError(Loss):
    """(1/N) Σ_n (f(x_n) − t_n)²: r = 2(f − t), a = 2."""

    name, one_output = "binary_mse", True

    def value_and_residuals(self, logits: Array, y: Array, xp: Module) -> tuple[float, Array]:
        """Return the mean loss and 2(f − t)."""
        error = logits - _sign(y, logits, xp)[:, None]
        return float(xp.mean(xp.astype(row_dots(error, error, xp), xp.float64))), 2 * error

    def curvature(self, logits: Array, y: Array | None, xp: Module) -> Curvature:
        """Return a = 2, b = 0."""
        return Curvature(xp.full_like(logits, 2.0), None)

    def scale_exponent(self, logits: Any, far: int) -> Any:
        """Return δ where logits change no digit of the residual, or are so large that the labels change none."""
        return np.clip(logits, -far, far) - logits


register_loss(BinaryCrossEntropy())
register_loss(BinarySquaredError())


def _sigmoid(logits: Array, xp: Module) -> Array:
    """1/(1 + e^{−f}), to full relative precision however small."""
    tail = xp.exp(-xp.abs(logits))
    return xp.where(logits < 0, tail, xp.ones_like(tail)) / (1 + tail)


def _sign(y: Array, logits: Array, xp: Module) -> Array:
    """Labels 0, 1 as −1, 1."""
    return 2 * xp.astype(y, logits.dtype) - 1
