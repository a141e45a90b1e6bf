"""The set of stored draws, kept as ranges without gaps, so that it stays small however many draws there are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Series(NamedTuple):
    """A series of draws, numbered from 0: those of one point, seed and layer."""

    point_id: str
    seed: int
    layer: str


class RangeSet:
    """A set of whole numbers, kept as disjoint ranges in order that do not touch."""

    __slots__ = ("_starts", "_stops")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __iter__(self) -> Iterator[range]:
        return iter([range(*ends) for ends in zip(self._starts, self._stops, strict=True)])

    def __len__(self) -> int:
        return sum(self._stops) - sum(self._starts)

    def add(self, new: range) -> list[range]:
        """Add a range; return the parts of it that were in the set before."""
        if not self._stops or new.start > self._stops[-1]:
            self._starts.append(new.start)
            self._stops.append(new.stop)
            return []
        if new.start == self._stops[-1]:  # as draws come mostly
            self._stops[-1] = new.stop
            return []
        common = self.within(new)
        first, last = bisect_left(self._stops, new.start), bisect_right(self._starts, new.stop)  # what it touches
        start, stop = min([new.start, *self._starts[first:last]]), max([new.stop, *self._stops[first:last]])
        self._starts[first:last], self._stops[first:last] = [start], [stop]
        return common

    def within(self, span: range) -> list[range]:
        """Return the parts of ``span`` that are in the set."""
        first, last = bisect_right(self._stops, span.start), bisect_left(self._starts, span.stop)
        ends = zip(self._starts[first:last], self._stops[first:last], strict=True)
        return [range(max(start, span.start), min(stop, span.stop)) for start, stop in ends]

    def gaps(self, span: range) -> list[range]:
        """Return the parts of ``span`` that are not in the set."""
        edges = [span.start, *(edge for run in self.within(span) for edge in (run.start, run.stop)), span.stop]
        return [range(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]


class Coverage(dict[Series, RangeSet]):
    """The stored draws of every series."""

    def add(self, keys: pa.Table) -> npt.NDArray[np.bool_]:
        """Add rows; return for each whether it was in the set before, or repeats another row of the table.

        Parameters
        ----------
        keys
            A table with the columns point_id, seed, draw and layer.
        """
        parts = _GaplessParts.of(keys)
        repeated = np.zeros(keys.num_rows, dtype=bool)
        repeated[parts.order[1:][parts.repeats]] = True
        for series, run, rows in parts.found:
            found = self.get(series)
            if found is None:
                found = self[series] = RangeSet()
            for common in found.add(run):
                repeated[parts.rows(rows, common)] = True
        return repeated

    def holds(self, keys: pa.Table) -> npt.NDArray[np.bool_]:
        """Return for each row whether it is in the set."""
        parts = _GaplessParts.of(keys)
        held = np.zeros(keys.num_rows, dtype=bool)
        for series, run, rows in parts.found:
            for common in self[series].within(run) if series in self else ():
                held[parts.rows(rows, common)] = True
        return held


class Request(NamedTuple):
    """Draws 0 to ``min_draws`` − 1 of a point with a seed, all layers: what a spec asks for at least."""

    point_id: str
    seed: int
    layers: tuple[str, ...]
    min_draws: int

    def is_met(self, coverage: Coverage) -> bool:
        """Whether none of these draws is missing."""
        first = range(self.min_draws)
        series = (Series(self.point_id, self.seed, layer) for layer in self.layers)
        return not any(coverage.get(one, RangeSet()).gaps(first) for one in series)


class _GaplessParts(NamedTuple):
    """The parts of a table: rows of one series without a gap between draws."""

    order: npt.NDArray[np.int64]  #: of the rows, by series and draw
    draws: npt.NDArray[np.int64]  #: in that order
    repeats: npt.NDArray[np.bool_]  #: whether each row but the first has the series and draw of the one before
    found: Iterator[tuple[Series, range, slice]]  #: of each part its series, its draws, and its places in that order

    @classmethod
    def of(cls, keys: pa.Table) -> _GaplessParts:
        (points, point), (layers, layer) = (_codes(keys[name]) for name in ("point_id", "layer"))
        seeds, seed = np.unique(keys["seed"].to_numpy(), return_inverse=True)
        number = (point * len(seeds) + seed) * len(layers) + layer
        draw = keys["draw"].to_numpy()
        order = np.lexsort((draw, number))
        number, draw = number[order], draw[order]
        same, step = np.diff(number) == 0, np.diff(draw)
        edges = np.flatnonzero(np.concatenate([[True], ~same | (step > 1), [True]])) if len(order) else np.zeros(1, int)
        starts, ends = edges[:-1], edges[1:]
        of, at_layer = np.divmod(number[starts], max(1, len(layers)))
        at_point, at_seed = np.divmod(of, max(1, len(seeds)))
        ends_of = zip(draw[starts].tolist(), (draw[ends - 1] + 1).tolist(), starts.tolist(), ends.tolist(), strict=True)
        series = zip(at_point.tolist(), seeds[at_seed].tolist(), at_layer.tolist(), strict=True)
        found = (
            (Series(points[p], s, layers[k]), range(first, stop), slice(start, end))
            for (p, s, k), (first, stop, start, end) in zip(series, ends_of, strict=True)
        )
        return cls(order, draw, same & (step == 0), found)

    def rows(self, part: slice, draws: range) -> npt.NDArray[np.int64]:
        """Return the rows of a part that have some of its draws."""
        first, last = np.searchsorted(self.draws[part], (draws.start, draws.stop))
        return self.order[part][first:last]


def _codes(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the distinct values of a text column, and for each row the index of its value."""
    encoded = column.combine_chunks()
    encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def rows_by_point(table: pa.Table) -> Iterator[tuple[str, int]]:
    """Yield each point of a table, with the number of its rows."""
    counted = table.group_by("point_id").aggregate([([], "count_all")])
    yield from zip(*(counted[name].to_pylist() for name in ("point_id", "count_all")), strict=True)


def point_batches(rows: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Divide points into batches of at most ``most`` rows; ``rows`` has the number of rows of each point.

    The order is kept, and a point with more rows has a batch of its own.
    """
    batch: list[str] = []
    held = 0
    for point, count in rows.items():
        if batch and held + count > most:
            yield batch
            batch, held = [], 0
        batch.append(point)
        held += count
    if batch:
        yield batch
