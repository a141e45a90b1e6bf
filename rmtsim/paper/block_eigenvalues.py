"""Eigenvalues of simulated blocks, to be compared with the limiting spectra (55), (56), (81), (82) and (97).

A block of a layer is (1/N) Σ_n λ_n u_n u_nᵀ, with u_n = x_n for the linear and the hidden layer and u_n = σ_n for the
output layer. Only the block (1, 1) or (1, 2) is formed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.arrays.backend import array_module
from rmtsim.errors import InputError
from rmtsim.model.layers import BY_NAME
from rmtsim.model.loss import get_loss
from rmtsim.model.network import forward, softmax
from rmtsim.model.point import Point
from rmtsim.sampling.draws import sample
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.text.checks import check_choice, check_size

Values = npt.NDArray[np.float64]

BLOCKS = ("diag", "offdiag")

#: The layers with symmetric blocks.
_SYMMETRIC = ("linear", "hidden", "output")


def block_weights(U: Values, V: Values, *, layer: str, loss: str, block: str) -> Values:
    """Return the weights λ_n of the block (1, 1), ``"diag"``, or (1, 2), ``"offdiag"``, with the block's sign.

    Parameters
    ----------
    U
        Logits (…, N, C) for the layers linear and output, pre-activations (…, N, m) for the hidden layer.
    V
        Last layer, (C, m); used for the hidden layer only.
    layer, loss, block
        The block: (3), (5), (9), (15) for ``"linear"`` and ``"output"``, (8), (14) for ``"hidden"``.

    Returns
    -------
    ndarray
        (…, N).
    """
    i, j = (0, 0) if block == "diag" else (0, 1)
    xp = array_module("numpy")
    softmax_curvature = get_loss(loss).softmax
    if BY_NAME[layer].is_last:
        if not softmax_curvature:
            return np.full(U.shape[:-1], 2.0 * (i == j))
        P = softmax(U, xp)
        return np.asarray(P[..., i] * ((i == j) - P[..., j]))
    a, b = V[:, i], V[:, j]
    both = (U[..., i] > 0) & (U[..., j] > 0)
    if not softmax_curvature:
        return np.asarray(2 * (a @ b) * both)
    P = softmax(np.maximum(U, 0) @ V.T, xp)
    return np.asarray((P @ (a * b) - (P @ a) * (P @ b)) * both)


def check_block(point: Point, layer: str, block: str) -> None:
    """Raise InputError unless the point has such a block, and it is symmetric."""
    check_choice("layer", layer, tuple(name for name in point.layers if name in _SYMMETRIC))
    check_choice("block", block, BLOCKS)
    of_classes = BY_NAME[layer].is_last
    if block == "offdiag" and (point.n_classes if of_classes else point.width or 1) < 2:
        need = "two classes" if of_classes else "two neurons"
        raise InputError(f"block: 'offdiag' is not valid; it needs {need}, so give more or choose 'diag'")


def block_eigenvalues(
    point: Point, block: str = "diag", draws: int | range = 1, *, seed: int = 0, layer: str | None = None
) -> pd.DataFrame:
    """Return the eigenvalues of one block of each draw.

    Parameters
    ----------
    point
        Model, loss and sizes.
    block
        ``"diag"``: the block (1, 1); ``"offdiag"``: the block (1, 2), which for linear CE is negative definite.
    draws, seed
        As in `rmtsim.simulate`, which has the same draws. The limiting spectrum of a hidden layer depends on V, which
        differs from draw to draw: compare it with theory draw by draw.
    layer
        ``"linear"``, ``"hidden"`` or ``"output"``; by default the first that the point has.

    Returns
    -------
    DataFrame
        ``point_id``, ``layer``, ``block``, ``n_classes``, ``dim``, ``n_samples``, ``width``, ``seed``, ``draw`` and
        ``eigenvalue``, ascending within a draw; a row per eigenvalue. Blocks are divided by nothing.

    Raises
    ------
    InputError
        If the point has no such block.

    Examples
    --------
    >>> from rmtsim import Point
    >>> from rmtsim.paper.block_eigenvalues import block_eigenvalues
    >>> table = block_eigenvalues(Point("linear", "ce", 10, dim=50, n_samples=100), "offdiag", draws=2)
    >>> len(table), bool(table.eigenvalue.max() < 0)
    (100, True)
    """
    layer = point.layers[0] if layer is None else layer
    check_block(point, layer, block)
    if not isinstance(draws, range):
        draws = range(check_size("draws", draws))
    check_size("seed", seed, least=0, most=MAX_SEED)
    values = np.stack([_eigenvalues_of_draw(point, draw, seed, layer, block) for draw in draws])
    return pd.DataFrame(
        {
            "point_id": point.id,
            "layer": layer,
            "block": block,
            "n_classes": point.n_classes,
            "dim": point.dim,
            "n_samples": point.n_samples,
            "width": pd.array([point.width] * values.size, dtype="Int64"),
            "seed": seed,
            "draw": np.repeat(np.asarray(draws), values.shape[1]),
            "eigenvalue": values.ravel(),
        }
    )


def _eigenvalues_of_draw(point: Point, draw: int, seed: int, layer: str, block: str) -> Values:
    xp = array_module("numpy")
    drawn = sample(point, range(draw, draw + 1), seed, dtype="float64", xp=xp)
    X, V, W = drawn.X[0], drawn.V.all()[0], None if drawn.W is None else drawn.W[0]
    features = forward(X, W, xp).features if BY_NAME[layer].is_last else X
    U = features @ (V if BY_NAME[layer].is_last or W is None else W).T
    weights = block_weights(U, V, layer=layer, loss=point.loss, block=block)
    return np.linalg.eigvalsh(features.T @ (weights[:, None] * features) / point.n_samples)
