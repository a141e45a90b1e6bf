"""Deep ReLU networks at LeCun initialisation: expected norms of each layer's own blocks, to leading order in 1/width.

With B_a = W_L D_{L−1} W_{L−1} ⋯ W_{a+1} D_a and S the curvature of the loss, the blocks of layer a are
H_{w_i w_j} = (1/N) Σ_n [A_a]_ij h_{a−1} h_{a−1}ᵀ, A_a = B_aᵀ S B_a. The columns of W_{a+1} are normal and independent
of all later layers, so two samples at an angle θ have

    E [A_a]_ij [A'_a]_ij = q_a² t / n_a² for i ≠ j,      E [A_a]_ii [A'_a]_ii = q_a (s + 2t) / n_a²,

s = E tr A tr A', t = E tr AA' of layer a + 1; q = (π − θ)/2π is the probability that a neuron is active at both.
Wick's theorem carries s and t through a layer of n neurons, down from s_L, t_L (C², C for S = I, for example):

    s ← ¼ (1 − 1/n) s + q (s + 2t)/n,      t ← q² (1 − 1/n) t + q (s + 2t)/n.

Without masks (all q = 1) this is exact for linear networks. To leading order it gives off-diagonal over diagonal as

    q_a [ (t_L/s_L) Π_{k>a} (2q_k)² + Σ_{k>a} (4q_k/n_k) Π_{a<l<k} (2q_l)² ],

a sum over all later layers: the number of neurons of the layer itself and of those before it do not enter. Angles are
those of infinite width (Cho and Saul, 2009); the dependence of masks and logits on the weights is neglected, which is
of relative order 1/width. With one hidden layer, or one sample, the result is exact for MSE.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import NDArray

from rmtsim.arrays.threads import single_threaded_blas
from rmtsim.errors import InputError
from rmtsim.model.choices import LOSSES
from rmtsim.model.loss import get_loss
from rmtsim.text.checks import check_choice, check_size
from rmtsim.theory.arc_cosine import relu_moments
from rmtsim.theory.quadrature import angle_rule
from rmtsim.theory.softmax_moments import laplace_table
from rmtsim.theory.two_point import PairMoments, pair_moments, table

Array = NDArray[np.float64]

_table = lru_cache(maxsize=256)(table)

#: Angles between two samples; terms of Mehler's series for their softmax, and degree of its interpolation.
_ANGLES, _TERMS, _DEGREE = 48, 48, 9


class ExpectedNorms(NamedTuple):
    """Expected mean squared Frobenius norms of the diagonal and off-diagonal blocks of a layer."""

    diag: float
    offdiag: float

    @property
    def ratio(self) -> float:
        """Off-diagonal over diagonal."""
        return self.offdiag / self.diag


class _Curvature(NamedTuple):
    """Moments of S at two samples: E tr S tr S', E tr SS', E S_11 S'_11, E S_12 S'_12."""

    s: Array
    t: Array
    diag: Array
    offdiag: Array


def deep_layers(loss: str, sizes: Sequence[int], n_samples: int) -> tuple[ExpectedNorms, ...]:
    """Return the expected norms of every layer's own blocks.

    Parameters
    ----------
    loss
        ``"ce"`` or ``"mse"``.
    sizes
        (d, n_1, …, n_{L−1}, C): inputs, neurons of each hidden layer, and classes, two or more.
    n_samples
        N.

    Returns
    -------
    tuple of ExpectedNorms
        Layers 1 to L.

    Raises
    ------
    InputError
        If a value is not valid.

    Examples
    --------
    >>> from rmtsim.theory.deep import deep_layers
    >>> wide, narrow = (deep_layers("mse", (100, 50, n, 50), n_samples=200)[0].ratio for n in (200, 20))
    >>> round(narrow / wide, 2)  # the next layer's neurons, not only the classes, set layer 1 apart
    3.63
    """
    check_choice("loss", loss, LOSSES)
    try:
        given = tuple(sizes)
    except TypeError:
        given = ()
    if len(given) < 2:
        raise InputError(f"sizes: {sizes!r} is not valid; give inputs, hidden layers if any, and two or more classes")
    names = ["d", *(f"n_{k}" for k in range(1, len(given) - 1)), "C"]
    least = [1] * (len(given) - 1) + [2]
    whole = tuple(check_size(f"sizes: {name}", n, k) for name, n, k in zip(names, given, least, strict=True))
    return _layers(loss, whole, check_size("n_samples", n_samples, most=2**53))  # as float64 holds them


@lru_cache(maxsize=4096)
def _layers(loss: str, sizes: tuple[int, ...], n_samples: int) -> tuple[ExpectedNorms, ...]:
    theta, weights = angle_rule(sizes[0], _ANGLES)
    kept = weights > 1e-12
    same = _norms(loss, sizes, np.zeros(1), same=True)
    pair = _norms(loss, sizes, theta[kept], same=False)
    share = 1 / n_samples
    mixed = [share * a[:, 0] + (1 - share) * b @ weights[kept] for a, b in zip(same, pair, strict=True)]
    return tuple(ExpectedNorms(float(diag), float(offdiag)) for diag, offdiag in mixed)


def _norms(loss: str, sizes: Sequence[int], theta: Array, *, same: bool) -> list[Array]:
    """Return E(h·h')² E [A]_ij [A']_ij of each layer, i = j and i ≠ j, (2, angles); ``same``: of one sample."""
    d = sizes[0]
    lengths = np.full_like(theta, d * (d + 2.0) if same else d**2)  # E|h|²|h'|²
    overlaps, on = [lengths * np.cos(theta) ** 2], []  # E(h·h')²; q
    for before, n in pairwise(sizes[:-1]):
        first, second = relu_moments(theta)
        on.append((math.pi - theta) / (2 * math.pi))
        lengths, own = lengths / before**2, n * second
        overlaps.append(lengths * (n * (n - 1) * first**2 + own))
        lengths = lengths * (n * (n - 1) / 4 + own)
        theta = np.arccos(np.minimum(2 * first, 1.0))
    S = _softmax(sizes[-1], 0.5 ** len(on), theta, same) if get_loss(loss).softmax else _squared(sizes[-1], theta)
    found, s, t = [overlaps[-1] * np.stack([S.diag, S.offdiag])], S.s, S.t
    for n, q, overlap in zip(sizes[-2:0:-1], on[::-1], overlaps[-2::-1], strict=True):
        own = q * (s + 2 * t)
        found.append(overlap / n**2 * np.stack([own, q**2 * t]))
        s, t = (1 - 1 / n) * s / 4 + own / n, (1 - 1 / n) * q**2 * t + own / n
    return found[::-1]


def _squared(n_classes: int, theta: Array) -> _Curvature:
    one = np.ones_like(theta)
    return _Curvature(4.0 * n_classes**2 * one, 4.0 * n_classes * one, 4 * one, 0 * one)


def _softmax(n_classes: int, variance: float, theta: Array, same: bool) -> _Curvature:
    """S = diag(p) − p pᵀ of normal logits; the variance of tr S, of order 1/C³, is neglected in s."""
    C, p = n_classes, laplace_table(n_classes, variance)
    s = np.full_like(theta, (1 - C * p.distinct([(2, 0, 0)])) ** 2)
    if same:
        two = p.distinct([(2, 0, 0), (2, 0, 0)])
        own = p.distinct([(2, 0, 0)]) - 2 * p.distinct([(3, 0, 0)]) + p.distinct([(4, 0, 0)])
        diag, offdiag = np.full_like(theta, own), np.full_like(theta, two)
    else:
        diag, offdiag = _pair_moments(C, variance, np.cos(theta))
    return _Curvature(s, C * diag + C * (C - 1) * offdiag, diag, offdiag)


def _pair_moments(n_classes: int, variance: float, rho: Array) -> tuple[Array, Array]:
    """E S_11 S'_11 and E S_12 S'_12 at correlations of the logits, interpolated: they are analytic there."""
    sample = _table(n_classes, variance, _TERMS)
    ends = [rho.min(), rho.max()]
    moments: list[PairMoments] = []

    def tabulate(points: Array) -> Array:
        moments.extend(pair_moments(sample, sample, float(at)) for at in points)
        return np.array([m.diag for m in moments])

    with single_threaded_blas():  # many small products
        diag = Chebyshev.interpolate(tabulate, _DEGREE, ends)
    offdiag = Chebyshev.interpolate(lambda points: np.array([m.offdiag for m in moments]), _DEGREE, ends)
    return diag(rho), offdiag(rho)
