"""The structure of a full Hessian: block norms, shares of the squared norm, and a map of its entries' sizes.

The Hessian comes as panels and is never held. Its blocks belong to pairs of neurons; its parts to pairs of layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import Array, namespace, to_numpy
from rmtsim.errors import InputError
from rmtsim.full_hessian.entry_map import CellMap, EntryMap, cell_edges
from rmtsim.full_hessian.panels import Panel, offsets
from rmtsim.full_hessian.propagation import propagate, pull_back
from rmtsim.full_hessian.scaled import restored_panels
from rmtsim.kernels.scaling import OutOfRange, scaled_network
from rmtsim.model.loss import get_loss

Values = npt.NDArray[np.float64]

#: About how many cells a side of a map has, unless the part has fewer rows.
CELLS = 400


class Structure:
    """What is kept of a full Hessian H.

    Parameters
    ----------
    X, weights, y, loss, activation
        As for ``rmtsim.full_hessian.panels.panels``.
    cells
        About how many cells a side of a map has; 0: there are no maps.
    strip
        Number of neurons of the next layer for which each cross layer is mapped; 0: none.
    eigenvalues
        Whether the eigenvalues of all diagonal blocks are kept.

    Attributes
    ----------
    n_neurons, block_rows
        Neurons and inputs of each layer, so the number and size of its blocks.
    block_sqfro
        Squared Frobenius norm of every block, (neurons, neurons), layer after layer.
    maps
        Sizes of the entries of the whole, 0, and of each layer's own part, by its number from 1.
    strips
        Those of the cross layer of a and a + 1, by a from 1: rows in the cells of layer a's map, columns one by one.
    column_sqfro
        For each pair of neighbouring layers a, a + 1: the squared norm of the columns that belong to the weight from
        neuron i itself, in the blocks of neuron i: the stripes of (21).
    stripe_sqfro
        For each such pair: the squared norm of the term of the cross layer that holds the residual, in (11) and (18).
    eigenvalues
        Eigenvalues of the diagonal blocks of each layer, (blocks, rows), if they were asked for.

    Raises
    ------
    InputError
        If the dtype does not hold the entries and their squares.
    """

    def __init__(
        self,
        X: Array,
        weights: Sequence[Array],
        y: Array,
        loss: str,
        *,
        activation: str = "relu",
        cells: int = CELLS,
        strip: int = 0,
        eigenvalues: bool = False,
    ) -> None:
        self.n_neurons = [W.shape[0] for W in weights]
        self.block_rows = [W.shape[1] for W in weights]
        self._offsets = offsets(weights)
        self._first_block = np.concatenate([[0], np.cumsum(self.n_neurons)])
        self._block_starts = np.concatenate(
            [
                start + size * np.arange(n)
                for start, size, n in zip(self._offsets[:-1], self.block_rows, self.n_neurons, strict=True)
            ]
        )
        n_blocks = len(self._block_starts)
        self.block_sqfro: Values = np.zeros((n_blocks, n_blocks))
        self.column_sqfro = np.zeros(len(weights) - 1)
        try:
            self._collect(X, weights, y, loss, activation, cells=cells, strip=strip, eigenvalues=eigenvalues)
        except OutOfRange as error:
            raise InputError(f"X, W: {error}") from None

    def _collect(
        self,
        X: Array,
        weights: Sequence[Array],
        y: Array,
        loss: str,
        activation: str,
        *,
        cells: int,
        strip: int,
        eigenvalues: bool,
    ) -> None:
        xp = namespace(X)
        dtype = "float32" if X.dtype == xp.float32 else "float64"
        X, weights, scaling = scaled_network(X, weights, loss, dtype, xp, activation)
        squares = stripe_norms(X, weights, y, loss, activation)
        powers = [2 * int(scaling.entry(a, a + 1)) for a in range(len(squares))]
        self.stripe_sqfro = np.ldexp(squares, np.array(powers, dtype=np.int64))
        self.eigenvalues: list[list[Values]] = [[] for _ in weights]
        self.maps: dict[int, EntryMap] = self._maps(cells) if cells else {}
        self.strips: dict[int, CellMap] = self._strips(strip) if cells and strip else {}
        for panel in restored_panels(X, weights, y, loss, scaling, activation=activation, squares=True):
            values = to_numpy(panel.values).astype(np.float64, copy=False)
            self._add_blocks(panel, values)
            self._add_columns(panel, values)
            if eigenvalues:
                self._add_eigenvalues(panel, values)
            if cells:
                sizes = np.abs(values)
                for each in (*self.maps.values(), *self.strips.values()):
                    each.add(panel.start, sizes)

    def part(self, a: int, b: int) -> Values:
        """Squared norms of the blocks between layers a and b, counted from 0."""
        first = self._first_block
        return self.block_sqfro[first[a] : first[a + 1], first[b] : first[b + 1]]

    def outside(self, *layers: int) -> float:
        """Share of the squared norm outside the diagonal blocks, of the Hessian of these layers, or of all."""
        chosen = layers or range(len(self.n_neurons))
        index = np.concatenate([np.arange(self._first_block[a], self._first_block[a + 1]) for a in chosen])
        norms = self.block_sqfro[np.ix_(index, index)]
        total = norms.sum()
        return float(norms[off_diagonal(len(index))].sum() / total) if total else 0.0

    def grouped_blocks(self, groups: int) -> tuple[npt.NDArray[np.int64], Values]:
        """Return the first neuron of each group, ``groups`` to a layer at most, and the mean squared block norms."""
        parts = [min(n, groups) for n in self.n_neurons]
        within = [
            first + np.arange(k) * n // k
            for first, k, n in zip(self._first_block[:-1], parts, self.n_neurons, strict=True)
        ]
        starts = np.concatenate(within)
        edges = np.append(starts, self._first_block[-1])
        sums = np.add.reduceat(np.add.reduceat(self.block_sqfro, starts, axis=0), starts, axis=1)
        return edges, sums / np.outer(np.diff(edges), np.diff(edges))

    def _maps(self, cells: int) -> dict[int, EntryMap]:
        layers = zip(self.n_neurons, self.block_rows, self._offsets[:-1], strict=True)
        parts = [EntryMap(cell_edges([n], [rows], cells, start)) for n, rows, start in layers]
        if len(parts) == 1:
            return {0: parts[0]}
        return {0: EntryMap(cell_edges(self.n_neurons, self.block_rows, cells)), **dict(enumerate(parts, 1))}

    def _strips(self, neurons: int) -> dict[int, CellMap]:
        strips = {}
        for a in range(1, len(self.n_neurons)):
            start, n = self._offsets[a], min(neurons, self.n_neurons[a])
            strips[a] = CellMap(self.maps[a].rows, np.arange(start, start + n * self.block_rows[a] + 1))
        return strips

    def _add_blocks(self, panel: Panel, values: Values) -> None:
        first, (n, rows) = self._first_block[panel.layer - 1] + panel.neurons.start, self._neurons_of(panel)
        by_neuron = values.reshape(n, rows, -1)
        of_columns = np.einsum("nrc,nrc->nc", by_neuron, by_neuron)
        sums = np.add.reduceat(of_columns, self._block_starts[first:] - panel.start, axis=1)
        self.block_sqfro[first : first + n, first:] = sums
        self.block_sqfro[first:, first : first + n] = sums.T

    def _add_columns(self, panel: Panel, values: Values) -> None:
        a, i = panel.layer, panel.neurons.start
        if a == len(self.n_neurons):
            return
        columns = values[:, self._offsets[a] - panel.start : self._offsets[a + 1] - panel.start]
        own = columns.reshape(len(columns), self.n_neurons[a], self.block_rows[a])[:, :, i]
        self.column_sqfro[a - 1] += np.sum(own**2)

    def _add_eigenvalues(self, panel: Panel, values: Values) -> None:
        n, rows = self._neurons_of(panel)
        for k in range(n):
            here = slice(k * rows, (k + 1) * rows)
            self.eigenvalues[panel.layer - 1].append(
                np.asarray(np.linalg.eigvalsh(values[here, here]), dtype=np.float64)
            )

    def _neurons_of(self, panel: Panel) -> tuple[int, int]:
        return panel.neurons.stop - panel.neurons.start, self.block_rows[panel.layer - 1]


def stripe_norms(X: Array, weights: Sequence[Array], y: Array, loss: str, activation: str = "relu") -> Values:
    """Squared norm of the residual's term between layers a and a + 1, for each a.

    It is Σ_i ‖(1/N) Σ_n σ′(pre_{n,i}) h_n δ_nᵀ‖² with the inputs h of layer a and the δ of layer a + 1.
    """
    xp = namespace(X)
    seen = propagate(X, weights, xp, activation)
    _, r = get_loss(loss).value_and_residuals(seen.logits, y, xp)
    deltas = pull_back(r / X.shape[0], weights, seen.slopes, 1)
    norms = np.zeros(len(weights) - 1)
    for a, (slope, h) in enumerate(zip(seen.slopes, seen.inputs, strict=False)):
        for i in range(slope.shape[1]):
            norms[a] += float(xp.sum(((slope[:, i : i + 1] * h).mT @ deltas[a + 1]) ** 2))
    return norms


def off_diagonal(n: int) -> npt.NDArray[np.bool_]:
    """Mask of the off-diagonal entries of a matrix of order n."""
    return np.not_equal.outer(np.arange(n), np.arange(n))
