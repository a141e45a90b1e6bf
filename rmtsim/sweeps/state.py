"""The state of a spec's points: the draws that a store has of each, and those that are still wanted."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache, reduce
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rmtsim.errors import InputError
from rmtsim.kernels.cost import diagonal_classes
from rmtsim.model.ensemble import norms_have_variance
from rmtsim.model.fixed_values import fixed_values
from rmtsim.model.layers import LAST
from rmtsim.model.point import Point
from rmtsim.stats.tails import TOO_HEAVY
from rmtsim.store import Store, StoreError
from rmtsim.sweeps.spec import Sampling, Spec
from rmtsim.sweeps.stopping import TRUSTED_RSE, Tally, aim, next_checkpoint
from rmtsim.text.words import number_of

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

_MADE = ["backend", "dtype", "weights_per_draw", "classes"]  # how values were made
#: Columns of the store that the states of points are made of.
COLUMNS = ["point_id", "seed", "draw", "layer", "diag_sqfro", "offdiag_sqfro", *_MADE]

#: Largest number of draws that an extrapolation returns; it fits into 64 bits, and no run makes as many.
_MOST_NEEDED = 1e18


class PointState:
    """Draws of one point: a tally of those up to the first gap, those beyond it, and whether more are wanted.

    Memory grows only with the number of draws beyond the gap.

    Attributes
    ----------
    wanted
        Number of draws that the point needs by the draws up to the gap: its next checkpoint, or its last.
    finished
        Whether no more draws are wanted, since the target is reached and trusted, or max_draws used up. Draws from
        ``wanted`` on do not count.
    at_work
        Number of its batches that were given out and did not come back.
    """

    __slots__ = (
        "_ahead",
        "_partial",
        "_tally",
        "_values",
        "at_work",
        "finished",
        "layers",
        "point",
        "sampling",
        "wanted",
    )

    def __init__(self, point: Point, layers: tuple[str, ...], sampling: Sampling) -> None:
        self.point, self.layers, self.sampling = point, layers, sampling
        self.wanted, self.finished, self.at_work = sampling.min_draws, False, 0
        of = point.ensemble
        self._tally = Tally(
            layers,
            _fixed(point.loss, layers, point.n_classes),
            have_variance=norms_have_variance(of.data, point.loss, of.activation),
        )
        self._ahead: list[tuple[int, int]] = []  # sorted stretches (start, stop) of draws beyond the first gap
        self._values: dict[int, Values] = {}  # start → their values
        self._partial: dict[int, dict[int, list[float]]] = {}  # draws that have some of their layers stored

    @property
    def prefix(self) -> int:
        """Number of draws from draw 0 to the first gap, as far as they count."""
        return self._tally.count

    def add(self, start: int, values: Values) -> None:
        """Take in draws from ``start`` on: diag and offdiag of every layer, (draws, layers, 2).

        Raises
        ------
        StoreError
            If one of them is there already.
        """
        if self.finished and start >= self.wanted:
            return
        stop = start + len(values)
        k = bisect_right(self._ahead, (start, stop))
        before = self._ahead[k - 1][1] if k else self.prefix
        after = self._ahead[k][0] if k < len(self._ahead) else stop
        if start < before or stop > after:
            raise _twice(self.point, start, stop - 1)
        insort(self._ahead, (start, stop))
        self._values[start] = values
        self._advance()

    def _advance(self) -> None:
        """Add draws to the tally up to the first gap, and decide at every checkpoint."""
        while self._ahead and self._ahead[0][0] == self.prefix and not self.finished:
            start, stop = self._ahead.pop(0)
            values = self._values.pop(start)
            now, later = values[: self.wanted - start], values[self.wanted - start :]
            self._tally.add(now)
            if len(later):
                self._ahead.insert(0, (self.wanted, stop))
                self._values[self.wanted] = later
            if self.prefix == self.wanted:
                rse, _ = self.precision
                self.finished = rse <= aim(self.sampling) or self.wanted == self.sampling.max_draws
                if self.finished:
                    self._ahead.clear()
                    self._values.clear()
                else:
                    self.wanted = next_checkpoint(self.wanted, self.sampling, trusted=rse <= TRUSTED_RSE)

    def add_rows(self, draws: Numbers, layers: Numbers, values: Values) -> None:
        """Take in rows as the store has them, some draws perhaps without some of the layers.

        Parameters
        ----------
        draws, layers
            The draw of each row, and the index of its layer among those of the sweep; rows are sorted by both.
        values
            (rows, 2): diag and offdiag.
        """
        size = len(self.layers)
        _, first, counts = np.unique(draws, return_index=True, return_counts=True)
        whole = np.repeat(counts == size, counts)
        if whole.any():
            starts = draws[first[counts == size]]
            blocks = values[whole].reshape(-1, size, 2)
            for start, stop in _runs(starts):
                self.add(int(starts[start]), blocks[start:stop])
        rows = (column[~whole].tolist() for column in (draws, layers, values))
        for draw, layer, pair in zip(*rows, strict=True):
            parts = self._partial.setdefault(draw, {})
            if layer in parts:
                raise _twice(self.point, draw, draw)
            parts[layer] = pair
            if len(parts) == size:
                del self._partial[draw]
                self.add(draw, np.array([[parts[k] for k in range(size)]], dtype=float))

    def stored_layers(self, draws: range) -> dict[int, set[str]]:
        """Return those of ``draws`` that have some of their layers stored, not all, with the stored layers."""
        found = [draw for draw in draws if draw in self._partial] if self._partial else []
        return {draw: {self.layers[k] for k in self._partial[draw]} for draw in found}

    def forget_partial(self, draws: range) -> None:
        """Record that all layers of ``draws`` are there now."""
        for draw in draws if self._partial else ():
            self._partial.pop(draw, None)

    @property
    def precision(self) -> tuple[float, str]:
        """Return the largest relative standard error on the draws that count, and the quantity that has it."""
        return self._tally.worst()

    @property
    def heavy_tail(self) -> str:
        """The quantities whose tails are too heavy for their means to be trusted, the heaviest first, after commas.

        It decides nothing: the point goes on, and ends, by its precision.
        """
        return ", ".join(self._tally.heavy())

    @property
    def warning(self) -> str:
        """What is to be said of the point's tails, in words; empty if nothing."""
        heavy = self._tally.heavy()
        several = " and of ".join(filter(None, (", of ".join(heavy[:-1]), *heavy[-1:])))
        return TOO_HEAVY.format(quantity=several, draws=number_of(self.prefix, "draw")) if heavy else ""

    @property
    def doubt(self) -> str:
        """The reason why the precision is not known, in words; empty if it is known."""
        rse, quantity = self.precision
        if math.isfinite(rse):
            return ""
        if self.prefix < 2:
            return quantity if self.prefix else "no draws"
        return f"all {self.prefix} draws of {quantity} are equal, which does not show how much they spread"

    @property
    def state(self) -> str:
        """One of ``"new"``, ``"partial"``, ``"done"`` and ``"limited"`` (max_draws used up above the target)."""
        if not self.finished:
            return "partial" if self.prefix or self._ahead or self._partial else "new"
        return "done" if self.precision[0] <= self.sampling.target_rse else "limited"

    @property
    def needed_draws(self) -> int:
        """Draws that the target will take, extrapolated from the precision as rse ∝ 1/√draws.

        A point that goes on ends where its precision is trusted, too; at max_draws the target alone is asked for.
        """
        rse, _ = self.precision
        if self.state == "done" or not math.isfinite(rse):
            return self.wanted
        excess = rse / (self.sampling.target_rse if self.finished else aim(self.sampling))
        return max(math.ceil(min(self.prefix * excess * excess, _MOST_NEEDED)), self.wanted)

    @property
    def expected_draws(self) -> int:
        """Draws that the point will get: those needed, but never past max_draws."""
        return min(self.needed_draws, self.sampling.max_draws)

    def missing(self) -> Iterator[range]:
        """Yield the ranges of draws that are wanted and not there."""
        start = self.prefix
        for first, last in [*self._ahead, (self.wanted, self.wanted)]:
            if start < min(first, self.wanted):
                yield range(start, min(first, self.wanted))
            start = last


