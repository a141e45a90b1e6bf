"""One hidden layer without nonlinearity, σ(x) = x, and MSE: exact at every C, d, N and m.

The network is a product of two matrices, V W x, so all expectations are those of polynomials in independent normals:
with h = W x, whose entries have the variance |x|²/d, E|x|⁴ = d(d+2), E(x·x')² = d and E_x,x'[(x·x') xᵀM x'] = tr M.
The functions are those of `rmtsim.theory.one_hidden_mse` and `rmtsim.theory.cross`, with every sample let through.
"""

from __future__ import annotations

import math

from rmtsim.theory.prediction import Terms


def hidden_geometry(width: int, dim: int | None) -> Terms:
    """Return A = E|x|⁴ and B = E(x·x')², the same for diagonal and off-diagonal blocks; in the limit both are 1."""
    same, pair = (1.0, 1.0) if dim is None else (dim * (dim + 2.0), float(dim))
    other = math.nan if width == 1 else 1.0
    return Terms(same, other * same, pair, other * pair)


def output(n_classes: int | None, width: int, dim: int | None) -> Terms:
    """H_{v_i v_i} = (2/N) Σ_n h_n h_nᵀ, H_{v_i v_j} = 0; ``dim`` None gives the limit, where A/N vanishes.

    E|h|⁴ = m(m+2)(1 + 2/d), E(h·h')² = E‖WᵀW‖² = m(1 + (m+1)/d).
    """
    offdiag = math.nan if n_classes == 1 else 0.0
    same = 0.0 if dim is None else width * (width + 2) * (1 + 2 / dim)
    pair = width if dim is None else width * (1 + (width + 1) / dim)
    return Terms(4.0 * same, offdiag, 4.0 * pair, offdiag)


def cross(n_classes: int | None, width: int, dim: int | None, gain: float = 1.0) -> Terms:
    """Blocks x 2[(f_j − y_j) e_iᵀ + v_ji hᵀ]; ``n_classes`` None is C → ∞, ``dim`` None gives the limits of A/d and B.

    V integrates out: A/4 = E[|x|² (1/C + 2 gain (|h|² + h_i²)/m)], and the same for pairs of samples, where the labels'
    part has the mean 0 and E[x·x' h_i h'_i] = E|w_i|² = 1.
    """
    rare = 0.0 if n_classes is None else 1 / n_classes
    spread = 1.0 if dim is None else 1 + 2 / dim
    pair = 2 * gain * (width + 1) / width
    return Terms(math.nan, 4 * (rare + spread * pair) * (dim or 1), math.nan, 4 * pair)
