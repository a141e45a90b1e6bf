"""The limit of d (E s_H(t) − E s_H̃) as d, N → ∞: the error of order 1/d that the decoupling of Lemmas 1 and 2 makes.

The weights λ(u) depend on r components u ~ N(0, I_r) of a sample. By Schur's complement, tr (H − z)⁻¹ differs from its
value without these components by −(d/dz) log det S. As an average over samples, S tends to −z + E[u uᵀ λ/(1 + γλs)],
with s the limiting Stieltjes transform (37). With an independent copy of u the limit is 1/s times the identity, and
with √t u + √(1−t) ũ it is the mixture of the two, so that

    d (E s_H(t)(z) − E s_H̃(z)) → −(d/dz) log det[ 1 + t (s M − 1) ],    M = −z + E[u uᵀ λ/(1 + γλs)].

The limit is zero for λ = 1(u_i > 0), the diagonal blocks of (8): x and −x give the same x xᵀ, so those blocks are
decoupled exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, softmax

from rmtsim.errors import InputError
from rmtsim.model.loss import get_loss

Values = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

#: Scrambled Sobol points in each replication, and replications, whose spread gives the standard error.
_LOG2_POINTS, _REPLICATIONS = 15, 8

_ITERATIONS, _TOLERANCE = 10_000, 1e-13


class LimitingDifference(NamedTuple):
    """lim d (E s_H(t)(z) − E s_H̃(z)), (times, places), and the standard error of its absolute value."""

    value: Complex
    std_error: Values


def linear_ce_weights(block: str) -> Callable[[Values], Values]:
    """λ of (5) from logits U (n, C): p₁(1 − p₁) or, for the off-diagonal block, −p₁p₂."""

    def weights(U: Values) -> Values:
        p = softmax(U, axis=1)
        return np.asarray(p[:, 0] * (1 - p[:, 0]) if block == "diag" else -p[:, 0] * p[:, 1])

    return weights


def hidden_weights(V: Values, loss: str, block: str) -> Callable[[Values], Values]:
    """λ of (14), or of (8) with ``loss`` "mse", from pre-activations U (n, m) and V (C, m): block (1, 1) or (1, 2)."""
    first, second = V[:, 0], V[:, 0 if block == "diag" else 1]

    def weights(U: Values) -> Values:
        active = (U[:, 0] > 0) * (U[:, 0 if block == "diag" else 1] > 0)
        if not get_loss(loss).softmax:
            return np.asarray(2 * np.sum(first * second) * active)
        p = softmax(np.where(U > 0, U, 0.0) @ V.T, axis=1)
        centred = first - (p @ first)[:, None]
        return np.asarray(np.sum(p * centred * second, axis=1) * active)

    return weights


def limiting_difference(
    weights: Callable[[Values], Values],
    n_features: int,
    aspect_ratio: float,
    z: npt.ArrayLike,
    times: npt.ArrayLike = 1.0,
) -> LimitingDifference:
    """Return the limit of d (E s_H(t)(z) − E s_H̃(z)) as d, N → ∞ with d/N = ``aspect_ratio``.

    Parameters
    ----------
    weights
        λ (n,) from normals U (n, r).
    n_features
        r, at most 64.
    aspect_ratio
        γ > 0.
    z, times
        Places off the real axis, and times t in [0, 1]: scalars or arrays with one axis.

    Returns
    -------
    LimitingDifference
        Expectations over U are found by quasi-Monte Carlo, to about three digits; the standard error is that of
        eight replications.

    Raises
    ------
    InputError
        If an argument is out of range.
    """
    from scipy.stats import qmc  # it takes half a second to load, and few need it

    places, t = np.atleast_1d(np.asarray(z, dtype=np.complex128)), np.atleast_1d(np.asarray(times, dtype=np.float64))
    if not 0 < aspect_ratio < np.inf:
        raise InputError(f"aspect_ratio: {aspect_ratio!r} is not valid; give a positive number")
    if not 1 <= n_features <= 64:
        raise InputError(f"n_features: {n_features!r} is not valid; give a whole number from 1 to 64")
    if np.any(places.imag == 0):
        raise InputError("z: a real number is not valid; give places off the real axis")
    if np.any((t < 0) | (t > 1)):
        raise InputError("times: a number outside [0, 1] is not valid; give times of the path")
    found = []
    for replication in range(_REPLICATIONS):
        sobol = qmc.Sobol(n_features, rng=np.random.default_rng(replication))
        U = ndtri(sobol.random_base2(_LOG2_POINTS))
        found.append([_at(U, weights(U), aspect_ratio, place, t) for place in places])
    values = np.array(found).swapaxes(1, 2)
    mean = np.mean(values, axis=0)
    along = np.real(values * np.conj(mean)) / np.maximum(np.abs(mean), np.finfo(float).tiny)
    return LimitingDifference(mean, np.std(along, axis=0, ddof=1) / _REPLICATIONS**0.5)


def _at(U: Values, weights: Values, gamma: float, z: complex, t: Values) -> Complex:
    """Return the limit at one z for equally likely samples U (n, r) with these weights, (times,)."""
    s = stieltjes_of_sample(weights, gamma, z)
    kernel = weights / (1 + gamma * weights * s)
    ds = 1 / (1 / s**2 - gamma * np.mean(kernel**2))
    eye, n = np.eye(U.shape[1]), len(U)
    M = -z * eye + (U.T * kernel) @ U / n
    dM = -eye - gamma * ds * (U.T * kernel**2) @ U / n
    inner = eye + t[:, None, None] * (s * M - eye)
    slope = t[:, None, None] * (ds * M + s * dM)
    return np.asarray(-np.trace(np.linalg.solve(inner, slope), axis1=1, axis2=2))


def stieltjes_of_sample(weights: Values, gamma: float, z: complex) -> complex:
    """Solve (37) for equally likely weights by damped iteration, which keeps the signs of Im s and Im z equal."""
    s = -1 / z
    for _ in range(_ITERATIONS):
        new = complex(1 / (-z + np.mean(weights / (1 + gamma * weights * s))))
        if abs(new - s) <= _TOLERANCE * abs(new):
            return new
        s = (s + new) / 2
    raise InputError(f"z: {z} is too near the real axis; give one with a larger imaginary part")
