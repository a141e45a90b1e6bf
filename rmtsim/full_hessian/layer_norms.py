"""Norms of each layer's own blocks without the blocks: ‖(1/N) Σ_n λ_n h_n h_nᵀ‖² = N⁻² λᵀ K λ, K_nk = (h_n·h_k)².

The block of neurons i, j of layer a has the inputs h_{a−1} of the layer and weights λ_n = [M_a]_ij, M_a the second
derivative of sample n's loss by pre_a. That is B_aᵀ S B_a where the activation is piecewise linear, and in general,
from M_L = S down,

    M_a = D_a W_{a+1}ᵀ M_{a+1} W_{a+1} D_a + diag(σ″(pre_a) ∘ W_{a+1}ᵀ δ_{a+1}).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from rmtsim.arrays.backend import Array, Module, backend_of, namespace
from rmtsim.errors import InputError
from rmtsim.full_hessian.propagation import ForwardPass, propagate, pull_back, second_order
from rmtsim.full_hessian.scaled import check_certainty
from rmtsim.kernels.scaling import OutOfRange, restored, scaled_network
from rmtsim.model.activation import get_activation
from rmtsim.model.arguments import as_network, check_labelled
from rmtsim.model.loss import Curvature, get_loss
from rmtsim.text.sizes import format_bytes

#: Weights λ held at once.
_HELD = 2**22

#: Some neurons of a layer → their rows of M_a, (N, rows, n), in an array that may be overwritten.
_Rows: TypeAlias = Callable[[slice], Array]


class LayerNorms(NamedTuple):
    """Norms of the blocks of a layer's own Hessian, those that belong to pairs of its neurons.

    Attributes
    ----------
    diag_sqfro
        Mean of ‖H_{w_i w_i}‖²_F over all neurons.
    offdiag_sqfro
        Mean of ‖H_{w_i w_j}‖²_F over all i ≠ j; NaN for a layer of one neuron.
    ratio
        The second over the first; NaN where that is 0.
    outside
        Share of the layer's squared norm outside its diagonal blocks; NaN where all of it is 0.

    Examples
    --------
    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> [last] = rmtsim.layer_norms(rng.normal(size=(20, 5)), rng.normal(size=(4, 5)), loss="ce")
    >>> round(last.offdiag_sqfro / last.diag_sqfro - last.ratio, 12), 0 < last.outside < 1
    (0.0, True)
    """

    diag_sqfro: float
    offdiag_sqfro: float
    ratio: float
    outside: float


class Means(NamedTuple):
    """Mean squared Frobenius norms of the blocks of a layer with itself."""

    diag: float  #: H_{w_i w_i}
    offdiag: float  #: H_{w_i w_j}, i ≠ j; NaN for a layer of one neuron


def layer_norms(
    X: ArrayLike,
    V: ArrayLike,
    *,
    W: ArrayLike | None = None,
    y: ArrayLike | None = None,
    loss: str = "ce",
    activation: str = "relu",
) -> list[LayerNorms]:
    """Compute norms and shares of every layer's own blocks, for networks of any depth without biases.

    The Hessian is never formed, and all is computed in float64. The norms of what lies between two layers are those of
    `rmtsim.block_norms`, for networks with at most one hidden layer.

    Parameters
    ----------
    X, V, W
        As for `rmtsim.hessian`: data (N, d), the last layer, and the hidden layers from the input on.
    y
        Labels. They enter only where the activation is smooth, or the loss's curvature depends on them.
    loss, activation
        As for `rmtsim.hessian`: the loss, and the activation after each hidden layer.

    Returns
    -------
    list of LayerNorms
        One for each layer, from the input on: those of ``W``, then ``V``. (Layers of networks of any depth have places;
        names, by which `rmtsim.block_norms` returns a dict, they have with one hidden layer at most.) The cost is
        N² n² flops for a layer of n neurons.

    Raises
    ------
    InputError
        If shapes, dtypes or labels do not fit together, memory does not do, or float64 does not hold a norm.

    Examples
    --------
    Squared loss couples no two outputs, so nothing of the last layer lies outside its diagonal blocks:

    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> W1, W2, V = (rng.normal(size=size) for size in ((6, 5), (4, 6), (3, 4)))
    >>> norms = rmtsim.layer_norms(rng.normal(size=(20, 5)), V, W=[W1, W2], loss="mse")
    >>> [round(float(layer.outside), 3) for layer in norms]
    [0.357, 0.12, 0.0]
    """
    samples, hidden, last, labels, dtype, xp = as_network(X, V, W=W, y=y, loss=loss)
    smooth = bool(hidden) and not get_activation(activation).piecewise_linear
    if smooth or get_loss(loss).curvature_needs_labels:
        check_labelled(labels, f"activation {activation!r} needs" if smooth else f"loss {loss!r} needs")
    _check_memory(samples, [*hidden, last], smooth, xp)
    samples, *weights = (xp.astype(A, xp.float64) if dtype == "float32" else A for A in (samples, *hidden, last))
    try:
        samples, weights, scaling = scaled_network(samples, weights, loss, "float64", xp, activation)
        check_certainty(samples, weights, loss, "float64", xp, activation)
        found = []
        for a, (means, layer) in enumerate(
            zip(own_norms(samples, weights, loss, labels, activation), weights, strict=True)
        ):
            power, what = 2 * int(scaling.entry(a, a)), f"the mean squared norm of layer {a + 1}"
            diag, offdiag = (_at_own_scale(value, power, what) for value in means)
            others = (layer.shape[0] - 1) * means.offdiag if layer.shape[0] > 1 else 0.0
            total = means.diag + others
            ratio = means.offdiag / means.diag if means.diag else math.nan
            found.append(LayerNorms(diag, offdiag, ratio, others / total if total else math.nan))
    except OutOfRange as error:
        raise InputError(f"X, V: {error}") from None
    return found


def own_norms(
    X: Array, weights: Sequence[Array], loss: str, y: Array | None = None, activation: str = "relu"
) -> list[Means]:
    """Do the work of `layer_norms` for arrays that are known to be good, of order one.

    Parameters
    ----------
    X, weights
        Samples (N, d) and layers W_1 … W_L, each (outputs, inputs).
    loss, activation
        Names of a loss and of an activation.
    y
        Labels (N,), where they enter.
    """
    xp = namespace(X)
    seen = propagate(X, weights, xp, activation)
    S = get_loss(loss).curvature(seen.logits, y, xp)
    if seen.bends is None:
        rows_of = _linear_pieces(seen, weights, S, xp)
    else:
        _, r = get_loss(loss).value_and_residuals(seen.logits, y, xp)
        bent = second_order(seen, weights, pull_back(r, weights, seen.slopes, 1))
        rows_of = _smooth(seen, weights, S, bent or {}, xp)
    found = []
    for a, rows in zip(range(len(weights) - 1, -1, -1), rows_of, strict=True):
        gram = seen.inputs[a] @ seen.inputs[a].mT
        found.append(_norms(rows, weights[a].shape[0], gram**2 / X.shape[0] ** 2, xp))
    return found[::-1]


def _linear_pieces(seen: ForwardPass, weights: Sequence[Array], S: Curvature, xp: Module) -> Iterator[_Rows]:
    """Yield what gives rows of M_a = B_aᵀ S B_a, (N, rows, n), from the last layer down; M_a is never whole."""
    yield lambda rows: _rows(S, rows, xp)
    B = None  # B_a of each sample, (N, C, n)
    for a in range(len(weights) - 1, 0, -1):
        B = (weights[a][None, :, :] if B is None else B @ weights[a]) * seen.slopes[a - 1][:, None, :]
        SB = _apply(S, B)
        yield lambda rows, B=B, SB=SB: B[:, :, rows].mT @ SB  # type: ignore[misc]


def _smooth(
    seen: ForwardPass, weights: Sequence[Array], S: Curvature, bent: dict[int, Array], xp: Module
) -> Iterator[_Rows]:
    """Yield what gives rows of M_a, (N, rows, n), from the last layer down."""
    M = _rows(S, slice(0, S.diagonal.shape[1]), xp)
    yield lambda rows: _rows(S, rows, xp)
    for a in range(len(weights) - 1, 0, -1):
        slope = seen.slopes[a - 1]
        M = slope[:, :, None] * (weights[a].mT @ M @ weights[a]) * slope[:, None, :]
        for k in range(slope.shape[1]):
            M[:, k, k] += bent[a][:, k]
        yield lambda rows, M=M: M[:, rows, :] + 0.0  # type: ignore[misc]  # a copy


def _at_own_scale(value: float, power: int, what: str) -> float:
    if math.isinf(value):
        raise OutOfRange(f"{what} is above what float64 holds; give X or the weights in other units")
    return float(restored(np.float64(value), np.int64(power), np, what))


def _check_memory(X: Array, weights: Sequence[Array], smooth: bool, xp: Module) -> None:
    """Raise InputError unless the samples' Gram matrix and the derivatives of the logits fit in memory."""
    N, C = X.shape[0], weights[-1].shape[0]
    widest = max((W.shape[0] for W in weights[:-1]), default=0)
    derivatives = 3 * N * (max(widest, C) ** 2 if smooth else C * widest)
    need = 8.0 * (3 * float(N) ** 2 + derivatives + 3 * max(_HELD, N * max(W.shape[0] for W in weights)))
    there = backend_of(xp).free_memory()
    if need > there:
        raise InputError(
            f"X, W: {N:,} samples through layers of {', '.join(f'{W.shape[0]:,}' for W in weights)} neurons need "
            f"{format_bytes(need)}, more than the {format_bytes(there)} that may be used; give fewer samples"
        )


