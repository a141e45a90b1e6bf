"""The terms A and B of every model, loss and layer, for a given ensemble."""

from __future__ import annotations

from collections.abc import Iterator

from rmtsim.errors import InputError
from rmtsim.model.ensemble import LECUN, Scales
from rmtsim.model.layers import CROSS, D_BY_D, HIDDEN, OUTPUT
from rmtsim.model.loss import get_loss
from rmtsim.theory import cross, linear, one_hidden_ce_large_c, one_hidden_mse, two_matrices
from rmtsim.theory.laws import FIXED_LENGTH, check_laws
from rmtsim.theory.neuron_pairs import n_coordinates
from rmtsim.theory.one_hidden_ce import hidden_same, output_same
from rmtsim.theory.one_hidden_ce_pairs import pair_terms
from rmtsim.theory.prediction import Case, Terms
from rmtsim.theory.quasi_monte_carlo import check_coordinates

#: Largest gain with cross-entropy, and in the linear model over d: the moments of a saturated softmax need fine grids.
MOST_GAIN, MOST_GAIN_OVER_DIM = 64.0, 2.0


def terms(case: Case, layers: tuple[str, ...], target_rse: float) -> Iterator[tuple[str, Terms]]:
    """Yield A and B of each of ``layers`` at finite C, in the limit where the case has no dim."""
    scales = check_case(case, layers)
    for layer in layers:
        found = _of_layer(case, layer, scales.gain, target_rse).scaled(_prefactor(layer, scales))
        yield layer, _with_pair_limit(case, layer, found)


def check_case(case: Case, layers: tuple[str, ...]) -> Scales:
    """Return the scales of the case's ensemble; raise InputError, at once, where the theory does not hold."""
    scales = ensemble_scales(case)
    check_laws(case, layers)
    if get_loss(case.loss).softmax and case.width is not None and (case.n_classes or 0) > 1:
        for layer in layers:
            of_pair = cross.n_coordinates if layer == CROSS.name else n_coordinates
            check_coordinates(of_pair(case.width, case.dim))
    return scales


def large_c_terms(case: Case, layers: tuple[str, ...]) -> Iterator[tuple[str, Terms]]:
    """Yield A and B of each of ``layers`` to leading order as C → ∞."""
    scales = ensemble_scales(case)
    check_laws(case, layers)
    for layer in layers:
        found = _of_layer_large_c(case, layer, scales.gain).scaled(_prefactor(layer, scales))
        yield layer, _with_pair_limit(case, layer, found)


def _with_pair_limit(case: Case, layer: str, found: Terms) -> Terms:
    """Return the terms of d×d blocks in the limit with the E(x·x')²/d of the data, which is 1 for uncorrelated ones."""
    return found.with_pairs(case.ensemble.data_law.pair_limit) if case.dim is None and layer in D_BY_D else found


def _of_layer(case: Case, layer: str, gain: float, target_rse: float) -> Terms:
    """Return A and B where data and weights have unit scale and the logits alone the gain."""
    C, m, d, softmax = case.n_classes, case.width, case.dim, get_loss(case.loss).softmax
    assert C is not None
    if m is None:
        law = case.ensemble.data_law
        if not softmax:
            return linear.mse(C, d, law)
        if d is None:
            return linear.ce_limit(C, gain)
        if law.name in FIXED_LENGTH:
            return linear.ce_fixed_length(C, d, gain, law)
        return linear.ce_finite(C, d, gain)
    if not softmax:
        return _one_hidden_mse(case, layer, m, gain)
    if layer == CROSS.name:
        return cross.ce(C, m, d, gain, target_rse)
    pairs = pair_terms(C, m, d, gain, target_rse)
    if layer == HIDDEN.name:
        same, first = hidden_same(C, m, d, gain), 0
    else:
        same, first = ((0.0, 0.0) if d is None else output_same(C, m, d, gain)), 2
    diag, offdiag = pairs.mean[first : first + 2].tolist()
    (var_diag, covariance), (_, var_offdiag) = pairs.covariance[first : first + 2, first : first + 2].tolist()
    return Terms(*same, diag, offdiag, var_diag, var_offdiag, covariance)


def _of_layer_large_c(case: Case, layer: str, gain: float) -> Terms:
    m, d, softmax = case.width, case.dim, get_loss(case.loss).softmax
    if m is None:
        law = case.ensemble.data_law
        if softmax and d is not None and law.name in FIXED_LENGTH:
            return linear.ce_fixed_length_large_c(d, gain, law)
        return linear.ce_large_c(d, gain) if softmax else linear.mse(None, d, law)
    if not softmax:
        return _one_hidden_mse(case, layer, m, gain)
    if layer == CROSS.name:
        return cross.ce_large_c(d)
    block = one_hidden_ce_large_c.hidden if layer == HIDDEN.name else one_hidden_ce_large_c.output
    return block(m, d, gain)


def _one_hidden_mse(case: Case, layer: str, width: int, gain: float) -> Terms:
    """Return A and B of a layer; those of leading order where the case has no n_classes."""
    C, d = case.n_classes, case.dim
    relu = case.ensemble.activation == LECUN.activation
    if layer == CROSS.name:
        return (cross.mse if relu else two_matrices.cross)(C, width, d, gain)
    if layer == OUTPUT.name:
        return (one_hidden_mse.output if relu else two_matrices.output)(C, width, d)
    geometry = one_hidden_mse.hidden_geometry if relu else two_matrices.hidden_geometry
    return one_hidden_mse.hidden(C, width, geometry(width, d))


def ensemble_scales(case: Case) -> Scales:
    """Return the scales of the case's ensemble; raise InputError if the gain is too large for cross-entropy."""
    scales = case.ensemble.scales(case.n_classes, case.width, case.dim)
    most = min(MOST_GAIN, MOST_GAIN_OVER_DIM * case.dim) if case.width is None and case.dim else MOST_GAIN
    if get_loss(case.loss).softmax and scales.gain > most:
        raise InputError(
            f"data_variance, hidden_gain, last_gain: the logits have {scales.gain:g} times their LeCun variance, and "
            f"the theory of CE knows up to {most:g} times, where the softmax is saturated; give less, or simulate"
        )
    return scales


def _prefactor(layer: str, scales: Scales) -> float:
    """Return the factor of a squared norm over that of the LeCun-shaped block, whose logits alone have the gain.

    x xᵀ has s², a hidden block's λ has ν in it, σ σᵀ has s² w; of a cross block x has s, and the rest the logits' gain.
    """
    if layer == CROSS.name:
        return scales.data
    of_weights = scales.last if layer == HIDDEN.name else scales.hidden if layer == OUTPUT.name else 1.0
    root = scales.data * of_weights
    return root * root
