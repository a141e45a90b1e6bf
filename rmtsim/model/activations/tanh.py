"""The hyperbolic tangent."""

from __future__ import annotations

from rmtsim.arrays.backend import Array, Module
from rmtsim.model.activation import Activation, register_activation


class Tanh(Activation):
    """σ = tanh: σ′ = 1/cosh², σ″ = −2 σ σ′."""

    name = "tanh"
    bounded = True

    def value(self, pre: Array, xp: Module) -> Array:
        """Return tanh x."""
        return xp.tanh(pre)

    def slope(self, pre: Array, xp: Module) -> Array:
        """Return 1/cosh² x by e^−2|x|: 1 − tanh² has no digits left where tanh is nearly 1."""
        tail = xp.exp(-2 * xp.abs(pre))
        return 4 * tail / (1 + tail) ** 2

    def bend(self, pre: Array, xp: Module) -> Array:
        """Return −2 tanh x / cosh² x."""
        return -2 * xp.tanh(pre) * self.slope(pre, xp)


register_activation(Tanh())
