"""Cross-entropy of C classes: −log p_y, p the softmax of the logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.model.loss import Certainty, Curvature, Loss, register_loss
from rmtsim.model.network import minus_one_hot, softmax

#: Where no sample has more probability than this outside its most probable class, rounding takes the digits of the
#: entries, which are differences of probabilities, p − p².
_CERTAIN = {"float32": 1e-3, "float64": 1e-10}


class CrossEntropy(Loss):
    """(1/N) Σ_n −log p_{n,y_n}: r = p − y, S = diag(p) − p pᵀ."""

    name, softmax, closed_form = "ce", True, True

    def value_and_residuals(self, logits: Array, y: Array, xp: Module) -> tuple[float, Array]:
        """Return the mean loss and p − y."""
        of_label = xp.take_along_axis(logits, y[:, None], axis=-1)
        E, sums, top = backend_of(xp).exponentials(logits, None)
        value = xp.mean(xp.log(sums) + xp.astype(top, xp.float64) - xp.astype(of_label, xp.float64))
        E *= xp.astype(1 / sums, E.dtype)
        return float(value), minus_one_hot(E, y, xp)

    def curvature(self, logits: Array, y: Array | None, xp: Module) -> Curvature:
        """Return a = b = p."""
        P = softmax(logits, xp)
        return Curvature(P, P)

    def scale_exponent(self, logits: Any, far: int) -> Any:
        """Return δ where logits are too small to change a digit of a probability."""
        return np.maximum(logits, -far) - logits

    def certainty(self, logits: Array, dtype: str, xp: Module) -> Certainty | None:
        """Return 1 − p of each sample's most probable class; a single class is always certain."""
        if logits.shape[-1] == 1:
            return None
        top = xp.argmax(logits, axis=-1, keepdims=True)
        others = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
        is_top = xp.arange(logits.shape[-1])[None, :] == top
        others = xp.sum(xp.where(is_top, xp.zeros_like(others), others), axis=-1)
        return Certainty(others / (1 + others), _CERTAIN[dtype])


register_loss(CrossEntropy())
