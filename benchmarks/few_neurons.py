"""The theory of one hidden layer with cross-entropy at few neurons and dimensions, against brute force."""

from __future__ import annotations

import math
import os
import time
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from benchmarks.report import Part, Row, Table, Target
from rmtsim.errors import InputError
from rmtsim.theory.one_hidden_ce_pairs import pair_terms

Array = NDArray[np.float64]

_NAMES = ("hidden diag", "hidden offdiag", "output diag")
_CASES = [(C, m, d) for C in (2, 3, 10) for m in (1, 2, 3) for d in (2, 3, 5, 8)]
_QUICK_CASES = [(10, 3, 8)]
_SAMPLES, _REPLICATIONS = 64, 16
_MOST_NUMBERS = 3_000_000  # of a chunk: 24 MB in each of a few arrays


def run(quick: bool) -> Part:
    """Compare the two-sample terms B, and time them."""
    log2_pairs, cases = (8, _QUICK_CASES) if quick else (14, _CASES)
    rows, z_scores, refused = [], [], []
    for case in cases:
        row: Row = dict(zip("Cmd", case, strict=True))
        start = time.process_time()
        try:
            with patch.dict(os.environ, RMTSIM_CACHE=""):  # values are computed, not looked up
                found = pair_terms(*case, 1.0)
        except InputError as error:
            refused.append(row | {"refusal": str(error)})
            continue
        row["cpu_s"] = time.process_time() - start
        mean, std_error = _brute_force(*case, log2_pairs)
        stated = np.sqrt(np.diag(found.covariance))
        for k, name in enumerate(_NAMES):
            if not math.isnan(mean[k]):
                z = (found.mean[k] - mean[k]) / math.hypot(std_error[k], stated[k])
                row |= {f"{name}, %": 100 * (found.mean[k] / mean[k] - 1), f"± {k + 1}": 100 * std_error[k] / mean[k]}
                row[f"z {k + 1}"] = z
                z_scores.append(z)
        rows.append(row)
    about = (
        "B of hidden and output blocks at gain 1: theory (at its default target, a relative error of 1e-3) over brute "
        "force, less 1, the relative standard error of brute force, and z with that and the theory's own stated error. "
        f"Brute force is {_REPLICATIONS} times 2^{log2_pairs} pairs (V, W) from scrambled Sobol' points, each with "
        f"{_SAMPLES} samples of its own, whose pairs n ≠ k give an unbiased mean. cpu s: of the theory, all values. "
        "Seed 1."
    )
    bound = 4.0  # of some 90 normal z-scores, the largest is beyond it in one of 170 runs
    targets = [Target("largest |z|", float(np.abs(z_scores).max()), bound)]
    tables = [Table("Theory against brute force", rows), Table("Refused", refused)]
    return Part(about, tables, [] if quick else targets)


def _brute_force(n_classes: int, width: int, dim: int, log2_pairs: int) -> tuple[Array, Array]:
    """Return the means of the three terms and their standard errors over replications."""
    found = [_replication(n_classes, width, dim, log2_pairs, k) for k in range(_REPLICATIONS)]
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / math.sqrt(_REPLICATIONS)


def _replication(C: int, m: int, d: int, log2_pairs: int, replication: int) -> Array:
    rng = np.random.default_rng([1, C, m, d, replication])
    cube = qmc.Sobol(C * m + m * d, rng=rng)
    fits = _MOST_NUMBERS // (_SAMPLES * (2 * C * (m + 1) + d * d + 3 * m * m))
    chunk = 1 << min(log2_pairs, int(math.log2(fits)))
    total = np.zeros(3)
    for _ in range(2**log2_pairs // chunk):
        normal = ndtri(np.clip(cube.random(chunk), 1e-16, 1 - 1e-16))
        V = normal[:, : C * m].reshape(-1, C, m) / math.sqrt(m)
        W = normal[:, C * m :].reshape(-1, m, d) / math.sqrt(d)
        total += _terms(V, W, rng.standard_normal((chunk, _SAMPLES, d))) * (chunk / 2**log2_pairs)
    return total


def _terms(V: Array, W: Array, X: Array) -> Array:
    """Means over (V, W), the first axis, of λλ' (x·x')² or λλ' (σ·σ')² over pairs of samples."""
    m = V.shape[2]
    sigma = np.maximum(X @ W.transpose(0, 2, 1), 0)
    p = np.exp(sigma @ V.transpose(0, 2, 1))  # the logits are small: few neurons of unit scale
    p /= p.sum(axis=2, keepdims=True)
    centred = V[:, None] - (p @ V)[:, :, None]
    diag = offdiag = 0.0
    for i in range(m):
        for j in range(i + 1):
            on = (sigma[..., i] > 0) & (sigma[..., j] > 0)
            value = _pairs((p * centred[..., i] * centred[..., j]).sum(axis=2) * on, X)
            diag, offdiag = (diag + value, offdiag) if i == j else (diag, offdiag + 2 * value)
    output = np.mean([_pairs(p[..., c] * (1 - p[..., c]), sigma) for c in range(V.shape[1])])
    return np.array([diag / m, offdiag / (m * (m - 1)) if m > 1 else math.nan, output])


def _pairs(weights: Array, features: Array) -> float:
    """Mean of λλ' (f·f')² over pairs n ≠ k: ‖Σ λ f fᵀ‖², less the terms n = k."""
    n = weights.shape[1]
    gram = features.transpose(0, 2, 1) @ (weights[..., None] * features)
    own = (weights**2 * (features**2).sum(axis=2) ** 2).sum(axis=1)
    return float(((gram**2).sum(axis=(1, 2)) - own).mean()) / (n * (n - 1))
