"""No nonlinearity: the network is a product of matrices."""

from __future__ import annotations

from rmtsim.arrays.backend import Array, Module
from rmtsim.model.activation import Activation, register_activation


class Identity(Activation):
    """σ(x) = x: σ′ = 1, σ″ = 0."""

    name = "identity"
    homogeneous = piecewise_linear = True

    def value(self, pre: Array, xp: Module) -> Array:
        """Return x."""
        return pre

    def slope(self, pre: Array, xp: Module) -> Array:
        """Return 1."""
        return xp.ones_like(pre)


register_activation(Identity())
