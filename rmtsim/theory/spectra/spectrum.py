"""The generalised Marchenko–Pastur law (37): the limiting spectrum of (1/N) X Λ Xᵀ."""

from __future__ import annotations

import math
from functools import cached_property
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rmtsim.arrays.user_arrays import as_numbers
from rmtsim.errors import InputError
from rmtsim.theory.spectra.analytic_law import AnalyticLaw
from rmtsim.theory.spectra.discrete_law import DiscreteLaw
from rmtsim.theory.spectra.free_poisson import along, bands, solve
from rmtsim.theory.spectra.spectral_panels import Panels
from rmtsim.theory.spectra.weight_laws import WeightLaw

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


#: Ratios d/N beyond which bands are so narrow, or so far from 0, that floats cannot separate their ends.
_LEAST_RATIO, _MOST_RATIO = 1e-9, 1e9


class Spectrum:
    """The limiting law of the eigenvalues of (1/N) X Λ Xᵀ, X (d, N) standard normal, d/N → γ, N weights λ of law μ.

    Its Stieltjes transform s(z) = ∫ dρ(x)/(x − z), Im z > 0, is the solution in the upper half-plane of (37),

        s = 1/(−z + E[λ/(1 + γ λ s)]),

    and its density Im s(x + i0)/π. The free cumulants are γ^{k−1} E λ^k. The mass is 1, atom included.

    Parameters
    ----------
    law
        The law μ of the weights, from ``weight_laws``.
    aspect_ratio
        γ > 0.

    Raises
    ------
    InputError
        If the aspect ratio is not a positive number, or the law is none.

    Examples
    --------
    >>> from rmtsim.theory.spectra.weight_laws import bernoulli
    >>> marchenko_pastur = Spectrum(bernoulli(1.0, 1.0), aspect_ratio=0.25)
    >>> marchenko_pastur
    Spectrum(d/N = 0.25, density on [0.25, 2.25])
    >>> [(low, high)] = marchenko_pastur.edges.tolist()
    >>> round(low, 12), round(high, 12)
    (0.25, 2.25)
    """

    def __init__(self, law: WeightLaw, aspect_ratio: float) -> None:
        if not isinstance(law, AnalyticLaw | DiscreteLaw):
            raise InputError(
                f"law: {law!r} is not valid; give one of rmtsim.theory.spectra.weight_laws, such as discrete"
            )
        number = isinstance(aspect_ratio, Real) and not isinstance(aspect_ratio, bool)
        if not number or not math.isfinite(aspect_ratio) or aspect_ratio <= 0:
            raise InputError(f"aspect_ratio: {aspect_ratio!r} is not valid; give a positive number, d / N")
        if not _LEAST_RATIO <= aspect_ratio <= _MOST_RATIO:
            raise InputError(
                f"aspect_ratio: {aspect_ratio!r} is out of range for a spectrum; give a number from "
                f"{_LEAST_RATIO:g} to {_MOST_RATIO:g}"
            )
        self.law = law
        self.aspect_ratio = float(aspect_ratio)

    def __repr__(self) -> str:
        bands = ", ".join(f"[{low:.4g}, {high:.4g}]" for low, high in self.edges)
        atom = f", atom {self.atom:.4g} at 0" if self.atom else ""
        return f"Spectrum(d/N = {self.aspect_ratio:g}, density on {bands or 'nothing'}{atom})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{low:.6g}</td><td>{high:.6g}</td></tr>" for low, high in self.edges)
        return (
            f"<p><b>Spectrum</b> at d/N = {self.aspect_ratio:g}, mass {self.atom:.4g} at 0; the density is positive on"
            f"</p><table><tr><th>from</th><th>to</th></tr>{rows}</table>"
        )

    @property
    def atom(self) -> float:
        """Mass at 0: max(0, 1 − P(λ ≠ 0)/γ)."""
        return max(0.0, 1 - self.law.nonzero / self.aspect_ratio)

    @cached_property
    def edges(self) -> Array:
        """(n, 2) the ends of the n bands of the continuous part, in increasing order; infinite where μ is unbounded.

        With many classes μ of linear CE has a thin tail up to its bound 1/4, and most of the band is all but empty.
        """
        edges = self._ends.copy()
        if len(edges) == 0:
            return edges
        bound = self.law.bound
        if bound > self._bands[-1, 1]:
            edges[-1, 1] = self._position(np.array([bound]))[0] if math.isfinite(bound) else math.inf
        return edges

    def stieltjes(self, z: ArrayLike) -> Complex:
        """s(z) = ∫ dρ(x)/(x − z) at any array of complex z off the real axis, to some 1e−12.

        Raises
        ------
        InputError
            If a z is real or not finite: give ``density`` real points.
        """
        points = np.asarray(z, dtype=complex)
        if not np.isfinite(points).all() or (points.imag == 0).any():
            raise InputError("z: a point is real or not finite; give complex points off the real axis, or use density")
        if self.law.nonzero == 0:
            return np.asarray(-1 / points)
        flat = points.ravel()
        u = solve(self.law, self.aspect_ratio, flat.real, np.abs(flat.imag))
        s = -1 / (self.aspect_ratio * u)
        result: Complex = np.where(flat.imag > 0, s, s.conj()).reshape(points.shape)
        return result

    def density(self, x: ArrayLike) -> Array:
        """Density of the continuous part at any array of real x; 0 outside the bands and at their edges."""
        points = _real(x)
        if len(self._bands) == 0:
            return np.zeros(points.shape)
        _, _, u = self._inside(points)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = (-1 / (self.aspect_ratio * u)).imag / math.pi
        return np.where(u.imag > 0, value, 0.0).reshape(points.shape)

    def cdf(self, x: ArrayLike) -> Array:
        """P(eigenvalue ≤ x), atom included, at any array of real x, to some 1e−9."""
        points = _real(x)
        result = np.where(points >= 0, self.atom, 0.0).ravel()
        if len(self._bands):
            band, theta, _ = self._inside(points)
            result = result + self._panels.mass_below(band, theta)
        return np.clip(result, 0.0, 1.0).reshape(points.shape)

    def moments(self, n: int = 4) -> Array:
        """Return the moments ∫ x^k dρ, k = 1 … n ≤ 4, by quadrature of the density."""
        _order(n)
        x, weights = self.rule
        return np.array([weights @ x**k for k in range(1, n + 1)])

    def free_moments(self, n: int = 4) -> Array:
        """Return the same moments from the free cumulants κ_k = γ^{k−1} E λ^k."""
        _order(n)
        k1, k2, k3, k4 = (self.aspect_ratio ** (k - 1) * self.law.moment(k) for k in range(1, 5))
        m4 = k4 + 4 * k1 * k3 + 2 * k2**2 + 6 * k1**2 * k2 + k1**4
        return np.array([k1, k2 + k1**2, k3 + 3 * k1 * k2 + k1**3, m4][:n])

    @property
    def rule(self) -> tuple[Array, Array]:
        """Points x and weights with Σ weights · f(x) = ∫ f(x) ρ(x) dx, without the atom."""
        if len(self._bands) == 0:
            return np.zeros(0), np.zeros(0)
        return self._panels.x.ravel(), self._panels.weights.ravel()

    def grid(self, n: int = 400) -> tuple[Array, Array]:
        """Return about ``n`` increasing x and the density there, for drawing: denser where it bends, edges included."""
        if isinstance(n, bool) or not isinstance(n, Integral) or n < 2:
            raise InputError(f"n: {n!r} is not valid; give a whole number of points, 2 or more")
        x, weights = self.rule
        if len(x) == 0:
            return np.zeros(0), np.zeros(0)
        shown = np.abs(weights.cumsum() - (1 - self.atom) / 2) < (1 - self.atom) / 2 - 1e-7
        shown_x = x[shown] if shown.any() else x
        picked = np.interp(np.linspace(0, len(shown_x) - 1, n), np.arange(len(shown_x)), shown_x)
        ends = self.edges[np.isfinite(self.edges)]
        ends = ends[(ends >= picked[0] - np.ptp(picked) / 20) & (ends <= picked[-1] + np.ptp(picked) / 20)]
        picked = np.unique(np.concatenate([picked, ends[ends != 0]]))
        return picked, self.density(picked)

    @cached_property
    def _bands(self) -> Array:
        return np.array(bands(self.law, self.aspect_ratio)).reshape(-1, 2)

    @cached_property
    def _ends(self) -> Array:
        """(n, 2) x at the ends of the bands in t; 0 exactly where u is 0."""
        t = self._bands.ravel()
        return np.where(t == 0, 0.0, self._position(t)).reshape(-1, 2)

    @cached_property
    def _panels(self) -> Panels:
        return Panels.of(self.law, self.aspect_ratio, self._bands, self.free_moments())

    def _position(self, t: Array) -> Array:
        return along(self.law, self.aspect_ratio, t, *np.zeros((2, len(t))))[0].real

    @cached_property
    def _nodes(self) -> tuple[Array, Array]:
        """X and t at the ends of the bands and the nodes of the panels, increasing."""
        x = np.concatenate([self._ends[:, 0], self._panels.x.ravel(), self._ends[:, 1]])
        t = np.concatenate([self._bands[:, 0], self._panels.t.ravel(), self._bands[:, 1]])
        order = np.argsort(t)
        return np.maximum.accumulate(x[order]), t[order]

    def _inside(self, points: Array) -> tuple[NDArray[np.intp], Array, Complex]:
        """Return each point's band, or the last below it, θ there (0 or π outside the bands), and u with z(u) = x."""
        x = points.ravel()
        band = np.clip(np.searchsorted(self._ends[:, 0], x, side="right") - 1, 0, len(self._ends) - 1)
        low, high = self._ends[band].T
        a, b = self._bands[band].T
        u = np.where(x <= low, a, b).astype(complex)
        inner = np.flatnonzero((x > low) & (x < high))
        nodes_x, nodes_t = self._nodes
        above = np.clip(np.searchsorted(nodes_x, x[inner], side="right"), 1, len(nodes_x) - 1)
        bracket = np.maximum(nodes_t[above - 1], a[inner]), np.minimum(nodes_t[above], b[inner])
        start = np.interp(x[inner], nodes_x, nodes_t)
        u[inner] = solve(self.law, self.aspect_ratio, x[inner], np.zeros(len(inner)), bracket, start)
        theta = 2 * np.arctan2(np.sqrt(np.maximum(u.real - a, 0)), np.sqrt(np.maximum(b - u.real, 0)))
        return band, theta, u


def _real(x: ArrayLike) -> Array:
    points = as_numbers(x, "x")
    if np.isnan(points).any():
        raise InputError("x: it holds NaN; give real points")
    return points


def _order(n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= 4:
        raise InputError(f"n: {n!r} is not valid; give how many moments, from 1 to 4")