@lru_cache(maxsize=1024)  # which points share, for there may be many of them
def _fixed(loss: str, layers: tuple[str, ...], n_classes: int) -> dict[str, frozenset[str]]:
    return {layer: frozenset(fixed_values(loss, layer, n_classes)) for layer in layers}


def _twice(point: Point, first: int, last: int) -> StoreError:
    return StoreError(f"store: draws {first} to {last} of {point} stand there twice; see what rmtsim verify says")


def _runs(draws: Numbers) -> Iterator[tuple[int, int]]:
    """Positions at which stretches without a gap begin and end in increasing numbers."""
    cuts = np.flatnonzero(np.diff(draws) != 1) + 1
    edges = [0, *cuts.tolist(), len(draws)]
    yield from pairwise(edges)


def read_states(spec: Spec, store: Store, backend: str | None = None) -> list[PointState]:
    """Return the state of each of the spec's points in a store, which is read a shard at a time.

    Raises
    ------
    InputError
        If the store has draws of the spec's seed and points in another dtype, or on another backend than
        ``backend``, or with another ``diagonal`` or ``weights_per_draw``: a draw is stored once.
    StoreError
        If the store cannot be read, or draws stand in it twice.
    """
    states = {point.id: PointState(point, spec.layers, spec.sampling) for point in spec.points()}
    for table in store.tables(COLUMNS, states):
        add_table(table, states, spec, store, backend)
    return list(states.values())