def _norms(rows_of: _Rows, n: int, K: Array, xp: Module) -> Means:
    N = K.shape[0]
    step, diag, offdiag = max(1, _HELD // (N * n)), 0.0, 0.0
    for first in range(0, n, step):
        rows = slice(first, min(first + step, n))
        weights = rows_of(rows)
        size = rows.stop - rows.start
        own = xp.zeros((N, size), dtype=K.dtype)
        for k in range(size):
            own[:, k] = weights[:, k, first + k]
            weights[:, k, first + k] = 0
        weights = xp.reshape(weights, (N, -1))
        diag += float(xp.sum(own * (K @ own)))
        offdiag += float(xp.sum(weights * (K @ weights)))
    return Means(diag / n, offdiag / (n * (n - 1)) if n > 1 else math.nan)


def _apply(S: Curvature, B: Array) -> Array:
    """Return S_n B_n, (N, C, neurons)."""
    out = S.diagonal[:, :, None] * B
    if S.rank_one is not None:
        out -= S.rank_one[:, :, None] * (S.rank_one[:, None, :] @ B)
    return out


def _rows(S: Curvature, rows: slice, xp: Module) -> Array:
    """Return some rows of S_n, (N, rows, C)."""
    out = xp.zeros((S.diagonal.shape[0], rows.stop - rows.start, S.diagonal.shape[1]), dtype=S.diagonal.dtype)
    if S.rank_one is not None:
        out -= S.rank_one[:, rows, None] * S.rank_one[:, None, :]
    for k in range(rows.stop - rows.start):
        out[:, k, rows.start + k] += S.diagonal[:, rows.start + k]
    return out
