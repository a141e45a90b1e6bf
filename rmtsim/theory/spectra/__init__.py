"""Limiting spectra of Hessian blocks as d, N → ∞, d/N → γ: (37), (55), (56), (81), (82), (97)."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from rmtsim.errors import InputError
from rmtsim.model.choices import LOSSES, MODELS
from rmtsim.model.layers import D_BY_D
from rmtsim.model.loss import get_loss
from rmtsim.model.models import get_model
from rmtsim.text.checks import check_choice, check_size
from rmtsim.theory.spectra import weight_laws
from rmtsim.theory.spectra.spectrum import Spectrum
from rmtsim.theory.spectra.weight_laws import WeightLaw

__all__ = ["BLOCKS", "LAYERS", "Spectrum", "block_spectrum", "weight_laws"]

BLOCKS = ("diag", "offdiag")
LAYERS = D_BY_D


def block_spectrum(
    model: str,
    loss: str,
    layer: str,
    block: str,
    n_classes: int | None,
    aspect_ratio: float,
    width: int | None = None,
    V: ArrayLike | None = None,
    gain: float = 1.0,
    neurons: tuple[int, int] = (0, 1),
) -> Spectrum:
    """Limiting spectrum of the d×d blocks H_ii (``"diag"``) or H_ij, i ≠ j (``"offdiag"``), at d/N → ``aspect_ratio``.

    Linear CE, H_ij = −(1/N) Σ p_i p_j x xᵀ: the off-diagonal spectrum is that of −H_ij, which is positive. All others
    are those of the block itself.

    Parameters
    ----------
    model, loss, layer, block
        Which blocks; ``layer`` is ``"linear"`` or ``"hidden"``. Output blocks stay m×m and have no limiting spectrum.
    n_classes
        C. None is the limit C → ∞, where there is one: of C H_ii and −C² H_ij (linear CE), of H_ii (hidden, CE), of
        H_ii/C (hidden, MSE). The other hidden off-diagonal blocks keep depending on V.
    aspect_ratio
        γ > 0.
    width, V, neurons
        One hidden layer: m, the output weights V (C, m), given and fixed, and the neurons i, j of the block (i alone
        for ``"diag"``). V is needed at finite C, m where n_classes is None.
    gain
        CE only: variance of the linear model's logits (0.2 to 25; as C → ∞ at most 20, or 10 for offdiag), or of the
        inputs to the hidden neurons; 1 for LeCun weights.

    Raises
    ------
    InputError
        If a value is not valid, or the block has no limiting spectrum.

    Examples
    --------
    >>> spectrum = block_spectrum("linear", "ce", "linear", "diag", n_classes=10, aspect_ratio=0.5)
    >>> spectrum.moments(2).round(6).tolist() == spectrum.free_moments(2).round(6).tolist()
    True
    """
    check_choice("model", model, MODELS)
    check_choice("loss", loss, LOSSES)
    if layer == "output":
        raise InputError(
            "layer: 'output' blocks stay m by m as d grows and have no limiting spectrum; give 'linear' or 'hidden'"
        )
    check_choice("layer", layer, LAYERS)
    check_choice("block", block, BLOCKS)
    wanted = get_model(model).layers[0].name
    if layer != wanted:
        raise InputError(f"layer: {layer!r} is not a layer of the model {model!r}; give {wanted!r}")
    if n_classes is not None:
        check_size("n_classes", n_classes)
    if not get_loss(loss).softmax and gain != 1:
        raise InputError(f"gain: {gain!r} was given, but MSE blocks do not depend on it; leave it out")
    if not get_model(model).has_width:
        if width is not None or V is not None:
            raise InputError("width, V: the linear model has no hidden layer; leave them out")
        return Spectrum(_linear(loss, block, n_classes, gain), aspect_ratio)
    if V is None:
        return Spectrum(_hidden_limit(loss, block, n_classes, width), aspect_ratio)
    return Spectrum(_hidden(loss, block, n_classes, width, V, gain, neurons), aspect_ratio)


def _linear(loss: str, block: str, n_classes: int | None, gain: float) -> WeightLaw:
    diag = block == "diag"
    if n_classes == 1 and not diag:
        raise InputError("n_classes: with 1 class there is no off-diagonal block; give 2 or more")
    if not get_loss(loss).softmax:  # (3): H_ii = (2/N) Σ x xᵀ, H_ij = 0
        return weight_laws.bernoulli(2.0 if diag else 0.0, 1.0)
    if n_classes is None:
        return weight_laws.lognormal(gain if diag else 2 * gain)
    return weight_laws.linear_ce_diag(n_classes, gain) if diag else weight_laws.linear_ce_offdiag(n_classes, gain)


def _hidden_limit(loss: str, block: str, n_classes: int | None, width: int | None) -> WeightLaw:
    """Diagonal blocks as C → ∞: Var_p(v_i) → 1/m and (2/C) Σ_c v_ci² → 2/m, where the neuron is on."""
    if n_classes is not None:
        raise InputError("V: hidden blocks at finite C depend on it; give the (C, m) output weights")
    check_size("width", width)
    if block != "diag" or width is None:
        raise InputError(
            "n_classes: off-diagonal hidden blocks have no limit free of V as C grows; give V and its number of classes"
        )
    return weight_laws.bernoulli((1.0 if get_loss(loss).softmax else 2.0) / width, 0.5)


def _hidden(
    loss: str,
    block: str,
    n_classes: int | None,
    width: int | None,
    V: ArrayLike,
    gain: float,
    neurons: tuple[int, int],
) -> WeightLaw:
    i, j = _pair(neurons, block)
    array = weight_laws.check_output_weights(V, (i, j))
    for name, size, given in zip(("n_classes", "width"), array.shape, (n_classes, width), strict=True):
        if given != size and not (name == "width" and given is None):
            raise InputError(f"{name}: {given!r} does not fit V of shape {array.shape}; give {size}")
    if not get_loss(loss).softmax:  # (8), (97)
        return weight_laws.bernoulli(2 * float(np.dot(array[:, i], array[:, j])), 0.5 if i == j else 0.25)
    if i == j:
        return weight_laws.hidden_ce_diag(array, i, gain)
    return weight_laws.hidden_ce_offdiag(array, i, j, gain)


def _pair(neurons: tuple[int, int], block: str) -> tuple[int, int]:
    try:
        i, j = neurons
    except (TypeError, ValueError):
        i = j = -1
    if not isinstance(i, Integral) or not isinstance(j, Integral) or i < 0 or (i == j and block == "offdiag"):
        raise InputError(f"neurons: {neurons!r} is not valid; give two whole numbers, different ones for 'offdiag'")
    return (int(i), int(i)) if block == "diag" else (int(i), int(j))
