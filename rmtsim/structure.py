"""The structure of a full Hessian: block norms, shares of the squared norm, and a map of its entries' sizes.

The Hessian comes as panels and is never held. Its blocks belong to pairs of neurons; its parts to pairs of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rmtsim.backend import Array, namespace, to_numpy
from rmtsim.layers import propagate, pull_back
from rmtsim.losses import loss_and_residuals
from rmtsim.panels import Panel, offsets, panels

Values = npt.NDArray[np.float64]

#: About how many cells a side of the map has, unless the Hessian has fewer rows.
CELLS = 400


class Structure:
    """What is kept of a full Hessian H.

    Parameters
    ----------
    X, weights, y, loss
        As for ``rmtsim.panels.panels``.
    cells
        About how many cells a side of the map has; 0: there is no map.
    eigenvalues
        Whether the eigenvalues of all diagonal blocks are kept.

    Attributes
    ----------
    n_neurons, block_rows
        Neurons and inputs of each layer, so the number and size of its blocks.
    block_sqfro
        Squared Frobenius norm of every block, (neurons, neurons), layer after layer.
    edges
        Numbers of the first parameters of the cells, and of parameters. A block is some cells, or a cell some blocks.
    largest, mean
        Largest and mean |entry| of H in each cell, (cells, cells).
    column_sqfro
        For each pair of neighbouring layers a, a + 1: the squared norm of the columns that belong to the weight from
        neuron i itself, in the blocks of neuron i: the stripes of (21).
    stripe_sqfro
        For each such pair: the squared norm of the term of the cross layer that holds the residual, in (11) and (18).
    eigenvalues
        Eigenvalues of the diagonal blocks of each layer, (blocks, rows), if they were asked for.
    """

    def __init__(
        self,
        X: Array,
        weights: Sequence[Array],
        y: Array,
        loss: str,
        *,
        cells: int = CELLS,
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
        self.edges = cell_edges(self.n_neurons, self.block_rows, max(cells, 1))
        n_cells = len(self.edges) - 1
        self.largest: Values = np.zeros((n_cells, n_cells))
        self._sums: Values = np.zeros((n_cells, n_cells))
        self.column_sqfro = np.zeros(len(weights) - 1)
        self.stripe_sqfro = stripe_norms(X, weights, y, loss)
        self.eigenvalues: list[list[Values]] = [[] for _ in weights]
        for panel in panels(X, weights, y, loss):
            values = to_numpy(panel.values).astype(np.float64, copy=False)
            self._add_blocks(panel, values)
            self._add_columns(panel, values)
            if eigenvalues:
                self._add_eigenvalues(panel, values)
            if cells:
                self._add_cells(panel, values)
        self.largest = np.maximum(self.largest, self.largest.T)

    @cached_property
    def mean(self) -> Values:
        """Mean |entry| of each cell, (cells, cells)."""
        sizes = np.diff(self.edges)
        return np.asarray((self._sums + self._sums.T) / np.outer(sizes, sizes))

    def part(self, a: int, b: int) -> Values:
        """Squared norms of the blocks between layers a and b, counted from 0."""
        first = self._first_block
        return self.block_sqfro[first[a] : first[a + 1], first[b] : first[b + 1]]

    def outside(self, *layers: int) -> float:
        """Share of the squared norm outside the diagonal blocks, of the Hessian of these layers, or of all."""
        chosen = layers or range(len(self.n_neurons))
        index = np.concatenate([np.arange(self._first_block[a], self._first_block[a + 1]) for a in chosen])
        total = self.block_sqfro[np.ix_(index, index)].sum()
        return float(1 - self.block_sqfro[index, index].sum() / total) if total else 0.0

    def grouped_blocks(self, groups: int) -> tuple[npt.NDArray[np.int64], Values]:
        """Return where groups of neurons start, at most so many a layer, and their mean squared block norms."""
        parts = [min(n, groups) for n in self.n_neurons]
        within = [
            first + np.arange(k) * n // k
            for first, k, n in zip(self._first_block[:-1], parts, self.n_neurons, strict=True)
        ]
        starts = np.concatenate(within)
        edges = np.append(starts, self._first_block[-1])
        sums = np.add.reduceat(np.add.reduceat(self.block_sqfro, starts, axis=0), starts, axis=1)
        return edges, sums / np.outer(np.diff(edges), np.diff(edges))

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

    def _add_cells(self, panel: Panel, values: Values) -> None:
        rows, sizes = len(values), np.abs(values)
        row_cells, row_starts = self._cut(panel.start, panel.start + rows)
        column_cells, column_starts = self._cut(panel.start, self._offsets[-1])
        here = np.ix_(row_cells, column_cells)
        tops = np.maximum.reduceat(np.maximum.reduceat(sizes, column_starts, axis=1), row_starts, axis=0)
        self.largest[here] = np.maximum(self.largest[here], tops)
        sizes[:, :rows] /= 2  # the panel's own square is there with both its triangles
        self._sums[here] += np.add.reduceat(np.add.reduceat(sizes, column_starts, axis=1), row_starts, axis=0)

    def _cut(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Cells that the parameters from ``start`` to ``stop`` lie in, and where each begins, from ``start``."""
        first, last = np.searchsorted(self.edges, [start, stop - 1], side="right") - 1
        cells = np.arange(first, last + 1)
        return cells, np.maximum(self.edges[cells] - start, 0)

    def _neurons_of(self, panel: Panel) -> tuple[int, int]:
        return panel.neurons.stop - panel.neurons.start, self.block_rows[panel.layer - 1]


def cell_edges(n_neurons: Sequence[int], block_rows: Sequence[int], cells: int) -> npt.NDArray[np.int64]:
    """Return where cells start, and the number of parameters: cells of about equal size that respect blocks and layers.

    A block larger than a cell is cut into equal cells, up to one row; of smaller blocks several make a cell.
    """
    size = max(1.0, sum(n * rows for n, rows in zip(n_neurons, block_rows, strict=True)) / cells)
    edges, start = [np.zeros(1, dtype=np.int64)], 0
    for n, rows in zip(n_neurons, block_rows, strict=True):
        if rows >= size:
            parts = min(rows, round(rows / size))
            within = np.round(np.arange(1, parts + 1) * rows / parts).astype(np.int64)
            edges.append((start + np.arange(n)[:, None] * rows + within).ravel())
        else:
            parts = max(1, round(n * rows / size))
            edges.append(start + rows * np.round(np.arange(1, parts + 1) * n / parts).astype(np.int64))
        start += n * rows
    return np.concatenate(edges)


def stripe_norms(X: Array, weights: Sequence[Array], y: Array, loss: str) -> Values:
    """Squared norm of the residual's term between layers a and a + 1, for each a: Σ_i ‖(1/N) Σ_n 1_{n,i} h_n δ_nᵀ‖²."""
    xp = namespace(X)
    seen = propagate(X, weights, xp)
    _, r = loss_and_residuals(seen.logits, y, loss, xp)
    deltas = pull_back(r / X.shape[0], weights, seen.masks, 1)
    norms = np.zeros(len(weights) - 1)
    for a, (mask, h) in enumerate(zip(seen.masks, seen.inputs, strict=False)):
        for i in range(mask.shape[1]):
            norms[a] += float(xp.sum(((mask[:, i : i + 1] * h).mT @ deltas[a + 1]) ** 2))
    return norms
