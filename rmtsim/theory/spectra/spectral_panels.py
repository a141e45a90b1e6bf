"""Panels of the spectral curve: on each, the density and the distribution function are polynomials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmtsim.theory.spectra.free_poisson import Law, along, height

Array = NDArray[np.float64]

_DEGREE = 16
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_DEGREE)
_TO_LEGENDRE = (np.polynomial.legendre.legvander(_NODES, _DEGREE - 1) * _WEIGHTS[:, None]).T * (
    np.arange(_DEGREE)[:, None] + 0.5
)
_TOLERANCE = 1e-9
_MOST_LEVELS = 48
_MOST_PANELS = 20_000


@dataclass(frozen=True)
class Panels:
    """Panels in increasing order, each from θ = low to high in its band, where t = a + (b − a) sin²(θ/2), 0 ≤ θ ≤ π.

    The square roots at a band's edges, in x and in t, are analytic in θ. Nodes are Gauss–Legendre.

    Attributes
    ----------
    band, low, high
        (n,) which band, and θ at the ends.
    x, t, density, weights
        (n, 16) at the nodes; Σ weights · f(x) integrates f against the continuous part.
    series
        (n, 17) Legendre coefficients of the mass from the panel's lower end, as a function of θ.
    """

    band: NDArray[np.intp]
    low: Array
    high: Array
    x: Array
    t: Array
    density: Array
    weights: Array
    series: Array

    @classmethod
    def of(cls, law: Law, ratio: float, bands: Array, moments: Array) -> Panels:
        """Halve panels until their mass and moments are resolved to 1e−9 of the whole, whose moments are given."""
        second, fourth = float(moments[1]), float(moments[3])
        totals = {0: 1.0, 1: math.sqrt(second), 2: second, 4: fourth}
        band, low, high = _first_panels(bands, law.breaks)
        done: list[tuple[NDArray[Any], ...]] = []
        count = 0
        for level in range(_MOST_LEVELS):
            half = (high - low)[:, None] / 2
            theta = low[:, None] + half * (1 + _NODES)
            a, b = bands[band, :1], bands[band, 1:]
            # From the nearer end, so that the distance to it keeps its digits.
            t = np.where(theta < np.pi / 2, a + (b - a) * np.sin(theta / 2) ** 2, b - (b - a) * np.cos(theta / 2) ** 2)
            on_axis = np.zeros(t.size)
            v = height(law, ratio, t.ravel(), on_axis)
            z, slope = along(law, ratio, t.ravel(), v, on_axis)
            x, slope = z.real.reshape(t.shape), np.where(v > 0, slope, 0.0).reshape(t.shape)
            v = v.reshape(t.shape)
            density = np.where(v > 0, v / (np.pi * ratio * (t**2 + v**2)), 0.0)
            mass = density * slope * (b - a) / 2 * np.sin(theta) * half  # per unit of the panel's own [−1, 1]
            series = mass @ _TO_LEGENDRE.T
            rough = np.zeros(len(band), dtype=bool)
            for k, total in totals.items():
                rough |= _unresolved((mass * x**k) @ _TO_LEGENDRE.T, total)
            count += len(band)
            if level == _MOST_LEVELS - 1 or count > _MOST_PANELS:
                rough[:] = False
            kept = ~rough
            integral = np.polynomial.legendre.legint(series.T, lbnd=-1).T
            found: tuple[NDArray[Any], ...] = (band, low, high, x, t, density, mass * _WEIGHTS, integral)
            done.append(tuple(column[kept] for column in found))
            middle = (low + high)[rough] / 2
            band = np.concatenate([band[rough], band[rough]])
            low, high = np.concatenate([low[rough], middle]), np.concatenate([middle, high[rough]])
            if len(band) == 0:
                break
        columns = tuple(np.concatenate(parts) for parts in zip(*done, strict=True))
        order = np.lexsort((columns[1], columns[0]))
        return cls(*(column[order] for column in columns))

    def mass_below(self, band: NDArray[np.intp], theta: Array) -> Array:
        """Return the continuous mass below the point θ of a band; both (n,)."""
        place = np.searchsorted(self.band + self.low / 4, band + theta / 4, side="right") - 1
        place = np.clip(place, 0, len(self.low) - 1)
        totals = self.weights.sum(axis=1)
        before = np.cumsum(totals) - totals
        local = 2 * (theta - self.low[place]) / (self.high - self.low)[place] - 1
        inside = np.polynomial.legendre.legvander(np.clip(local, -1, 1), _DEGREE)
        result: Array = before[place] + np.where(local > -1, (inside * self.series[place]).sum(axis=1), 0)
        return result


def _first_panels(bands: Array, breaks: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """Bands cut where the law's scales lie, so that no scale falls between all nodes."""
    band, low, high = [], [], []
    for k, (a, b) in enumerate(bands):
        inner = breaks[(breaks > a) & (breaks < b)]
        cuts = np.concatenate([[0.0], 2 * np.arcsin(np.sqrt((inner - a) / (b - a))), [np.pi]])
        low.append(cuts[:-1])
        high.append(cuts[1:])
        band.append(np.full(len(cuts) - 1, k))
    return np.concatenate(band), np.concatenate(low), np.concatenate(high)


def _unresolved(series: Array, total: float) -> NDArray[np.bool_]:
    """Whether a panel that counts has high Legendre coefficients left; one of a 1e−6th part is taken as it is."""
    rough = np.abs(series[:, -3:]).max(axis=1) > _TOLERANCE * total
    return np.asarray(rough & (np.abs(series[:, 0]) > 1e-6 * total))
