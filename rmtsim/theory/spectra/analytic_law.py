"""Laws λ = Λ(y) of a variable y with an analytic density, and their Cauchy transform up to the real axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_WINDOW = 12
_STRIP = 5.0  # beyond this many steps from the real axis a pole changes the trapezoid sum by less than e^{−10π}
_CHUNK = 2**19


@dataclass(frozen=True)
class LogTable:
    """A density g(y) held as log g at y = step · (first + k): polynomials of degree 11 in each cell, relative errors.

    Called with complex y near the real axis, it continues g analytically; it is 0 where Re y is beyond the table.
    """

    step: float
    first: int
    log_density: Array

    @classmethod
    def where(cls, step: float, first: int, density: Array, kept: NDArray[np.bool_]) -> LogTable:
        """Tabulate the run of ``kept`` points about the maximum of ``density``, with mass 1."""
        peak = int(np.argmax(np.where(kept, density, 0)))
        dropped = np.flatnonzero(~kept)
        below, above = dropped[dropped < peak], dropped[dropped > peak]
        low = int(below[-1]) + 1 if len(below) else 0
        high = int(above[0]) if len(above) else len(density)
        kept_density = density[low:high]
        return cls(step, first + low, np.log(kept_density / (kept_density.sum() * step)))

    @cached_property
    def points(self) -> Array:
        """The tabulated y."""
        return np.asarray(self.step * (self.first + np.arange(len(self.log_density))), dtype=np.float64)

    @cached_property
    def _cells(self) -> Array:
        offsets = np.arange(_WINDOW) - (_WINDOW - 1) / 2
        fit = np.linalg.inv(np.vander(offsets, increasing=True))
        windows = np.lib.stride_tricks.sliding_window_view(self.log_density, _WINDOW)
        return np.asarray(windows @ fit.T, dtype=np.float64)

    @cached_property
    def _peaks(self) -> Array:
        peaks: Array = np.lib.stride_tricks.sliding_window_view(self.log_density, _WINDOW).max(axis=1)
        return peaks

    def with_slope(self, y: Complex | Array) -> tuple[Complex, Complex]:
        """g(y) and g'(y)."""
        y = np.asarray(y, dtype=complex)
        place = y / self.step - self.first
        cell = np.clip(np.floor(place.real).astype(int) - _WINDOW // 2 + 1, 0, len(self._cells) - 1)
        x = place - cell - (_WINDOW - 1) / 2
        value, slope = np.zeros_like(x), np.zeros_like(x)
        for k in range(_WINDOW - 1, -1, -1):
            slope = slope * x + value
            value = value * x + self._cells[cell, k]
        inside = (place.real >= 0) & (place.real <= len(self.log_density) - 1)
        # A bound for oscillations at half the table's rate or slower: where log g has kinks, the polynomial has none.
        most = self._peaks[cell] + math.pi / 2 * np.abs(place.imag) + 0.1
        g = np.where(inside, np.exp(np.minimum(value.real, most) + 1j * value.imag), 0)
        return g, g * slope / self.step

    def __call__(self, y: Complex | Array) -> Complex:
        """g(y)."""
        return self.with_slope(y)[0]


@dataclass(frozen=True)
class Cauchy:
    """The transforms of a law at u = t + iv that the curve needs, each of shape (n,).

    J = E λ/(u − λ), K' = −E λ²/(u − λ)² (``derivative``), I = E λ²/|u − λ|², P(λ ≠ 0) − I (``deficit``) free of
    cancellation at small u, and −dI/d(v²) = E λ²/|u − λ|⁴.
    """

    J: Complex
    derivative: Complex
    intensity: Array
    deficit: Array
    minus_slope: Array

    @classmethod
    def sums(cls, t: Array, v: Array, values: Array, weights: Array) -> Cauchy:
        """For atoms at ``values``, not 0."""
        first = weights[:, None] * values[:, None] ** np.arange(3)
        second = weights * values**2
        q_sums = np.empty((len(t), 3))
        minus_slope, cross = np.empty((2, len(t)))
        size = max(1, _CHUNK // max(len(values), 1))
        for start in range(0, len(t), size):
            part = slice(start, start + size)
            gap = t[part, None] - values
            q = 1 / (gap**2 + v[part, None] ** 2)
            q_sums[part] = q @ first
            q *= q
            minus_slope[part] = q @ second
            gap *= q
            cross[part] = gap @ second
        zeroth, linear, intensity = q_sums.T
        return cls(
            J=t * linear - intensity - 1j * v * linear,
            derivative=2 * v**2 * minus_slope - intensity + 2j * v * cross,
            intensity=intensity,
            deficit=(t**2 + v**2) * zeroth - 2 * t * linear,
            minus_slope=minus_slope,
        )


@dataclass(frozen=True)
class AnalyticLaw:
    """The law of λ = Λ(y), y of density g, with probability ``nonzero``, and of λ = 0 otherwise.

    Attributes
    ----------
    density
        g; it is 0 beyond the table.
    value, slopes
        Λ, and its first two derivatives, as functions of real and complex y.
    preimages
        All solutions y of Λ(y) = u that may lie near the real axis, at complex u.
    low, bound
        Infimum and supremum of the λ ≠ 0; the latter may be infinite.
    nonzero
        P(λ ≠ 0).
    """

    density: LogTable
    value: Callable[[Array], Array]
    slopes: Callable[[Complex], tuple[Complex, Complex]]
    preimages: Callable[[Complex], list[Complex]]
    bound: float
    low: float = 0.0
    nonzero: float = 1.0

    @cached_property
    def _nodes(self) -> tuple[Array, Array]:
        """λ and its probability on the whole table, a trapezoid rule."""
        y = self.density.points
        return self.value(y), self.nonzero * self.density.step * np.exp(self.density.log_density)

    def moment(self, k: int) -> float:
        """E λ^k, by the trapezoid rule, exponentially accurate."""
        values, weights = self._nodes
        return float(weights @ values**k)

    def pieces(self, ratio: float) -> list[tuple[float, float]]:
        """Return the support as far as the table goes, in one piece whatever the ``ratio``."""
        return [(self.low, self.reach)]

    @property
    def reach(self) -> float:
        """The largest λ ≥ 0 that the table holds; larger ones are negligible in E λ⁴."""
        return max(float(self._nodes[0].max()), 0.0)

    @property
    def breaks(self) -> Array:
        """Some λ that show the scales of the law."""
        return np.sort(self._nodes[0][:: max(1, len(self._nodes[0]) // 12)])

    def real_intensity(self, t: Array) -> Array:
        """Return I(t, 0) = E λ²/(t − λ)² = −K'(t) at real t outside the support."""
        return -self.cauchy(t, np.full(len(t), 1e-30 * math.sqrt(self.moment(2)))).derivative.real

    def cauchy(self, t: Array, v: Array) -> Cauchy:
        """Return the transforms at u = t + iv, v > 0, however close to the real axis.

        Trapezoid sums over y. A pole y₀ of residue r is seen wrongly by a sum of step h over y_k = o + kh: the
        integral exceeds it by π r (cot π(y₀ − o)/h ± i), ± = sign Im y₀. Of two interlaced sums the one is taken whose
        points are farther from the pole.
        """
        values, weights = self._nodes
        step = 2 * self.density.step
        u = t + 1j * v
        poles = self.preimages(u)
        # The even points, unless the pole is near the axis and nearer to them.
        even = np.abs(np.mod(poles[0].real / step, 1.0) - 0.5) < 0.25
        even |= np.abs(poles[0].imag) > _STRIP * step
        J, dK = np.empty((2, len(t)), dtype=complex)
        intensity, deficit, minus_slope = np.empty((3, len(t)))
        for parity, chosen in ((0, even), (1, ~even)):
            part = slice((parity - self.density.first) % 2, None, 2)
            half = weights[part] * (self.nonzero / weights[part].sum())  # P − I keeps its digits where γ is P
            sums = Cauchy.sums(t[chosen], v[chosen], values[part], half)
            J[chosen], dK[chosen], minus_slope[chosen] = sums.J, sums.derivative, sums.minus_slope
            intensity[chosen], deficit[chosen] = sums.intensity, sums.deficit
        offset = np.where(even, 0.0, 0.5)
        for y in poles:
            near = np.flatnonzero(np.abs(y.imag) < _STRIP * step)
            change, dchange = self._pole_terms(y[near], u[near], y[near] / step - offset[near], step)
            J[near] += change / u[near]
            dK[near] += dchange
            excess = -change.imag / v[near]
            intensity[near] += excess
            deficit[near] -= excess
            minus_slope[near] += (dchange.real + excess) / (2 * v[near] ** 2)
        return Cauchy(J, dK, intensity, deficit, minus_slope)

    def _pole_terms(self, y: Complex, u: Complex, place: Complex, step: float) -> tuple[Complex, Complex]:
        """Return the terms of a pole in the sums for K = E λ²/(u − λ) and for K'; ``place`` = (y − o)/h."""
        g, dg = (self.nonzero * part for part in self.density.with_slope(y))
        slope, bend = self.slopes(y)
        side = np.where(y.imag < 0, -1.0, 1.0)
        # cot πa ± i = ±2i/(1 − e^{∓2πia})
        wave = np.exp(-2j * np.pi * side * place)
        turn = 2j * side / (1 - wave)
        dturn = -turn * 2j * np.pi * side / step * wave / (1 - wave)
        residue = -g * u**2 / slope
        dresidue = -(dg * u**2 + 2 * g * u * slope) / slope + g * u**2 * bend / slope**2
        return np.pi * residue * turn, np.pi * (dresidue * turn + residue * dturn) / slope
