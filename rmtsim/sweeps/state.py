"""The state of a spec's points: the draws that a store has of each, and those that are still wanted."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.model.ensemble import norms_have_variance
from rmtsim.model.fixed_values import fixed_values
from rmtsim.model.point import Point
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.tails import TOO_HEAVY
from rmtsim.store import StoreError
from rmtsim.sweeps.spec import Sampling, Spec
from rmtsim.sweeps.stopping import TRUSTED_RSE, aim, beside, next_checkpoint
from rmtsim.sweeps.tallies import Tallies
from rmtsim.text.words import number_of

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

#: Most draws that are added at once, unless one point has more.
_AT_ONCE = 1 << 14

#: Largest number of draws that an extrapolation returns; it fits into 64 bits, and no run makes as many.
_MOST_NEEDED = 1e18


class PointState:
    """Draws of one point: a tally of those up to the first gap, those beyond it, and whether more are wanted.

    Memory grows only with the number of draws beyond the gap.

    Parameters
    ----------
    point, layers, sampling
        What is drawn, and how many draws are wanted.
    tallies, place
        The tallies of the points of a sweep, and the place of this one; its own by default.

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
        "_beyond",
        "_place",
        "_tallies",
        "at_work",
        "finished",
        "layers",
        "point",
        "sampling",
        "wanted",
    )

    def __init__(
        self, point: Point, layers: tuple[str, ...], sampling: Sampling, tallies: Tallies | None = None, place: int = 0
    ) -> None:
        self.point, self.layers, self.sampling = point, layers, sampling
        self.wanted, self.finished, self.at_work = sampling.min_draws, False, 0
        self._tallies, self._place = tallies_of([point], layers) if tallies is None else tallies, place
        self._beyond: _Beyond | None = None

    def __repr__(self) -> str:
        reached = self.doubt or beside(self.precision, self.sampling, self.finished)
        return f"PointState({self.point.sizes}: {self.state} at {number_of(self.prefix, 'draw')}, {reached})"

    @property
    def _ahead(self) -> Sequence[tuple[int, int]]:
        """Sorted stretches (start, stop) of draws beyond the first gap."""
        return self._beyond.stretches if self._beyond else ()

    @property
    def _partial(self) -> dict[int, dict[int, list[float]]]:
        """Draws that have some of their layers stored, with the values of these."""
        return self._beyond.partial if self._beyond else {}

    @property
    def prefix(self) -> int:
        """Number of draws from draw 0 to the first gap, as far as they count."""
        return int(self._tallies.counts[self._place])

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
        ahead, prefix = self._ahead, self.prefix
        k = bisect_right(ahead, (start, stop))
        before = ahead[k - 1][1] if k else prefix
        after = ahead[k][0] if k < len(ahead) else stop
        if start < before or stop > after:
            raise _twice(self.point, start, stop - 1)
        if start > prefix:
            self._beyond = self._beyond or _Beyond()
            self._beyond.add(start, values)
            return
        add_next([self], values, np.array([len(values)]))
        while (beyond := self._beyond) and beyond.stretches and beyond.stretches[0][0] == self.prefix:
            if self.finished:
                break
            values = beyond.pop()
            add_next([self], values, np.array([len(values)]))
        if self._beyond and self.finished:
            self._beyond.drop()

    def _decide(self, rse: float) -> None:
        """See at a checkpoint whether more draws are wanted."""
        self.finished = rse <= aim(self.sampling) or self.wanted == self.sampling.max_draws
        if not self.finished:
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
            self._beyond = self._beyond or _Beyond()
            parts = self._beyond.partial.setdefault(draw, {})
            if layer in parts:
                raise _twice(self.point, draw, draw)
            parts[layer] = pair
            if len(parts) == size:
                del self._beyond.partial[draw]
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
        return self._tallies.worst(self._place)

    @property
    def heavy_tail(self) -> str:
        """The quantities whose tails are too heavy for their means to be trusted, the heaviest first, after commas.

        It decides nothing: the point goes on, and ends, by its precision.
        """
        return ", ".join(self._tallies.heavy(self._place))

    @property
    def warning(self) -> str:
        """What is to be said of the point's tails, in words; empty if nothing."""
        heavy = self._tallies.heavy(self._place)
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


