"""The assembled full Hessian of linear, one-hidden-layer and deep networks, from panels of its rows."""

from __future__ import annotations

from collections.abc import Sequence

from rmtsim.arguments import as_network, check_labelled
from rmtsim.arrays.backend import Array
from rmtsim.full_hessian.panels import offsets, panels


def hessian(
    X: Array, V: Array, *, W: Array | Sequence[Array] | None = None, y: Array | None = None, loss: str = "ce"
) -> Array:
    """Assemble the full Hessian, symmetric: its order is C·d (linear), m·d + C·m (one hidden layer), or all weights.

    Parameters
    ----------
    X
        Data, (N, d).
    V
        Last layer, (C, d) for the linear model, (C, m) with a hidden layer of m neurons before it.
    W
        Hidden layer, (m, d), or a sequence of hidden layers from the input on, each (outputs, inputs), with ReLU after
        each; None for the linear model.
    y
        Labels, (N,) whole numbers below C; needed with a hidden layer (the cross blocks hold the residual).
    loss
        ``"ce"``: (1/N) Σ_n −log p_{n,y_n}; ``"mse"``: (1/N) Σ_n ‖f(x_n) − y_n‖²; for one output and two classes
        ``"binary_ce"``: (1/N) Σ_n log(1 + e^{−t_n f(x_n)}), ``"binary_mse"``: (1/N) Σ_n (f(x_n) − t_n)², t = 2y − 1.

    Returns
    -------
    array
        Parameters are ordered W row by row, then V row by row; same backend and dtype as X.

    Raises
    ------
    InputError
        If shapes, dtypes or labels do not fit together.

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
    X, hidden, V, y, _, xp = as_network(X, V, W=W, y=y, loss=loss)
    if hidden:
        check_labelled(y, len(hidden))
    weights = [*hidden, V]
    if y is None:  # without a hidden layer the labels do not enter
        y = xp.zeros(X.shape[0], dtype=xp.int64)
    order = offsets(weights)[-1]
    H = xp.empty((order, order), dtype=X.dtype)
    for panel in panels(X, weights, y, loss):
        rows = slice(panel.start, panel.start + panel.values.shape[0])
        H[rows, panel.start :] = panel.values
        H[panel.start :, rows] = panel.values.mT
    return H
