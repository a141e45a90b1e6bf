"""The description of a full Hessian, as rows of one long table.

A row holds one number: ``quantity`` of a part of the Hessian after ``step`` steps, at the place ``i``, ``j``. Parts are
pairs of layers, counted from 1 (``layer``, ``other``); 0, 0 is the whole. Quantities:

| quantity | of | i, j |
|---|---|---|
| loss | 0, 0 | mean loss; at kept steps too |
| residual_sqnorm | 0, 0 | (1/N) Σ_n ‖r_n‖², r the residual |
| total_sqfro, outside | 0, 0 | ‖H‖², and its share outside the diagonal blocks |
| diag_sqfro, offdiag_sqfro | a, b | mean over diagonal (off-diagonal) blocks of ‖block‖²; for a < b all are off |
| total_sqfro, outside | a, b | ‖part‖², one triangle of H; for a = b its share outside the diagonal blocks |
| column_sqfro, stripe_sqfro | a, a + 1 | ‖columns that have stripes‖², and ‖stripes‖² (the residual's term) |
| block_sqfro | 0, 0 | ‖block‖² of the i-th and j-th neuron, a mean over groups of neurons where there are many |
| block_edge | 0, 0 | first neuron of the i-th group, and the number of neurons |
| largest, mean | 0, 0 and a, a | largest and mean abs entry in a cell of a map |
| edge | 0, 0 and a, a | first parameter of the i-th cell of that map, and one past its last |
| largest, mean | a, a + 1 | the same in a strip of the cross layer |
| edge, column_edge | a, a + 1 | first row of its i-th cell down, first column of its i-th across; one past the last |
| eigenvalue | a, a | j-th eigenvalue of the i-th diagonal block, ascending |
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.arrays.backend import Array, Module
from rmtsim.errors import InputError
from rmtsim.full_hessian.propagation import propagate
from rmtsim.full_hessian.structure import Structure, off_diagonal
from rmtsim.model.layers import BY_NAME
from rmtsim.model.loss import get_loss
from rmtsim.text.checks import check_size

#: Layers of linear models and of networks with one hidden layer, by name, as pairs of numbers.
PARTS = {name: layer.part for name, layer in BY_NAME.items()}

#: Neurons of a layer, or groups of them, for which block norms are kept.
_GROUPS = 250


@dataclass(frozen=True)
class Look:
    """Details that are kept of each Hessian beside the norms; the table ``[look]`` of specifications of training runs.

    Parameters
    ----------
    cells
        About how many cells a side of each map has; 0: no maps.
    blocks
        Whether block norms are kept.
    eigenvalues
        Whether the eigenvalues of diagonal blocks are kept.
    strip
        Number of neurons of the next layer whose columns of each cross layer are mapped one by one, so that stripes a
        column wide can be seen; 0: none. The rows of such a strip are in cells.

    Raises
    ------
    InputError
        If a number is not a whole one of at least 0.
    """

    cells: int = 0
    blocks: bool = False
    eigenvalues: bool = False
    strip: int = 0

    def __post_init__(self) -> None:
        check_size("cells", self.cells, least=0)
        check_size("strip", self.strip, least=0)

    def parameters(self) -> dict[str, Any]:
        """Return the details as parameters of a table; without ``strip`` where there is none, as tables have it."""
        found = asdict(self)
        return found if self.strip else {key: value for key, value in found.items() if key != "strip"}


def describe(
    X: Array, weights: list[Array], y: Array, loss: str, look: Look, xp: Module, activation: str = "relu"
) -> pd.DataFrame:
    """Return the rows of one Hessian, which is computed in float64.

    Raises
    ------
    InputError
        If float64 does not hold the loss, the entries and their squares.
    """
    X, weights = xp.astype(X, xp.float64), [xp.astype(W, xp.float64) for W in weights]
    with np.errstate(over="ignore", invalid="ignore"):
        logits = propagate(X, weights, xp, activation).logits
        value, r = get_loss(loss).value_and_residuals(logits, y, xp)
    if not math.isfinite(value):
        raise InputError("X, W: the loss is above what float64 holds; give X or the weights in other units")
    rows = [_row(0, 0, "loss", value), _row(0, 0, "residual_sqnorm", xp.mean(xp.sum(r**2, axis=-1)))]
    found = Structure(
        X, weights, y, loss, activation=activation, cells=look.cells, strip=look.strip, eigenvalues=look.eigenvalues
    )
    tables = [pd.DataFrame([*rows, *_norms(found)]), *_arrays(found, look)]
    return pd.concat(tables, ignore_index=True)


def _norms(found: Structure) -> Iterator[dict[str, Any]]:
    """Rows of the whole, of each layer and of each pair of layers."""
    yield _row(0, 0, "total_sqfro", found.block_sqfro.sum())
    yield _row(0, 0, "outside", found.outside())
    L = len(found.n_neurons)
    for a in range(L):
        for b in range(a, L):
            norms = found.part(a, b)
            yield _row(a + 1, b + 1, "total_sqfro", norms.sum())
            if a == b:
                yield _row(a + 1, b + 1, "diag_sqfro", np.diagonal(norms).mean())
                yield _row(a + 1, b + 1, "outside", found.outside(a))
            others = norms[off_diagonal(len(norms))] if a == b else norms
            if others.size:
                yield _row(a + 1, b + 1, "offdiag_sqfro", others.mean())
            if b == a + 1:
                yield _row(a + 1, b + 1, "column_sqfro", found.column_sqfro[a])
                yield _row(a + 1, b + 1, "stripe_sqfro", found.stripe_sqfro[a])


def _arrays(found: Structure, look: Look) -> Iterator[pd.DataFrame]:
    """Tables of what was asked for beside the norms."""
    for part, entries in found.maps.items():
        yield _vector(part, part, "edge", entries.rows)
        yield _matrix(part, part, "largest", entries.largest)
        yield _matrix(part, part, "mean", entries.mean)
    for a, cells in found.strips.items():
        yield _vector(a, a + 1, "edge", cells.rows)
        yield _vector(a, a + 1, "column_edge", cells.columns)
        yield _matrix(a, a + 1, "largest", cells.largest)
        yield _matrix(a, a + 1, "mean", cells.mean)
    if look.blocks:
        edges, norms = found.grouped_blocks(_GROUPS)
        yield _vector(0, 0, "block_edge", edges)
        yield _matrix(0, 0, "block_sqfro", norms)
    if look.eigenvalues:
        for a, values in enumerate(found.eigenvalues, 1):
            yield _matrix(a, a, "eigenvalue", np.stack(values))


def _row(layer: int, other: int, quantity: str, value: Any) -> dict[str, Any]:
    return {"layer": layer, "other": other, "quantity": quantity, "i": 0, "j": 0, "value": float(value)}


def _vector(layer: int, other: int, quantity: str, values: npt.NDArray[Any]) -> pd.DataFrame:
    return _matrix(layer, other, quantity, values[:, None])


def _matrix(layer: int, other: int, quantity: str, values: npt.NDArray[Any]) -> pd.DataFrame:
    i, j = np.indices(values.shape)
    columns = {"layer": layer, "other": other, "quantity": quantity, "i": i.ravel(), "j": j.ravel()}
    return pd.DataFrame(columns | {"value": values.ravel().astype(np.float64)})
