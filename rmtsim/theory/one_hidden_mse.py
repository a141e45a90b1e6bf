"""One hidden layer, MSE: hidden blocks (8) and output blocks (9), exact at every C, d, N and m."""

from __future__ import annotations

import math

import numpy as np

from rmtsim.theory.arc_cosine import relu_moments
from rmtsim.theory.prediction import Terms
from rmtsim.theory.quadrature import angle_rule


def hidden(n_classes: int | None, width: int, on: Terms) -> Terms:
    """Theorem 2 for H_{w_i w_j} = (2/N) Σ_n (Σ_c v_ci v_cj) σ′_{n,i} σ′_{n,j} x_n x_nᵀ, ``on`` from `hidden_geometry`.

    V is independent of the rest: E(Σ_c v_ci²)² = (C² + 2C)/m² and E(Σ_c v_ci v_cj)² = C/m². ``n_classes`` None gives
    the leading constants of the diagonal blocks / C² and of the off-diagonal blocks / C.
    """
    factors = (1.0, 1.0) if n_classes is None else (n_classes**2 + 2.0 * n_classes, float(n_classes))
    diag, offdiag = (4 * factor / width**2 for factor in factors)
    return Terms(diag * on.same_diag, offdiag * on.same_offdiag, diag * on.pair_diag, offdiag * on.pair_offdiag)


def hidden_geometry(width: int, dim: int | None) -> Terms:
    """Return A and B for the weights 1_{n,i} (diag) and 1_{n,i} 1_{n,j} (off-diagonal).

    A: E|x|⁴ = d(d+2), and a neuron is on with probability 1/2. B: E(x·x')² f(θ) = d² E[cos²θ f(θ)], and a neuron is
    on at two samples at angle θ with probability p(θ) = (π − θ)/2π; the mean of d² cos²θ p(θ) is d/4 by symmetry.
    """
    if dim is None:
        same, pair_diag, pair_offdiag = 1.0, 0.25, 0.0625
    else:
        theta, weights = angle_rule(dim)
        on_twice = (math.pi - theta) / (2 * math.pi)
        same, pair_diag = dim * (dim + 2.0), dim / 4
        pair_offdiag = dim**2 * float(weights @ (np.cos(theta) ** 2 * on_twice**2))
    if width == 1:
        return Terms(same / 2, math.nan, pair_diag, math.nan)
    return Terms(same / 2, same / 4, pair_diag, pair_offdiag)


def output(n_classes: int | None, width: int, dim: int | None) -> Terms:
    """H_{v_i v_i} = (2/N) Σ_n σ_n σ_nᵀ, H_{v_i v_j} = 0; ``dim`` None gives the limit, where A/N vanishes.

    E|σ|⁴ = (1 + 2/d) [3m/2 + m(m−1)/4]; E(σ·σ')² = E_θ[m k₂(θ) + m(m−1) k₁(θ)²], with E[|x|²|x'|²/d²] = 1.
    """
    offdiag = math.nan if n_classes == 1 else 0.0
    same = 0.0 if dim is None else (1 + 2 / dim) * (1.5 * width + width * (width - 1) / 4)
    return Terms(4 * same, offdiag, 4 * sigma_overlap(width, dim), offdiag)


def sigma_overlap(width: int, dim: int | None) -> float:
    """E(σ·σ')² for two independent samples; ``dim`` None is d → ∞, where they are orthogonal."""
    theta, weights = (np.array([math.pi / 2]), np.ones(1)) if dim is None else angle_rule(dim)
    first, second = relu_moments(theta)
    return float(weights @ (width * second + width * (width - 1) * first**2))
