"""The rectified linear unit."""

from __future__ import annotations

from rmtsim.arrays.backend import Array, Module
from rmtsim.model.activation import Activation, register_activation


class ReLU(Activation):
    """σ(x) = max(x, 0): σ′ = 1[x > 0], σ″ = 0."""

    name = "relu"
    homogeneous = piecewise_linear = rectifies = True

    def value(self, pre: Array, xp: Module) -> Array:
        """Return max(x, 0)."""
        return self.value_and_slope(pre, xp)[0]

    def slope(self, pre: Array, xp: Module) -> Array:
        """Return the mask 1[x > 0]."""
        return xp.astype(pre > 0, pre.dtype)

    def value_and_slope(self, pre: Array, xp: Module) -> tuple[Array, Array]:
        """Return x times the mask, and the mask."""
        mask = self.slope(pre, xp)
        return pre * mask, mask


register_activation(ReLU())
