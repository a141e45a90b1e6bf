"""The limiting spectrum of (1/N) X Λ Xᵀ as a curve: where the inverse of its Stieltjes transform is real.

With u = −1/(γ s), equation (37), s = 1/(−z + E[λ/(1 + γλs)]), reads

    z(u) = u (γ + J(u)),   J(u) = E[λ/(u − λ)],   Im z = v (γ − I(t, v)),   I = E[λ²/|u − λ|²],   u = t + iv.

I falls in v, so Im z(t + iv) = η has one solution v(t) for each t; Re z grows in t along it, for z is conformal there.
So only two monotone equations in one unknown each have to be solved, at every distance η from the real axis (after
Biane, 1997, for the semicircle; Silverstein and Choi, 1995, for the support).
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rmtsim.theory.spectra.analytic_law import Cauchy

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_FLOOR = 1e-140  # of v² over E λ²: below it, v is 0


class Law(Protocol):
    """The interface of a law of the weights: see ``DiscreteLaw`` and ``AnalyticLaw``."""

    @property
    def nonzero(self) -> float: ...  # noqa: D102
    @property
    def breaks(self) -> Array: ...  # noqa: D102
    def pieces(self, ratio: float) -> list[tuple[float, float]]: ...  # noqa: D102
    def moment(self, k: int) -> float: ...  # noqa: D102
    def real_intensity(self, t: Array) -> Array: ...  # noqa: D102
    def cauchy(self, t: Array, v: Array) -> Cauchy: ...  # noqa: D102


def height(law: Law, ratio: float, t: Array, eta: Array, start: Array | None = None) -> Array:
    """V ≥ 0 with Im z(t + iv) = ``eta`` ≥ 0, that is I(t, v) + η/v = γ; 0 where η = 0 and I(t, 0) ≤ γ.

    J = I + η/v is a Stieltjes function of v², so 1/J is concave in v² and Newton's method for 1/J = 1/γ converges
    monotonically once it is left of the root, where its first step takes it from anywhere.
    """
    second = law.moment(2)
    floor = _FLOOR * second
    w = np.maximum(1e-6 * second / ratio if start is None else start**2, floor) * np.ones(len(t))
    active = np.arange(len(t))
    for _ in range(100):
        old, v = w[active], np.sqrt(w[active])
        at = law.cauchy(t[active], v)
        push = eta[active] / v
        # γ − I from P − I where that has the smaller terms.
        far = np.abs(ratio - law.nonzero) + np.abs(at.deficit) > ratio
        lack = np.where(far, ratio - at.intensity, ratio - law.nonzero + at.deficit) - push
        new = old - (at.intensity + push) * lack / (ratio * (at.minus_slope + push / (2 * old)))
        new = np.where(new > 1e-12 * old, new, 1e-12 * old)
        w[active] = np.maximum(new, floor)
        active = active[(np.abs(new - old) > 1e-9 * old) & (new > floor)]  # the next step would square that
        if len(active) == 0:
            break
    return np.where(w > 2 * floor, np.sqrt(w), 0.0)


def along(law: Law, ratio: float, t: Array, v: Array, eta: Array) -> tuple[Complex, Array]:
    """z(u) and d Re z/dt = |z'|²/Re z' along the curve Im z = ``eta`` through u = t + iv.

    On it γ − I = η/v, so Re z' = η/v − 2v² dI/dv² has no cancellation.
    """
    at = law.cauchy(t, np.maximum(v, math.sqrt(_FLOOR * law.moment(2))))
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.where(v > 0, eta / v + 2 * v**2 * at.minus_slope, ratio + at.derivative.real)
        return (t + 1j * v) * (ratio + at.J), (rise**2 + at.derivative.imag**2) / rise


def solve(
    law: Law, ratio: float, x: Array, eta: Array, bracket: tuple[Array, Array] | None = None, start: Array | None = None
) -> Complex:
    """U with z(u) = x + iη in the closed upper half-plane, by Newton's method for t = Re u, kept in a bracket.

    z = γu + E λ + K with |K| ≤ (E λ² · I)^{1/2} ≤ (γ E λ²)^{1/2} by Cauchy and Schwarz: a bracket at every z.
    """
    margin = np.sqrt(law.moment(2) / ratio)
    centre = (x - law.moment(1)) / ratio
    low, high = bracket if bracket is not None else (centre - margin, centre + margin)
    low, high = low.copy(), high.copy()
    t = (low + high) / 2 if start is None else np.clip(start, low, high)
    v = np.full(len(t), margin)
    active = np.arange(len(t))
    for step in range(100):
        here = t[active]
        v[active] = height(law, ratio, here, eta[active], v[active] if step else None)
        z, slope = along(law, ratio, here, v[active], eta[active])
        excess = z.real - x[active]
        low[active] = np.where(excess <= 0, here, low[active])
        high[active] = np.where(excess >= 0, here, high[active])
        with np.errstate(divide="ignore", invalid="ignore"):
            new = here - excess / slope
        inside = (new >= low[active]) & (new <= high[active])
        t[active] = np.where(inside, new, (low[active] + high[active]) / 2)
        moved = np.abs(t[active] - here) > 1e-15 * np.abs(here)
        active = active[moved & (np.abs(excess) > 1e-14 * np.abs(x[active]))]
        if len(active) == 0:
            break
    return t + 1j * height(law, ratio, t, eta, v)


def bands(law: Law, ratio: float) -> list[tuple[float, float]]:
    """Find the intervals of t where v(t) > 0: the complement of {I(t, 0) ≤ γ}.

    Between neighbouring pieces of the law's support I(t, 0) is convex: it has one minimum there, and where that is
    below γ two roots, the ends of a gap; beyond the outermost pieces it has one root, or none.
    """
    pieces = np.array(law.pieces(ratio)).reshape(-1, 2)
    if len(pieces) == 0:
        return []
    reach = np.sqrt(law.moment(2) / ratio) * (1 + 1e-9)
    right, left = pieces[:-1, 1], pieces[1:, 0]  # gaps run from right to left
    bottom = _minimum(law, right, left)
    gap = law.real_intensity(bottom) < ratio
    first = _root(law, ratio, pieces[:1, 0] - reach, pieces[:1, 0])
    last = pieces[-1:, 1]
    if np.isfinite(last[0]):
        last = _root(law, ratio, last + reach, last)
    if ratio == law.nonzero:  # I(0, 0) = γ: a hard edge, which rounding would move
        first, last = (np.where(np.abs(end) < 1e-9 * reach, 0.0, end) for end in (first, last))
    starts = [*first, *_root(law, ratio, bottom[gap], left[gap])]
    ends = [*_root(law, ratio, bottom[gap], right[gap]), *last]
    return [(float(a), float(b)) for a, b in zip(starts, ends, strict=True)]


def _root(law: Law, ratio: float, outside: Array, inside: Array) -> Array:
    """T between ``outside``, where I(t, 0) < γ, and ``inside``, the support, or ``inside`` if I is below γ up to it."""
    for _ in range(120):
        middle = (outside + inside) / 2
        small = law.real_intensity(middle) < ratio
        outside, inside = np.where(small, middle, outside), np.where(small, inside, middle)
    return inside


def _minimum(law: Law, low: Array, high: Array) -> Array:
    """Where the convex I(t, 0) is least between two pieces of the support, by golden sections."""
    golden = (np.sqrt(5.0) - 1) / 2
    for _ in range(60):
        a, b = high - golden * (high - low), low + golden * (high - low)
        down = law.real_intensity(a) > law.real_intensity(b)
        low, high = np.where(down, a, low), np.where(down, high, b)
    middle: Array = (low + high) / 2
    return middle
