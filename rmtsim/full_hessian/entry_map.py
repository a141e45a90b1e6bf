"""Maps of the sizes of a matrix' entries, reduced cell by cell as its rows come: every entry counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class CellMap:
    """Largest and mean |entry| in cells of a part of a symmetric matrix, whose upper triangle comes in panels.

    Parameters
    ----------
    rows, columns
        Numbers of the first rows and columns of the cells, and one past the last. The rows are those of whole panels;
        the columns come after them, or are the same.

    Attributes
    ----------
    rows, columns
        As given.
    """

    def __init__(self, rows: Indices, columns: Indices) -> None:
        self.rows, self.columns = rows, columns
        self._largest: Values = np.zeros((len(rows) - 1, len(columns) - 1))
        self._sums: Values = np.zeros_like(self._largest)

    @property
    def largest(self) -> Values:
        """Largest |entry| of each cell, (cells, cells)."""
        return self._largest

    @property
    def mean(self) -> Values:
        """Mean |entry| of each cell, (cells, cells)."""
        return np.asarray(self._sums / np.outer(np.diff(self.rows), np.diff(self.columns)))

    def add(self, start: int, sizes: Values) -> None:
        """Add |entries| of the rows from ``start`` on, (rows, columns from there on), if they are of the part."""
        if not self.rows[0] <= start < self.rows[-1]:
            return
        left, stop = max(start, int(self.columns[0])), int(self.columns[-1])
        sizes = sizes[:, left - start : stop - start]
        row_cells, row_starts = _cells(self.rows, start, start + len(sizes))
        column_cells, column_starts = _cells(self.columns, left, stop)
        here = np.ix_(row_cells, column_cells)
        tops = np.maximum.reduceat(np.maximum.reduceat(sizes, column_starts, axis=1), row_starts, axis=0)
        self._largest[here] = np.maximum(self._largest[here], tops)
        self._sums[here] += self._summed(sizes, row_starts, column_starts)

    def _summed(self, sizes: Values, row_starts: Indices, column_starts: Indices) -> Values:
        return np.asarray(np.add.reduceat(np.add.reduceat(sizes, column_starts, axis=1), row_starts, axis=0))


class EntryMap(CellMap):
    """The same of a square part on the diagonal, both of its triangles.

    Parameters
    ----------
    edges
        Numbers of the first rows of the cells, and one past the last: the part's rows and columns.
    """

    def __init__(self, edges: Indices) -> None:
        super().__init__(edges, edges)

    @property
    def largest(self) -> Values:
        """Largest |entry| of each cell, (cells, cells)."""
        return np.maximum(self._largest, self._largest.T)

    @property
    def mean(self) -> Values:
        """Mean |entry| of each cell, (cells, cells)."""
        sizes = np.diff(self.rows)
        return np.asarray((self._sums + self._sums.T) / np.outer(sizes, sizes))

    def _summed(self, sizes: Values, row_starts: Indices, column_starts: Indices) -> Values:
        sums = super()._summed(sizes, row_starts, column_starts)
        own = super()._summed(sizes[:, : len(sizes)], row_starts, row_starts)
        sums[:, : own.shape[1]] -= own / 2  # the panel's own square is there with both its triangles
        return sums


def _cells(edges: Indices, start: int, stop: int) -> tuple[Indices, Indices]:
    """Cells that the rows or columns from ``start`` to ``stop`` lie in, and where each begins, from ``start``."""
    first, last = np.searchsorted(edges, [start, stop - 1], side="right") - 1
    cells = np.arange(first, last + 1)
    return cells, np.maximum(edges[cells] - start, 0)


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
