"""The assembled full Hessian of linear, one-hidden-layer and deep networks, from panels of its rows."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from rmtsim.arrays.backend import Array, Module, backend_of
from rmtsim.errors import InputError
from rmtsim.full_hessian.panels import offsets
from rmtsim.full_hessian.scaled import check_certainty, restored_panels
from rmtsim.kernels.scaling import OutOfRange, scaled_network
from rmtsim.model.arguments import as_network, check_labelled
from rmtsim.model.loss import get_loss
from rmtsim.text.sizes import format_bytes


def hessian(
    X: ArrayLike,
    V: ArrayLike,
    *,
    W: ArrayLike | None = None,
    y: ArrayLike | None = None,
    loss: str = "ce",
    activation: str = "relu",
) -> Array:
    """Assemble the full Hessian of a linear model, or of a network of any depth without biases.

    The Hessian is symmetric: its order is C·d (linear), m·d + C·m (one hidden layer), or the number of all weights.

    Parameters
    ----------
    X
        Data, (N, d). Like V, W and y, any plain array of real numbers, as for `rmtsim.block_norms`.
    V
        Last layer, (C, d) for the linear model, (C, m) with a hidden layer of m neurons before it. Data come first and
        weights second, other than in `rmtsim.measure`.
    W
        Hidden layer, (m, d), or a sequence of hidden layers from the input on, each (outputs, inputs), with the
        activation after each; None for the linear model.
    y
        Labels, (N,) whole numbers below C; needed with a hidden layer (the cross blocks hold the residual).
    loss
        ``"ce"``: (1/N) Σ_n −log p_{n,y_n}; ``"mse"``: (1/N) Σ_n ‖f(x_n) − y_n‖²; for one output and two classes
        ``"binary_ce"``: (1/N) Σ_n log(1 + e^{−t_n f(x_n)}), ``"binary_mse"``: (1/N) Σ_n (f(x_n) − t_n)², t = 2y − 1; or
        a loss of your own that was registered with `rmtsim.model.loss.register_loss`.
    activation
        ``"relu"``, ``"gelu"``, ``"silu"``, ``"tanh"``, ``"identity"``, or one of your own that was
        registered with `rmtsim.model.activation.register_activation`.

    Returns
    -------
    array
        Parameters are ordered W row by row, then V row by row. Its dtype is what was computed in: NumPy's promotion of
        all dtypes given, or float64 where float32 does not hold the entries.

    Raises
    ------
    InputError
        If shapes, dtypes or labels do not fit together, the Hessian does not fit in memory, or float64 does not hold
        its entries.

    See Also
    --------
    rmtsim.layer_norms : Norms and shares of each layer's blocks, of networks of any depth, without the Hessian.
    rmtsim.block_norms : The same and those between the layers, with at most one hidden layer.

    Examples
    --------
    Every row of blocks of the linear CE Hessian sums to zero, since the probabilities sum to one:

    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> H = rmtsim.hessian(rng.normal(size=(20, 3)), rng.normal(size=(4, 3)), loss="ce")
    >>> H.shape
    (12, 12)
    >>> bool(np.allclose(H.reshape(4, 3, 4, 3).sum(axis=2), 0))
    True
    """
    samples, hidden, last, labels, dtype, xp = as_network(X, V, W=W, y=y, loss=loss)
    if hidden:
        check_labelled(labels, "the cross layers need" if len(hidden) > 1 else "the cross layer needs")
    elif get_loss(loss).curvature_needs_labels:
        check_labelled(labels, f"loss {loss!r} needs")
    elif labels is None:  # then they do not enter
        labels = xp.zeros(samples.shape[0], dtype=xp.int64)
    weights = [*hidden, last]
    for kind in dict.fromkeys((dtype, "float64")):
        _check_memory(weights, kind, xp)
        try:
            return _assembled(samples, weights, labels, loss, activation, kind, xp)
        except OutOfRange as error:
            reason = str(error)
        except MemoryError:
            raise _too_large(weights, kind, "the memory that is free") from None
    raise InputError(f"X, V: {reason}")


def _assembled(
    X: Array, weights: Sequence[Array], y: Array, loss: str, activation: str, dtype: str, xp: Module
) -> Array:
    kind = getattr(xp, dtype)
    X, *weights = (A if A.dtype == kind else xp.astype(A, kind) for A in (X, *weights))
    X, weights, scaling = scaled_network(X, weights, loss, dtype, xp, activation)
    check_certainty(X, weights, loss, dtype, xp, activation)
    order = offsets(weights)[-1]
    H = xp.empty((order, order), dtype=kind)
    for panel in restored_panels(X, weights, y, loss, scaling, activation=activation):
        rows = slice(panel.start, panel.start + panel.values.shape[0])
        H[rows, panel.start :] = panel.values
        H[panel.start :, rows] = panel.values.mT
    return H


def _check_memory(weights: Sequence[Array], dtype: str, xp: Module) -> None:
    """Raise InputError unless the Hessian, with its largest panel beside it, fits in memory."""
    there = backend_of(xp).free_memory()
    if _bytes(weights, dtype) > there:
        raise _too_large(weights, dtype, f"the {format_bytes(there)} that may be used")


def _bytes(weights: Sequence[Array], dtype: str) -> float:
    return float(offsets(weights)[-1]) ** 2 * (4 if dtype == "float32" else 8)


def _too_large(weights: Sequence[Array], dtype: str, there: str) -> InputError:
    size = f"the Hessian of {offsets(weights)[-1]:,} weights takes {format_bytes(_bytes(weights, dtype))}"
    return InputError(
        f"W, V: {size}, more than {there}; rmtsim.layer_norms gives the norms and shares of each layer without it, and "
        "rmtsim.block_norms, with at most one hidden layer, those between the layers too"
    )