def columns_of(point: Point) -> dict[str, object]:
    """Return a point as columns of a table: its identity, sizes and ensemble."""
    return {
        "point_id": point.id,
        "model": point.model,
        "loss": point.loss,
        "n_classes": point.n_classes,
        "dim": point.dim,
        "n_samples": point.n_samples,
        "width": point.width,
        **asdict(point.ensemble),
    }


def add_table(table: pa.Table, states: dict[str, PointState], spec: Spec, store: Store, backend: str | None) -> None:
    """Give each point its rows of a piece of the store, which may have others; see `read_states`."""
    mine = (
        pc.equal(table["seed"], spec.sampling.seed),
        pc.is_in(table["layer"], pa.array(spec.layers, pa.string())),
        pc.is_in(table["point_id"], pa.array(states, pa.string())),
    )
    table = table.filter(reduce(pc.and_, mine))
    for column, meant in (("dtype", spec.sampling.dtype), ("backend", backend)):
        for found in pc.unique(table[column]).to_pylist():
            _check_made(column, found, meant, store)
    for row in table.group_by(["point_id", "weights_per_draw"]).aggregate([]).to_pylist():
        point = states[row["point_id"]].point
        _check_made("weights_per_draw", row["weights_per_draw"], spec.sampling.weights(point, spec.layers), store)
    last = table.filter(pc.is_in(table["layer"], pa.array(LAST)))
    for row in last.group_by(["point_id", "classes"]).aggregate([]).to_pylist():
        _check_classes(states[row["point_id"]].point, row["classes"], spec, store)
    names = table["point_id"].combine_chunks().dictionary_encode()
    points = names.indices.to_numpy()
    layers = pc.index_in(table["layer"], pa.array(spec.layers, pa.string())).to_numpy()
    draws = table["draw"].to_numpy()
    values = np.stack([table[name].to_numpy() for name in ("diag_sqfro", "offdiag_sqfro")], axis=1)
    size = len(spec.layers)
    order = np.lexsort((layers, draws, points))
    points, draws, layers, values = points[order], draws[order], layers[order], values[order]
    edges = np.searchsorted(points, np.arange(len(names.dictionary) + 1))
    gaps = np.concatenate([[0], np.cumsum(np.diff(size * draws + layers) != 1)])  # before each row
    starts, ends = edges[:-1], edges[1:] - 1
    gapless = (gaps[starts] == gaps[ends]) & (layers[starts] == 0) & (layers[ends] == size - 1)
    for point_id, whole, (start, stop) in zip(names.dictionary.to_pylist(), gapless, pairwise(edges), strict=True):
        rows = slice(start, stop)
        if whole:
            states[point_id].add(int(draws[start]), values[rows].reshape(-1, size, 2))
        else:
            states[point_id].add_rows(draws[rows], layers[rows], values[rows])


def _check_made(column: str, found: object, meant: object, store: Store) -> None:
    if meant not in (None, found):
        raise InputError(
            f"store: {store.location} holds draws of this sweep computed with {column} {found}, not {meant}; "
            f"ask for that {column}, or give another --store"
        )


def _check_classes(point: Point, classes: int, spec: Spec, store: Store) -> None:
    wanted = diagonal_classes(point, spec.sampling.diagonal)
    if classes != wanted:
        raise InputError(
            f"store: {store.location} holds draws of this sweep with terms of single classes from {classes} of "
            f"{point.n_classes} classes, not {wanted}; give the other [sampling] diagonal, or another --store"
        )
