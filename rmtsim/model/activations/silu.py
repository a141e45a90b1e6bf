"""The sigmoid linear unit, also called swish."""

from __future__ import annotations

from rmtsim.arrays.backend import Array, Module
from rmtsim.model.activation import Activation, register_activation


class SiLU(Activation):
    """σ(x) = x s(x) with s(x) = 1/(1 + e^−x): σ′ = s (1 + x s(−x)), σ″ = s s(−x) (2 + x (s(−x) − s))."""

    name = "silu"

    def value(self, pre: Array, xp: Module) -> Array:
        """Return x s."""
        return pre * _sigmoids(pre, xp)[0]

    def slope(self, pre: Array, xp: Module) -> Array:
        """Return s (1 + x s(−x))."""
        s, rest = _sigmoids(pre, xp)
        return s * (1 + pre * rest)

    def bend(self, pre: Array, xp: Module) -> Array:
        """Return s s(−x) (2 + x (s(−x) − s))."""
        s, rest = _sigmoids(pre, xp)
        return s * rest * (2 + pre * (rest - s))


register_activation(SiLU())


def _sigmoids(pre: Array, xp: Module) -> tuple[Array, Array]:
    """Return s(x) and s(−x) = 1 − s(x), both to full relative precision however small."""
    tail = xp.exp(-xp.abs(pre))
    large, small = 1 / (1 + tail), tail / (1 + tail)
    return xp.where(pre < 0, small, large), xp.where(pre < 0, large, small)
