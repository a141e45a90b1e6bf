"""The Gaussian error linear unit."""

from __future__ import annotations

import math

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.model.activation import Activation, register_activation


class GELU(Activation):
    """σ(x) = x Φ(x), Φ and φ of the standard normal law: σ′ = Φ + x φ, σ″ = (2 − x²) φ. Not its tanh approximation."""

    name = "gelu"

    def value(self, pre: Array, xp: Module) -> Array:
        """Return x Φ."""
        return pre * backend_of(xp).normal_cdf(pre)

    def slope(self, pre: Array, xp: Module) -> Array:
        """Return Φ + x φ."""
        return backend_of(xp).normal_cdf(pre) + pre * _density(pre, xp)

    def bend(self, pre: Array, xp: Module) -> Array:
        """Return (2 − x²) φ."""
        return (2 - pre**2) * _density(pre, xp)


register_activation(GELU())


def _density(pre: Array, xp: Module) -> Array:
    return xp.exp(-0.5 * pre**2) / math.sqrt(2 * math.pi)
