"""Maps of the sizes of a matrix' entries, reduced cell by cell as its rows come: every entry counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class EntryMap:
    """Largest and mean |entry| in cells of a square part of a symmetric matrix, whose upper triangle comes in panels.

    Parameters
    ----------
    edges
        Numbers of the first rows of the cells, and one past the last: the part's rows and columns.

    Attributes
    ----------
    edges
        As given.
    """

    def __init__(self, edges: Indices) -> None:
        self.edges = edges
        self._largest: Values = np.zeros((len(edges) - 1, len(edges) - 1))
        self._sums: Values = np.zeros_like(self._largest)

    @property
    def largest(self) -> Values:
        """Largest |entry| of each cell, (cells, cells)."""
        return np.maximum(self._largest, self._largest.T)

    @property
    def mean(self) -> Values:
        """Mean |entry| of each cell, (cells, cells)."""
        sizes = np.diff(self.edges)
        return np.asarray((self._sums + self._sums.T) / np.outer(sizes, sizes))

    def add(self, start: int, sizes: Values) -> None:
        """Add |entries| of the rows from ``start`` on, (rows, columns from there on), if they are of the part."""
        stop, rows = self.edges[-1], len(sizes)
        if not self.edges[0] <= start < stop:
            return
        sizes = sizes[:, : stop - start]
        row_cells, row_starts = self._cells(start, start + rows)
        column_cells, column_starts = self._cells(start, stop)
        here = np.ix_(row_cells, column_cells)
        tops = np.maximum.reduceat(np.maximum.reduceat(sizes, column_starts, axis=1), row_starts, axis=0)
        self._largest[here] = np.maximum(self._largest[here], tops)
        sums = np.add.reduceat(np.add.reduceat(sizes, column_starts, axis=1), row_starts, axis=0)
        own = np.add.reduceat(np.add.reduceat(sizes[:, :rows], row_starts, axis=1), row_starts, axis=0)
        sums[:, : own.shape[1]] -= own / 2  # the panel's own square is there with both its triangles
        self._sums[here] += sums

    def _cells(self, start: int, stop: int) -> tuple[Indices, Indices]:
        """Cells that the rows from ``start`` to ``stop`` lie in, and where each begins, from ``start``."""
        first, last = np.searchsorted(self.edges, [start, stop - 1], side="right") - 1
        cells = np.arange(first, last + 1)
        return cells, np.maximum(self.edges[cells] - start, 0)


def cell_edges(n_neurons: Sequence[int], block_rows: Sequence[int], cells: int, start: int = 0) -> Indices:
    """Return where cells start, and where the last ends: about ``cells`` of about equal size that respect blocks.

    A block larger than a cell is cut into equal cells, down to one row; of smaller blocks several make a cell. Layers
    have ``n_neurons`` blocks of ``block_rows`` rows, from ``start`` on.
    """
    size = max(1.0, sum(n * rows for n, rows in zip(n_neurons, block_rows, strict=True)) / cells)
    edges = [np.array([start])]
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
