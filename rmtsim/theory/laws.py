"""Other laws than the paper's: where the theory holds for them, and the sentence where it does not.

It is exact for normal data and weights, and for ReLU. For others,

- the linear model with MSE is exact at every size: its blocks do not depend on the weights, and the expectation of
  their squared norms on E|x|⁴ and E(x·x')² alone;
- one hidden layer without nonlinearity and with MSE is exact at every size, as polynomials of normals are
  (`rmtsim.theory.two_matrices`); other activations than ReLU and this one have no theory;
- the linear model with CE is exact with normal weights and samples of one length, where the law of the cosine of two
  samples is all that matters: `sphere` and `rademacher`;
- in the limit d, N → ∞ logits and pre-activations are normal for all data and weights whose entries are all small
  shares of their rows, whatever their law. Two samples then have x·x'/d → 0, and B of d×d blocks is proportional to
  E(x·x')²/d. With a hidden layer this takes normal V, for its fan-in stays finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rmtsim.data.row_laws import RowLaw
from rmtsim.errors import InputError
from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.model.layers import CROSS
from rmtsim.model.loss import get_loss
from rmtsim.theory.prediction import Case
from rmtsim.theory.quadrature import gauss_beta, gauss_sum_of_signs

Array = NDArray[np.float64]

#: Laws of data whose samples all have the length √d.
FIXED_LENGTH = ("sphere", "rademacher")


def check_laws(case: Case, layers: Iterable[str]) -> None:
    """Raise InputError where the theory does not hold for the laws of the case's ensemble."""
    ensemble, law = case.ensemble, case.ensemble.data_law
    linear, softmax = case.width is None, get_loss(case.loss).softmax
    usual_data, usual_weights = ensemble.data == LECUN.data, ensemble.weights == LECUN.weights
    if ensemble.activation != LECUN.activation and (softmax or ensemble.activation != "identity"):
        raise InputError(
            f"activation: the theory is that of {LECUN.activation}, and with MSE of identity, not of "
            f"{ensemble.activation} with {case.loss!r}; only draws tell"
        )
    if not usual_weights and not linear:
        raise InputError(
            f"weights: the theory of a hidden layer is that of gaussian weights, not of {ensemble.weights} ones, for "
            "the last layer has few inputs; only draws tell"
        )
    if usual_data and (usual_weights or case.dim is None or not softmax):
        return
    if not usual_data:
        _check_moments(law, case)
    if case.dim is None:
        if CROSS.name in layers and law.pair_limit != 1:
            raise InputError(
                f"data: the theory of the cross layer knows uncorrelated entries alone, not {law.text}; give other "
                "layers, or simulate"
            )
    elif not linear:
        raise InputError(
            f"data: at finite dim the theory of a hidden layer is that of gaussian data, not of {law.text}; ask for "
            "limit, or simulate"
        )
    elif softmax and not usual_weights:
        raise InputError(
            f"weights: at finite dim the theory of linear CE is that of gaussian weights, not of {ensemble.weights} "
            "ones; ask for limit, or simulate"
        )
    elif softmax and law.name not in FIXED_LENGTH:
        raise InputError(
            f"data: at finite dim the theory of linear CE is that of gaussian, {' and '.join(FIXED_LENGTH)} data, not "
            f"of {law.text}; ask for limit, or simulate"
        )


def _check_moments(law: RowLaw, case: Case) -> None:
    fourth = law.fourth_moment(case.dim or 1)
    pair = law.pair_limit if case.dim is None else law.pair_moment(case.dim)
    if math.isnan(fourth) or math.isnan(pair):
        raise InputError(f"data: the moments of {law.text} are not known; only draws tell")
    if math.isinf(fourth):
        raise InputError(
            f"data: with {law.text} entries have no fourth moment, which the theory of squared norms takes; give NU "
            "above 4, or simulate"
        )
    if math.isinf(pair):
        raise InputError(
            f"data: with {law.text} norms grow faster than d, as a few directions hold most of the variance, so there "
            "is no limit; ask for finite, or simulate"
        )


def check_spectrum(ensemble: Ensemble, has_width: bool) -> None:
    """Raise InputError where the limiting law of eigenvalues is not known to hold for an ensemble's laws.

    Data with independent entries, or on the sphere, have the law of Gaussian ones: it depends on the covariance alone.
    """
    if not ensemble.data_law.isotropic:
        raise InputError(
            f"data: the laws of eigenvalues are those of data with the covariance 1, not of {ensemble.data}; give "
            "gaussian, rademacher, uniform, student_t:NU or sphere, or simulate"
        )
    if has_width and ensemble.weights != LECUN.weights:
        raise InputError(
            f"weights: the laws of eigenvalues of a hidden layer are those of gaussian weights, not of "
            f"{ensemble.weights} ones; only draws tell"
        )
    if ensemble.activation != LECUN.activation:
        raise InputError(
            f"activation: the laws of eigenvalues are those of {LECUN.activation}, not of {ensemble.activation}; "
            "simulate"
        )


def cosines(law: str, dim: int, n_nodes: int) -> tuple[Array, Array]:
    """Return nodes and weights with E[(x·x')² f(cos)] = Σ w f(node), for a law of samples of length √d.

    The weights add up to E(x·x')² = d. On the sphere (x·x')² tilts cos² from Beta(1/2, (d−1)/2) to Beta(3/2, (d−1)/2);
    with signs d cos is a sum of d signs, whose square is left in the weight.
    """
    if law == "sphere":
        y, shares = (np.ones(1), np.ones(1)) if dim == 1 else gauss_beta(1.5, (dim - 1) / 2, n_nodes)
        return np.concatenate([np.sqrt(y), -np.sqrt(y)]), dim / 2 * np.concatenate([shares, shares])
    total, shares = gauss_sum_of_signs(dim, n_nodes + 1)
    return np.clip(total / dim, -1.0, 1.0), total**2 * shares
