"""One hidden layer, cross-entropy, at finite C: the two-sample terms B of hidden and output blocks.

V integrates out exactly (``log_partition``), and so do the data except (r, r', ρ) (``neuron_pairs``). The remaining
integral is over a pair of activation vectors, and its cost does not depend on C: randomised quasi-Monte Carlo, with the
large-C law in the density of the points and its exact means as control variates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rmtsim.theory.covariance_table import covariance_table, mean_curvature
from rmtsim.theory.disk_cache import kept_on_disk
from rmtsim.theory.neuron_pairs import NeuronPairs, large_c, n_coordinates, neuron_pairs
from rmtsim.theory.one_hidden_mse import hidden_geometry
from rmtsim.theory.quasi_monte_carlo import TARGET_RSE, Expectations, integrate

Array = NDArray[np.float64]

_BEYOND = 3e-4  # pairs beyond the table, of at most this share, are taken to its edge

#: The products of the operators of ``log_partition.DERIVATIVES``, by their places in (e₁, e₂, e₃, e₄).
PRODUCTS = [(i, j, f"e{i + 1}e{j + 1}") for i in range(4) for j in range(i, 4)]
_NAMES = [name for _, _, name in PRODUCTS]
_CURVATURES = {"d1": 3, "d2": 1, "d3": 2, "d4": 0}  # and the places that go with these


@kept_on_disk(Expectations, {"mean": (4,), "covariance": (4, 4)})
def pair_terms(
    n_classes: int, width: int, dim: int | None, gain: float, target_rse: float = TARGET_RSE
) -> Expectations:
    """B = E[λλ' (x·x')²] of the hidden blocks (14), and E[λλ' (σ·σ')²] of the output blocks (15).

    The order is hidden diag, hidden offdiag, output diag, output offdiag; NaN where there are no such blocks.

    ``dim`` None is the limit: ρ → 0 and (x·x')²/d → 1, so the hidden values are divided by d. ``gain`` is the variance
    of the logits over |σ|²/m; no other scale of data and weights enters here.

    Raises
    ------
    InputError
        If ``width`` or the logits are too large.
    """
    if n_classes == 1:
        return Expectations(np.array([0.0, 0.0 if width > 1 else np.nan, 0.0, np.nan]), np.zeros((4, 4)))
    found = integrate(
        lambda pilot: _Integrand(n_classes, width, dim, gain, pilot),
        3 if n_classes == 2 else 4,
        n_coordinates(width, dim),
        (n_classes, width, dim or 0),
        target_rse,
    )
    unit = np.array([dim or 1.0, dim or 1.0, 1.0, 1.0])
    values = [0, 1, 2, 2 if n_classes == 2 else 3]  # two classes: p_1p_2 is p_1(1 − p_1)
    mean, covariance = found.mean[values], found.covariance[np.ix_(values, values)]
    return Expectations(mean * unit, covariance * np.outer(unit, unit))


def reach_of(size: Array, share: Array) -> float:
    """Return the size beyond which a part _BEYOND of the sum of ``share`` lies."""
    order = np.argsort(size)[::-1]
    beyond = np.cumsum(share[order])
    return float(size[order][np.searchsorted(beyond, _BEYOND * beyond[-1])])


def within(vectors: Array, largest: float) -> Array:
    """Return the vectors, (points, m), those longer than ``largest`` shortened to it."""
    return vectors * np.minimum(1, largest / np.maximum(_norm(vectors), 1e-300))[:, None]


def sizes_and_cosine(tau: Array, tau_2: Array) -> tuple[Array, Array, Array]:
    """Return |τ|, |τ'| and the cosine between them, which is not negative and 0 where one of them is."""
    size, size_2 = _norm(tau), _norm(tau_2)
    cosine = np.einsum("ni,ni->n", tau, tau_2) / np.maximum(size * size_2, 1e-300)
    return size, size_2, np.clip(cosine, 0.0, 1.0)


class _Integrand:
    """Means over points of the values wanted, each with three control variates, (wanted, 4)."""

    def __init__(self, n_classes: int, width: int, dim: int | None, gain: float, pilot: Array) -> None:
        self._width, self._dim, self._gain = width, dim, gain
        self._scale = math.sqrt(gain / width)  # of τ = scale · σ
        # With few classes the weights saturate before they tilt.
        self._tilt = gain / width * (n_classes - 1) / (n_classes + 1)
        largest = self._reach(pilot, n_classes)
        self._of_pair = covariance_table(n_classes, largest)
        self._of_one = mean_curvature(n_classes, largest)
        self._sure = hidden_geometry(width, dim).pair_diag / (dim or 1)  # E[(x·x')² 1_i 1'_i]/d

    def __call__(self, cube: Array, wanted: NDArray[np.intp]) -> Array:
        found = np.zeros((len(wanted), 4))
        for row, k in zip(found, wanted, strict=True):
            columns = self._columns(cube, int(k))
            if self._dim == 1:  # x' is a multiple of x: the control variates are degenerate
                columns = columns[:1]
            row[: len(columns)] = [column.mean() for column in columns]
        return found

    def _pairs(self, cube: Array, tilt: float, *, weighted: bool) -> NeuronPairs:
        return neuron_pairs(cube, self._width, self._dim, tilt * self._tilt, weighted=weighted)

    def _reach(self, pilot: Array, n_classes: int) -> float:
        """Return the |τ| beyond which the integrals are negligible, by the large-C form of each and its bound.

        The moments of p are e^{τ·τ'} times what they are at p = 1/C, and at most C or C² times that, less as the
        softmax saturates; at the output they come with (σ·σ')².
        """
        reach = 0.0
        for power, weighted in ((1, True), (2, False)):
            pairs = self._pairs(pilot, power, weighted=weighted)
            overlap = self._scale**2 * pairs.overlap
            size = self._scale * np.maximum(_norm(pairs.sigma), _norm(pairs.sigma_2))
            factor = np.minimum(overlap, 1) if weighted else overlap**2 / (1 + overlap)
            bound = pairs.weight * factor * np.exp(power * np.minimum(overlap, math.log(n_classes)))
            reach = max(reach, reach_of(size, bound))
        return reach

    def _columns(self, cube: Array, value: int) -> tuple[Array, ...]:
        if value == 0:
            return self._hidden_diag(self._pairs(cube, 0.5, weighted=True))
        if value == 1:
            return self._hidden_offdiag(self._pairs(cube, 1.5, weighted=True))
        # A tilt beyond the large-C law: its control variates do not explain the part where the softmax saturates.
        if value == 2:
            return self._output(self._pairs(cube, 1.5, weighted=False), 1, "diag")
        return self._output(self._pairs(cube, 3.0, weighted=False), 2, "offdiag")

    def _derivatives(self, pairs: NeuronPairs, names: Iterable[str]) -> tuple[Array, Array, dict[str, Array]]:
        """Return τ, τ' and the two-point function; τ beyond the table are taken to its edge."""
        tau, tau_2 = (within(self._scale * side, self._of_pair.largest) for side in (pairs.sigma, pairs.sigma_2))
        return tau, tau_2, self._of_pair(*sizes_and_cosine(tau, tau_2), names)

    def _hidden_diag(self, pairs: NeuronPairs) -> tuple[Array, ...]:
        """λ_ii λ'_ii with λ_ii = (1 + ∂_i² (L − a)) 1_i / m; the leading 1 · 1 has an exact mean."""
        tau, tau_2, K = self._derivatives(pairs, [*_NAMES, *_CURVATURES])
        terms = operator_coefficients(tau, tau_2)
        total = terms.sum(axis=1)
        second = np.einsum("nia,nib->nab", terms, terms)
        fluctuation = sum(K[name] * second[:, i, j] * (2 - (i == j)) for i, j, name in PRODUCTS)
        fluctuation = fluctuation + sum(K[name] * total[:, place] for name, place in _CURVATURES.items())
        mean = np.zeros(len(tau))
        for side, place in ((tau, 1), (tau_2, 2)):
            first, curvature = self._of_one(_norm(side))
            mean += first * total[:, 3] + curvature * total[:, place]
        return ((self._sure + pairs.weight * (mean + fluctuation) / self._width) / self._width**2,)

    def _hidden_offdiag(self, pairs: NeuronPairs) -> tuple[Array, ...]:
        """λ_ij λ'_ij = Q_i Q_j K / m², Q_i the operator of ``log_partition``, over all i ≠ j."""
        m = self._width
        if m == 1:
            return (np.full(len(pairs.sigma), np.nan),)
        tau, tau_2, K = self._derivatives(pairs, _NAMES)
        terms = operator_coefficients(tau, tau_2)
        total = terms.sum(axis=1)
        distinct = total[:, :, None] * total[:, None, :] - np.einsum("nia,nib->nab", terms, terms)
        value = pairs.weight * sum(K[name] * distinct[:, i, j] * (2 - (i == j)) for i, j, name in PRODUCTS)
        limit = large_c(pairs, self._scale**2, self._scale**2)
        both = distinct[:, 0, 0] + 2 * distinct[:, 0, 3] + distinct[:, 3, 3]
        return (
            value / (m**3 * (m - 1)),
            limit.density - limit.mass,
            limit.density * pairs.overlap - limit.overlap,
            limit.density * both - m * (m - 1) * limit.both,
        )

    def _output(self, pairs: NeuronPairs, power: int, name: str) -> tuple[Array, ...]:
        """(σ·σ')² E_V[λλ'], which only pairs with a neuron in common have."""
        _, _, K = self._derivatives(pairs, [name])
        limit = large_c(pairs, power * self._scale**2, 0.0)
        return (
            pairs.weight * pairs.overlap**2 * K[name],
            limit.density - limit.mass,
            limit.density * pairs.overlap - limit.overlap,
            limit.density * pairs.overlap**2 - limit.square,
        )


def operator_coefficients(tau: Array, tau_2: Array) -> Array:
    """Coefficients (τ_iτ'_i, τ_i², τ'_i², 1) of e₁ … e₄ in ∂_{τ_i}∂_{τ'_i}, where neuron i is on at both samples."""
    on = ((tau > 0) & (tau_2 > 0)).astype(np.float64)
    return np.stack([tau * tau_2, tau**2 * on, tau_2**2 * on, on], axis=2)


def _norm(vectors: Array) -> Array:
    norms: Array = np.sqrt(np.einsum("ni,ni->n", vectors, vectors))
    return norms
