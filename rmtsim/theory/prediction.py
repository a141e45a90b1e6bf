"""Results of the theory, and their dependence on N: a double sum has pairs n = k and pairs n ≠ k."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from rmtsim.model.ensemble import Ensemble


@dataclass(frozen=True)
class Prediction:
    """Expected squared Frobenius norms of the Hessian blocks of one layer.

    Attributes
    ----------
    model, loss, layer
        Which blocks; layer is ``"linear"``, ``"hidden"`` or ``"output"``.
    n_classes, aspect_ratio, width, dim, n_samples
        C (None in ``large_c``), γ = d/N, m (None for the linear model), and d, N where the value depends on them.
    diag, offdiag, ratio
        E‖H_ii‖², E‖H_ij‖² (i ≠ j) and offdiag / diag. In ``limit`` and ``large_c`` those of d×d blocks are divided
        by d. NaN where the layer has a single diagonal block (C = 1, or m = 1 for the hidden layer); infinite where
        the C → ∞ constant diverges.
    std_error_diag, std_error_offdiag, std_error_ratio
        Standard errors; 0 where the value is deterministic, NaN where it is.
    regime
        ``"limit"``: d, N → ∞ at γ and C. ``"large_c"``: C → ∞ too. ``"finite"``: exact d and N.
    diag_power, offdiag_power
        In ``large_c``, the norms behave as diag · C**diag_power and offdiag · C**offdiag_power; 0 elsewhere.
    init, data_variance, hidden_gain, last_gain, data, weights, activation
        The ensemble: see :class:`rmtsim.Ensemble`.
    note
        Why a value is NaN or infinite; empty where none is.
    """

    model: str
    loss: str
    layer: str
    n_classes: int | None
    aspect_ratio: float
    width: int | None
    dim: int | None
    n_samples: int | None
    diag: float
    offdiag: float
    ratio: float
    std_error_diag: float
    std_error_offdiag: float
    std_error_ratio: float
    regime: str
    diag_power: int
    offdiag_power: int
    init: str
    data_variance: float
    hidden_gain: float
    last_gain: float
    data: str
    weights: str
    activation: str
    note: str


class Case(NamedTuple):
    """The case to predict; ``n_classes`` is None in ``large_c``, and ``dim`` and ``n_samples`` are where d, N → ∞."""

    model: str
    loss: str
    n_classes: int | None
    aspect_ratio: float
    width: int | None
    dim: int | None
    n_samples: int | None
    regime: str
    ensemble: Ensemble


@dataclass(frozen=True)
class Terms:
    """A and B of E‖(1/N) Σ_n λ_n x_n x_nᵀ‖² = A/N + (1 − 1/N) B, for diagonal and off-diagonal blocks.

    A = E[λ² |x|⁴] comes from the N pairs n = k of the double sum, B = E[λ λ' (x·x')²] from the N(N − 1) pairs n ≠ k.
    Neither depends on N, so a sweep over aspect ratios computes them once. In the limit of d×d blocks, A and B stand
    for E λ² and (E λ)², and the value is γA + B. The variances are those of B's estimates; 0 if deterministic.
    """

    same_diag: float
    same_offdiag: float
    pair_diag: float
    pair_offdiag: float
    var_diag: float = 0.0
    var_offdiag: float = 0.0
    covariance: float = 0.0

    def scaled(self, factor: float) -> Terms:
        """Return all values times ``factor``."""
        values = (self.same_diag, self.same_offdiag, self.pair_diag, self.pair_offdiag)
        variances = (self.var_diag, self.var_offdiag, self.covariance)
        return Terms(*(factor * v for v in values), *(factor**2 * v for v in variances))

    def with_pairs(self, factor: float) -> Terms:
        """Return the same with B times ``factor``."""
        pairs = factor * self.pair_diag, factor * self.pair_offdiag
        variances = (factor**2 * v for v in (self.var_diag, self.var_offdiag, self.covariance))
        return Terms(self.same_diag, self.same_offdiag, *pairs, *variances)


@dataclass(frozen=True)
class Estimate:
    """diag, offdiag and their ratio, each with its standard error."""

    diag: float
    offdiag: float
    ratio: float
    std_error_diag: float = 0.0
    std_error_offdiag: float = 0.0
    std_error_ratio: float = 0.0


def combine(terms: Terms, same_weight: float, pair_weight: float = 1.0) -> Estimate:
    """Return same_weight · A + pair_weight · B, with standard errors; that of the ratio by the delta method."""
    diag = _plus(same_weight * terms.same_diag if same_weight else 0.0, pair_weight * terms.pair_diag)
    offdiag = _plus(same_weight * terms.same_offdiag if same_weight else 0.0, pair_weight * terms.pair_offdiag)
    # NaN where the diagonal is 0; infinite where the off-diagonal value is, whatever the diagonal one.
    ratio = math.nan if diag == 0 else math.inf if math.isinf(offdiag) else offdiag / diag
    std_error_diag, std_error_offdiag = (pair_weight * math.sqrt(v) for v in (terms.var_diag, terms.var_offdiag))
    std_error_ratio = 0.0
    if terms.var_diag:
        variance = terms.var_offdiag - 2 * ratio * terms.covariance + ratio**2 * terms.var_diag
        std_error_ratio = pair_weight * math.sqrt(max(variance, 0.0)) / diag
    if math.isnan(diag):
        std_error_diag = std_error_ratio = math.nan
    if math.isnan(offdiag):
        std_error_offdiag = std_error_ratio = math.nan
    values = (diag, offdiag, ratio, std_error_diag, std_error_offdiag, std_error_ratio)
    return Estimate(*(float(v) for v in values))  # plain floats print and serialise as such


def _plus(a: float, b: float) -> float:
    return math.nan if math.isnan(b) else a + b
