"""Squared error of C outputs against one-hot labels, without a ½."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmtsim.arrays.backend import Array, Module
from rmtsim.arrays.dot_products import row_dots
from rmtsim.model.loss import Curvature, Loss, register_loss
from rmtsim.model.network import minus_one_hot


class SquaredError(Loss):
    """(1/N) Σ_n ‖f(x_n) − y_n‖²: r = 2(f − y), S = 2 I."""

    name, closed_form = "mse", True

    def value_and_residuals(self, logits: Array, y: Array, xp: Module) -> tuple[float, Array]:
        """Return the mean loss and 2(f − y)."""
        error = minus_one_hot(logits, y, xp)
        return float(xp.mean(xp.astype(row_dots(error, error, xp), xp.float64))), 2 * error

    def curvature(self, logits: Array, y: Array | None, xp: Module) -> Curvature:
        """Return a = 2, b = 0."""
        return Curvature(xp.full_like(logits, 2.0), None)

    def scale_exponent(self, logits: Any, far: int) -> Any:
        """Return δ where logits change no digit of the residual, or are so large that the labels change none."""
        return np.clip(logits, -far, far) - logits


register_loss(SquaredError())
