"""One hidden layer, cross-entropy, at finite C: the two-sample terms B, sampled with control variates.

A replicate draws V, what two samples share of W, and two independent sets of points. Only pairs with one point from
either set are used, so that each set may be a randomised quasi-Monte Carlo one without bias.

At finite d the replicate samples W x in few dimensions: W = T Q/√d with Q orthonormal rows spanning the rows of W, so
that W x = T y/√d with y ~ N(0, I_k), k = min(d, m), T the Bartlett factor of W Wᵀ, and x·x' = y·y' + η with η of
mean 0 and variance d − k independent of everything else: E[(x·x')² | T, y, y'] = (y·y')² + d − k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from rmtsim.errors import InputError
from rmtsim.theory.one_hidden_ce_large_c import output as output_large_c
from rmtsim.theory.one_hidden_mse import hidden_geometry, sigma_overlap
from rmtsim.threads import single_threaded_blas

Array = NDArray[np.float64]

TARGET_RSE = 3e-3
_SEED = 20250504  # fixed: the same question has the same answer
_LEAST_REPLICATES = 96
_WORK = 1.5e8  # softmax probabilities allowed at the default accuracy: about 3 s
_CHUNK = 2**20  # numbers held at once, in each of a handful of arrays
_MOST_HELD = 1e8  # 800 MB each: more is refused


@dataclass(frozen=True)
class PairEstimate:
    """Estimates of B for hidden diag, hidden off, output diag, output off (NaN where absent), and their covariance."""

    mean: Array
    covariance: Array


@lru_cache(maxsize=64)
def pair_terms(n_classes: int, width: int, dim: int | None, target_rse: float = TARGET_RSE) -> PairEstimate:
    """B = E[λλ' (x·x')²] of the hidden blocks (14), and E[λλ' (σ·σ')²] of the output blocks (15).

    ``dim`` None is the limit: WWᵀ → I and (x·x')²/d → 1, so the hidden values are divided by d. Replicates are added
    until every relative standard error is at most ``target_rse``, or the work allowed for it is spent: seconds at the
    default, growing as target_rse⁻². The covariance is that of the residuals of a linear regression on the controls.
    """
    rng = np.random.default_rng([_SEED, n_classes, width, dim or 0])
    log2_points = 5 if n_classes <= 3000 else 3  # in each set: with many classes, points cost more than they tell
    sobol = qmc.Sobol(min(width, dim or width), scramble=False).random_base2(log2_points)
    # In softmax probabilities; the terms without C stand for the cost of a replicate whose arrays are small.
    work = 2 ** (log2_points + 1) * (n_classes * max(1.0, width / 8) + 20 * width + 50)
    pairs = width * (width + 1) // 2
    held = max(2 ** (log2_points + 1), pairs) * n_classes + 2 ** (log2_points + 1) * pairs  # by one replicate
    if held > _MOST_HELD:
        raise InputError(
            f"n_classes, width: the theory of one hidden layer with CE samples arrays of {held:.2g} numbers at "
            f"{n_classes} and {width}; give sizes that keep them under {_MOST_HELD:.0g}"
        )
    batch = max(1, min(64, _CHUNK // held))
    values: list[Array] = []
    controls: list[Array] = []
    n_replicates, stop_at = 0, _LEAST_REPLICATES
    most = max(_LEAST_REPLICATES, int(_WORK * (TARGET_RSE / target_rse) ** 2 / work))
    while True:
        with single_threaded_blas():  # many small products: threads would wait for each other
            while n_replicates < stop_at:
                value, control = _replicates(rng, sobol, batch, n_classes, width, dim)
                values.append(value)
                controls.append(control)
                n_replicates += batch
        estimate = _regress(np.concatenate(values), np.concatenate(controls))
        with np.errstate(invalid="ignore", divide="ignore"):
            rse = np.sqrt(np.diag(estimate.covariance)) / estimate.mean
        if n_replicates >= most or not np.any(rse > target_rse):
            return estimate
        stop_at = min(2 * n_replicates, most)


def _regress(values: Array, controls: Array) -> PairEstimate:
    """Mean of ``values`` less their linear regression on ``controls``, whose expectations are 0."""
    scale = controls.std(axis=0)
    controls = controls[:, scale > 0] / scale[scale > 0]
    n = len(values)
    design = controls - controls.mean(axis=0)
    slope = np.linalg.lstsq(design, values - values.mean(axis=0), rcond=1e-10)[0]
    residual = values - controls @ slope
    freedom = max(n - 1 - design.shape[1], 1)
    centred = residual - residual.mean(axis=0)
    return PairEstimate(residual.mean(axis=0), centred.T @ centred / (freedom * n))


def _replicates(
    rng: np.random.Generator, sobol: Array, batch: int, n_classes: int, width: int, dim: int | None
) -> tuple[Array, Array]:
    """Values (batch, 4) and control variates (batch, ·) of ``batch`` independent replicates."""
    m, c = width, n_classes
    V = rng.standard_normal((batch, c, m)) / math.sqrt(m)
    T = _shared_factor(rng, batch, m, dim)
    # A random shift modulo 1 makes each point uniform, and keeps the set evenly spread.
    shifts = rng.random((2, batch, 1, sobol.shape[1]))
    y, y2 = ndtri(np.clip((sobol + shifts) % 1.0, 1e-16, 1 - 1e-16))
    g, g2 = (y, y2) if dim is None else (y @ T.transpose(0, 2, 1), y2 @ T.transpose(0, 2, 1))
    overlap = 1.0 if dim is None else (y @ y2.transpose(0, 2, 1)) ** 2 + dim - sobol.shape[1]

    i, j = np.triu_indices(m)
    on_diag = i == j
    VV = V[:, :, i] * V[:, :, j]
    sides = [_side(V, VV, x, i, j) for x in (g, g2)]
    (sigma, on, weights, P), (sigma2, on2, weights2, P2) = sides

    def paired(a: Array, b: Array, factor: Array | float) -> Array:
        """Mean over pairs of points of factor · Σ_k a_k b_k."""
        mean: Array = np.mean((a @ b.transpose(0, 2, 1)) * factor, axis=(1, 2))
        return mean

    sigma_sigma = sigma @ sigma2.transpose(0, 2, 1)
    hidden_diag = paired(weights[..., on_diag], weights2[..., on_diag], overlap) / m
    n_pairs = m * (m - 1) / 2
    hidden_off = paired(weights[..., ~on_diag], weights2[..., ~on_diag], overlap) / n_pairs if m > 1 else np.nan
    output_diag = paired(P * (1 - P), P2 * (1 - P2), sigma_sigma**2) / c
    squares = (P @ P2.transpose(0, 2, 1)) ** 2 - (P * P) @ (P2 * P2).transpose(0, 2, 1)
    output_off = np.mean(squares * sigma_sigma**2, axis=(1, 2)) / (c * (c - 1)) if c > 1 else np.nan
    values = np.stack(np.broadcast_arrays(hidden_diag, hidden_off, output_diag, output_off), axis=1)

    geometry = hidden_geometry(m, dim)
    centred = V - V.mean(axis=1, keepdims=True)  # λ_ij does not see the means of V over the classes
    grams = centred.transpose(0, 2, 1) @ centred
    norms = np.diagonal(grams, axis1=1, axis2=2)[:, None]
    on_i, on2_i = on[..., on_diag], on2[..., on_diag]
    controls = [
        paired(on_i, on2_i, overlap) / m - geometry.pair_diag,
        paired(on_i * norms, on2_i, overlap) / m - geometry.pair_diag * (c - 1) / m,
        paired(on_i * norms, on2_i * norms, overlap) / m - geometry.pair_diag * (c**2 - 1) / m**2,
        np.mean(sigma_sigma**2, axis=(1, 2)) - sigma_overlap(m, dim),
    ]
    if m > 1:
        gram = grams[:, i[~on_diag], j[~on_diag]][:, None]
        exact = geometry.pair_offdiag * (c - 1) / m**2
        controls.append(paired(on[..., ~on_diag] * gram, on2[..., ~on_diag] * gram, overlap) / n_pairs - exact)
        controls.extend(_class_controls(V, VV[..., ~on_diag]))
    if m > 2 and sobol.shape[1] == m:
        # The C → ∞ form of the output blocks at T = I, on the same points; beyond t = 0.4 its variance is too large.
        limit = output_large_c(m, None)
        plain = np.maximum(y, 0) @ np.maximum(y2, 0).transpose(0, 2, 1)
        for t, exact in ((1 / m, limit.pair_diag), (2 / m, limit.pair_offdiag)):
            if t <= 0.4:
                controls.append(np.mean(plain**2 * np.exp(t * plain), axis=(1, 2)) - exact)
    return values, np.stack(controls, axis=1)


def _side(V: Array, VV: Array, g: Array, i: NDArray[np.intp], j: NDArray[np.intp]) -> tuple[Array, Array, Array, Array]:
    """σ, 1_i 1_j, λ_ij = Cov_p(v_i, v_j) 1_i 1_j and p at each of the points g, the pairs i ≤ j flattened."""
    sigma = np.maximum(g, 0.0)
    P = sigma @ V.transpose(0, 2, 1)
    P -= P.max(axis=2, keepdims=True)
    np.exp(P, out=P)
    P /= P.sum(axis=2, keepdims=True)
    mean = P @ V
    on = ((g[..., i] > 0) & (g[..., j] > 0)).astype(np.float64)
    return sigma, on, (P @ VV - mean[..., i] * mean[..., j]) * on, P


def _shared_factor(rng: np.random.Generator, batch: int, m: int, dim: int | None) -> Array:
    """T/√d, (batch, m, min(d, m)): with T Tᵀ distributed as W Wᵀ · d, the Bartlett decomposition where d ≥ m."""
    if dim is None:
        return np.broadcast_to(np.eye(m), (batch, m, m))
    T = rng.standard_normal((batch, m, min(dim, m)))
    if dim >= m:
        T = np.tril(T)
        T[:, np.arange(m), np.arange(m)] = np.sqrt(rng.chisquare(dim - np.arange(m), (batch, m)))
    return T / math.sqrt(dim)


def _class_controls(V: Array, VV: Array) -> list[Array]:
    """Pair means of products of Σ_c v_ci v_cj f(v_c), f = 1, u = Σ_k v_ck, u², |v|² centred; less their expectations.

    To first order in the empirical law of the v_c, E_g λ_ij is such a sum with f close to a function of u. With the
    tilt by v_i²v_j², E u² = (m+4)/m and E|v|² = (m+4)/m, which makes the mixed means vanish.
    """
    c, m = V.shape[1:]
    u = V.sum(axis=2)
    square = (m + 4) / m
    features = np.stack([np.ones_like(u), u, u**2 - square, (V**2).sum(axis=2) - square], axis=1)
    one, first, second, norm = np.moveaxis(features @ VV, 1, 0) * m / math.sqrt(c)
    return [
        (one**2).mean(axis=1) - 1,
        (one * first).mean(axis=1),
        (first**2).mean(axis=1) - square,
        (one * second).mean(axis=1),
        (one * norm).mean(axis=1),
    ]
