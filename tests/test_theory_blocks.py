"""The theory against explicit Hessian blocks: a plain Monte Carlo with nothing in common with either package."""

import math
from functools import cache

import numpy as np
import pytest

from rmtsim import theory
from rmtsim.model.point import Point

MODELS = [
    # model, loss, C, d, N, m, draws
    ("linear", "ce", 5, 20, 40, None, 4000),
    ("linear", "ce", 30, 10, 8, None, 4000),
    ("one_hidden", "mse", 4, 20, 40, 3, 4000),
    ("one_hidden", "mse", 3, 2, 5, 4, 8000),
    ("one_hidden", "mse", 3, 1, 5, 2, 8000),
    ("one_hidden", "ce", 4, 20, 40, 6, 3000),
    ("one_hidden", "ce", 12, 4, 6, 6, 4000),
]

#: Of the theory where it is integrated: small beside the standard errors of so many draws, which are 1 % and more.
TARGET_RSE = 6e-3


@cache
def explicit_norms(model, loss, n_classes, dim, n_samples, width, draws):
    """(draws,) samples of the mean ‖H_ii‖² and ‖H_ij‖² for each layer, from assembled blocks."""
    rng = np.random.default_rng(11)
    layers = {"linear": []} if model == "linear" else {"hidden": [], "output": [], "cross": []}
    eye = np.eye(n_classes)[:, :, None]
    for _ in range(draws):
        X = rng.normal(size=(n_samples, dim))
        features, V = X, rng.normal(size=(n_classes, dim)) / math.sqrt(dim)
        if model == "one_hidden":
            W = rng.normal(size=(width, dim)) / math.sqrt(dim)
            V = rng.normal(size=(n_classes, width)) / math.sqrt(width)
            on = X @ W.T > 0
            features = np.maximum(X @ W.T, 0)
        logits = features @ V.T
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        q = p.T  # (C, N)
        curvature = (
            eye * q[:, None] - q[:, None] * q[None]
            if loss == "ce"
            else np.broadcast_to(2 * eye, (*eye.shape[:2], n_samples))
        )
        if model == "linear":
            layers["linear"].append(_mean_norms(curvature, X))
            continue
        layers["output"].append(_mean_norms(curvature, features))
        slopes = V.T @ np.moveaxis(curvature, 2, 0)  # of each sample, (N, m, C)
        weights = np.moveaxis(slopes @ V, 0, 2) * on.T[:, None] * on.T[None]
        layers["hidden"].append(_mean_norms(weights, X))
        labels = np.eye(n_classes)[rng.integers(n_classes, size=n_samples)]
        residual = p - labels if loss == "ce" else 2 * (logits - labels)
        layers["cross"].append(_cross_norm(X, features, on, residual, slopes))
    return {layer: np.array(rows).T for layer, rows in layers.items()}


def _mean_norms(weights, features):
    """Mean ‖(1/N) Σ_n λ_n f_n f_nᵀ‖² over the diagonal and the off-diagonal blocks."""
    n, k = features.shape
    outer = (features[:, :, None] * features[:, None]).reshape(n, k * k)
    norms = ((weights @ outer / n) ** 2).sum(axis=-1)
    size = len(norms)
    return np.trace(norms) / size, (norms.sum() - np.trace(norms)) / (size * (size - 1))


def _cross_norm(X, features, on, residual, slopes):
    """Mean ‖(1/N) Σ_n 1_{n,i} x_n (r_{n,j} e_iᵀ + u_{n,ij} σ_nᵀ)‖² over all blocks; there are no diagonal ones."""
    n, m = features.shape
    rows = slopes[:, :, :, None] * features[:, None, None, :]
    rows = rows + residual[:, None, :, None] * np.eye(m)[None, :, None, :]
    active = np.moveaxis(X[:, None] * on[:, :, None], 0, 2)  # (m, d, N)
    blocks = active @ np.moveaxis(rows, 1, 0).reshape(m, n, -1) / n
    return math.nan, (blocks**2).sum() / (m * slopes.shape[2])


def _z(prediction, samples, name):
    std_error = samples.std() / math.sqrt(len(samples))
    return abs(getattr(prediction, name) - samples.mean()) / math.hypot(
        std_error, getattr(prediction, "std_error_" + name)
    )


@pytest.mark.parametrize("case", MODELS, ids=str)
def test_finite_agrees_with_explicit_blocks(case):
    model, loss, n_classes, dim, n_samples, width, _ = case
    norms = explicit_norms(*case)
    for exact in theory.finite(model, loss, n_classes, dim, n_samples, width, target_rse=TARGET_RSE):
        diag, offdiag = norms[exact.layer]
        if exact.layer == "cross":
            assert math.isnan(exact.diag)
        else:
            assert _z(exact, diag, "diag") < 4
        if loss == "mse" and exact.layer in ("linear", "output"):
            assert exact.offdiag == 0
            assert offdiag.max() == 0
        else:
            assert _z(exact, offdiag, "offdiag") < 4


@pytest.mark.parametrize("case", MODELS, ids=str)
def test_the_bare_limit_does_not_agree(case):
    """Negative control: the same comparison refuses the limit, whose finite-size correction is left out."""
    model, loss, n_classes, dim, n_samples, width, _ = case
    norms = explicit_norms(*case)
    z = {}
    for bare in theory.at_point(Point(model, loss, n_classes, dim, n_samples, width), "limit"):
        scale = 1 if bare.layer in ("output", "cross") else dim
        for k, quantity in enumerate(("diag", "offdiag")):
            if getattr(bare, quantity) > 0:
                z[bare.layer, quantity] = _z(bare, norms[bare.layer][k] / scale, quantity)
    assert max(z.values()) > 4, z


@pytest.mark.parametrize("case", [case for case in MODELS if case[1] == "ce" and case[2] < 6], ids=str)
def test_one_class_more_does_not_agree(case):
    """Negative control: nor, of few classes, do the blocks with one class more."""
    model, loss, n_classes, *sizes, draws = case
    norms = explicit_norms(model, loss, n_classes + 1, *sizes, draws)
    z = []
    for other in theory.finite(model, loss, n_classes, *sizes, target_rse=TARGET_RSE):
        z += [_z(other, norms[other.layer][k], name) for k, name in enumerate(("diag", "offdiag"))]
    assert np.nanmax(z) > 4, z