class _Beyond:
    """Draws of a point beyond its first gap, which few points have, and those that lack some of their layers."""

    __slots__ = ("partial", "stretches", "values")

    def __init__(self) -> None:
        self.stretches: list[tuple[int, int]] = []  # sorted: (start, stop)
        self.values: dict[int, Values] = {}  # start → their values
        self.partial: dict[int, dict[int, list[float]]] = {}  # draw → layer → values

    def add(self, start: int, values: Values) -> None:
        """Add a stretch."""
        insort(self.stretches, (start, start + len(values)))
        self.values[start] = values

    def pop(self) -> Values:
        """Take out the first stretch; return its values."""
        start, _ = self.stretches.pop(0)
        return self.values.pop(start)

    def drop(self) -> None:
        """Take out all stretches."""
        self.stretches.clear()
        self.values.clear()


def are_next(states: Sequence[PointState], starts: Numbers) -> npt.NDArray[np.bool_]:
    """Return for points of one sweep whether draws from ``starts`` on are the next ones, with none beyond them."""
    open_ones = np.array([not (state.finished or state._ahead) for state in states], dtype=bool)
    return np.asarray(open_ones & (states[0]._tallies.counts[_places(states)] == starts))


def add_next(states: Sequence[PointState], values: Values, lengths: Numbers) -> None:
    """Add the next draws of points of one sweep to their tallies, and decide at every checkpoint.

    Parameters
    ----------
    states
        The points, each once.
    values
        The draws of the first point from its prefix on, then those of the second, and so on, (draws, layers, 2); those
        beyond the end of a point do not count.
    lengths
        How many there are of each point.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    first = 0
    while first < len(states):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + _AT_ONCE, "right")))
        _add_next(states[first:last], values, starts[first:last], ends[first:last])
        first = last


def _add_next(states: Sequence[PointState], values: Values, starts: Numbers, ends: Numbers) -> None:
    """Add ``values[start:end]`` of each point; see `add_next`."""
    tallies, places, starts, left = states[0]._tallies, _places(states), starts.copy(), np.arange(len(states))
    while len(left):
        wanted = np.array([states[k].wanted for k in left.tolist()])
        sizes = np.minimum(ends[left] - starts[left], wanted - tallies.counts[places[left]])
        for size in np.unique(sizes):
            some = left[sizes == size]
            tallies.add(places[some], values[starts[some, None] + np.arange(size)])
        starts[left] += sizes
        left = left[tallies.counts[places[left]] == wanted]
        for k, rse in zip(left.tolist(), tallies.look(places[left]).tolist(), strict=True):
            states[k]._decide(rse)
        left = np.array([k for k in left.tolist() if starts[k] < ends[k] and not states[k].finished], dtype=np.int64)


def _places(states: Sequence[PointState]) -> Numbers:
    return np.array([state._place for state in states], dtype=np.int64)


def tallies_of(points: Sequence[Point], layers: tuple[str, ...]) -> Tallies:
    """Return empty tallies of points."""
    laws = [(point.ensemble.data, point.loss, point.ensemble.activation) for point in points]
    have_variance = {law: norms_have_variance(*law) for law in set(laws)}  # a law takes long to read
    fixed = [_fixed(point.loss, layers, point.n_classes) for point in points]
    return Tallies(layers, fixed, [have_variance[law] for law in laws])


def states_of(spec: Spec) -> dict[str, PointState]:
    """Return the points of a sweep without a draw, by their identities."""
    points = spec.points()
    tallies = tallies_of(points, spec.layers)
    return {
        point.id: PointState(point, spec.layers, spec.sampling, tallies, place) for place, point in enumerate(points)
    }


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


def columns_of(points: Sequence[Point]) -> dict[str, list[Any]]:
    """Return points as columns of a table: their identities, sizes and ensembles."""
    own = ("model", "loss", "n_classes", "dim", "n_samples", "width")
    return {
        "point_id": [point.id for point in points],
        **{name: [getattr(point, name) for point in points] for name in own},
        **{name: [getattr(point.ensemble, name) for point in points] for name in ENSEMBLE},
    }
