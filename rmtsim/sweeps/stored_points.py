"""The points of all sweeps of a store, read from the store alone, again and again: each shard once."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from rmtsim.errors import InputError
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store, StoreError
from rmtsim.store.ahead import open_ahead
from rmtsim.store.core_time import CoreTimeSum, Packed
from rmtsim.store.coverage import Coverage, RangeSet, Series
from rmtsim.store.gathering import gathered
from rmtsim.store.shard_names import parse_name
from rmtsim.store.shards import OpenShard, Shard, VanishedError
from rmtsim.sweeps.progress import draws_left
from rmtsim.sweeps.reading import COLUMNS, PointReader
from rmtsim.sweeps.spec import MAX_DRAWS, Spec, from_document
from rmtsim.sweeps.state import PointState, columns_of
from rmtsim.text.sizes import about, format_count, format_share

#: Columns that are read.
_READ = frozenset((*COLUMNS, *KEY))


class Unnamed(NamedTuple):
    """Draws of a store that no spec in it asks for.

    They are those of a spec that another has replaced, or without a spec; and those that points have beyond the ones
    that they ended with, as after a target was loosened.
    """

    points: int
    draws: int


class _Counted(NamedTuple):
    """A shard that counts: its seed, what its draws took, and the number of its rows."""

    seed: str
    taken: Packed
    rows: int


class StoredPoints:
    """The state of the points of every sweep in a store; `refresh` takes in what was committed since.

    A refresh lists the shards, and fetches those that are new. All is read anew where a spec was replaced, or rows
    went that no other shard has.

    Parameters
    ----------
    store
        The store; nothing in it is changed.

    Attributes
    ----------
    sweeps
        The specs of the store, each with the states of its points.
    readings
        How often all was read anew: points keep their order while it stays the same.
    seconds
        What the last refresh took.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._documents: list[dict[str, Any]] | None = None
        self.readings, self.seconds = 0, 0.0
        self._begin([])

    def _begin(self, documents: list[dict[str, Any]]) -> None:
        """Begin as if nothing had been read, with the documents of the specs."""
        self.readings += 1
        self._shards: dict[str, _Counted] = {}
        self._replaced: set[str] = set()
        self._specs_seen: set[str] = set()  # as the metadata of shards have them
        self._coverage = Coverage()
        self._core_time: dict[str, CoreTimeSum] = defaultdict(CoreTimeSum)  # of all shards, by seed
        specs = [self._spec(document) for document in documents]
        self._readers = [PointReader(spec, self._store) for spec in specs]
        self.sweeps = [(reader.spec, reader.states) for reader in self._readers]
        self._flops = [
            [spec.sampling.cost(state.point, spec.layers) for state in states.values()] for spec, states in self.sweeps
        ]

    def _spec(self, document: dict[str, Any]) -> Spec:
        try:
            return from_document(document)
        except InputError as error:
            where = self._store.files.where(f"sweeps/{document['name']}.json")
            raise StoreError(
                f"store: {where} is not a valid spec ({error}); remove it and run its spec again"
            ) from error

    def refresh(self) -> None:
        """Take in what the store has got since the last time.

        Raises
        ------
        InputError
            If draws of a sweep were made in another way than its spec says.
        StoreError
            If the store cannot be read, or has rows twice.
        """
        begun = time.perf_counter()
        while not self._whole():
            pass
        self.seconds = time.perf_counter() - begun

    def _whole(self) -> bool:
        """Read what is new; return whether that is all, or the store has changed meanwhile."""
        listed, first = self._store.listed(), self._documents is None
        if first:
            documents = self._store.specs()
            self._begin(documents)
            self._documents = documents
        known, names = len(self._specs_seen), {shard.name for shard in listed}
        gone = not self._shards.keys() <= names
        # Shards of compactions come first, the last one before the others, so that what they replace is not read.
        new = self._unread(listed)
        try:
            for some in ([shard for shard in reversed(new) if shard.compacted], new):
                self._take_in(self._unread(some), gone)
        except VanishedError as error:  # compaction has put others in their place meanwhile
            self._store.check_vanished(error)
            return False
        replaced_spec = not first and len(self._specs_seen) > known and self._store.specs() != self._documents
        if replaced_spec or not self._shards.keys() <= names:
            self._documents = None
        return self._documents is not None

    def _unread(self, shards: list[Shard]) -> list[Shard]:
        return [shard for shard in shards if shard.name not in self._shards and shard.name not in self._replaced]

    def _take_in(self, shards: list[Shard], gone: bool) -> None:
        """Read shards; ``gone`` says that some that were read went, so that these may have their rows."""
        try:
            for _, table in gathered(self._pieces(shards, gone)):
                self._add(table)
        except VanishedError:
            raise  # what came before is taken in
        except BaseException:
            self._documents = None  # it may be half taken in: the next refresh reads all anew
            raise

    def _pieces(self, shards: list[Shard], gone: bool) -> Iterator[tuple[Shard, pa.Table]]:
        """Yield the pieces of shards, without rows that were read from shards which they replace."""
        with closing(open_ahead(shards)) as ahead:
            for shard, opened in ahead:
                if shard.name in self._replaced:
                    continue
                replaces = opened.replaces if shard.compacted else []
                moved = gone or bool(self._shards.keys() & set(replaces))
                missing = sum(self._shards[other].rows for other in replaces if other in self._shards)
                for table in opened.pieces(_READ):
                    if moved:
                        fresh = table.filter(pa.array(~self._coverage.holds(table)))
                        missing -= table.num_rows - fresh.num_rows
                        table = fresh
                    yield shard, table
                if missing:  # rows were withdrawn: all is read anew
                    self._documents = None
                self._count(shard.name, opened, replaces)

    def _add(self, table: pa.Table) -> None:
        """Take in rows that were not there."""
        repeated = self._coverage.add(table)
        if repeated.any():
            self._store.refuse_copies(table.select(KEY).filter(pa.array(repeated)).slice(0, 1).to_pylist()[0])
        for reader in self._readers:
            reader.take(table)

    def _count(self, name: str, opened: OpenShard, replaces: list[str]) -> None:
        """Record what a shard's draws took, in place of what is known of those that it replaces."""
        seed = opened.metadata.get("seed", "")
        self._specs_seen.add(opened.metadata.get("spec", ""))
        self._shards[name] = _Counted(seed, self._core_time[seed].add(opened.core_time), opened.num_rows)
        self._replaced.update(replaces)
        for other in replaces:
            if before := self._shards.pop(other, None):
                self._core_time[before.seed].remove(before.taken)

    @property
    def small_shards(self) -> int:
        """Number of shards that no compaction has made."""
        return sum(not of.compacted for name in self._shards if (of := parse_name(name)))

    def table(self) -> pd.DataFrame:
        """One row per point of every sweep: its state, precision, what limits it, and what it takes.

        Returns
        -------
        DataFrame
            ``core_seconds`` are those that the draws took, of which the store has the time; ``untimed_draws`` are the
            others. ``draws_left`` are those that the point will get, as far as its precision shows, and
            ``core_seconds_left`` what they will take: by its own draws, else by the work of a draw and the speed of
            the other points; None where no draw of the store has a time.
        """
        columns: dict[str, list[Any]] = defaultdict(list)  # and no object a point: there may be a hundred thousand
        for (spec, states), flops in zip(self.sweeps, self._flops, strict=True):
            times = self._core_time[str(spec.sampling.seed)]
            for name, values in _columns(spec, [*states.values()], flops, times).items():
                columns[name] += values
        return _with_time_left(pd.DataFrame(columns))

    def unnamed(self) -> Unnamed:
        """Count the draws that no spec in the store asks for."""
        asked: dict[Series, float] = {}  # up to which draw
        for spec, states in self.sweeps:
            for point, state in states.items():
                end = state.prefix if state.finished else math.inf
                for layer in spec.layers:
                    series = Series(point, spec.sampling.seed, layer)
                    asked[series] = max(end, asked.get(series, 0))
        others: dict[tuple[str, int], RangeSet] = defaultdict(RangeSet)
        for series, there in self._coverage.items():
            end = asked.get(series, 0)
            for run in there:
                if run.stop > end:
                    others[series.point_id, series.seed].add(range(max(run.start, int(end)), run.stop))
        return Unnamed(len({point for point, _ in others}), sum(map(len, others.values())))


def out_of_reach(row: Mapping[str, Any]) -> str:
    """Return why no max_draws takes a point of `StoredPoints.table` to its target, in words; empty where one does."""
    if not row["rse"] or not math.isfinite(row["rse"]) or row["needs_draws"] <= MAX_DRAWS:
        return ""
    reached = row["rse"] * math.sqrt(row["draws"] / MAX_DRAWS)
    most = (
        f"a spec may ask for {format_count(MAX_DRAWS)} draws at most, which take rse to {about(format_share(reached))}"
    )
    return f"{most}; raise target_rse"


def _columns(spec: Spec, states: list[PointState], flops: list[float], times: CoreTimeSum) -> dict[str, list[Any]]:
    """Return the points of a sweep as columns; see `StoredPoints.table`."""
    size, errors = len(states), [state.precision for state in states]
    draws = [state.prefix for state in states]
    timed, seconds = times.of(state.point.id for state in states)
    return {
        "sweep": [spec.name] * size,
        **columns_of([state.point for state in states]),
        "seed": [spec.sampling.seed] * size,
        "state": [state.state for state in states],
        "draws": draws,
        "rse": [rse if math.isfinite(rse) else None for rse, _ in errors],
        "target_rse": [spec.sampling.target_rse] * size,
        "worst": [quantity for _, quantity in errors],
        "doubt": [state.doubt for state in states],
        "heavy_tail": [state.heavy_tail for state in states],
        "warning": [state.warning for state in states],
        "needs_draws": [state.needed_draws for state in states],
        "max_draws": [spec.sampling.max_draws] * size,
        "draws_left": draws_left(states),
        "core_seconds": seconds.tolist(),
        "untimed_draws": np.maximum(0, np.array(draws, dtype=np.int64) - timed).tolist(),
        "timed_draws": timed.tolist(),
        "flops_per_draw": flops,
    }


def _with_time_left(table: pd.DataFrame) -> pd.DataFrame:
    """Put the core-seconds of a draw, and of the draws to come, in place of the number of timed draws."""
    if table.empty:
        return table
    timed, work = table.pop("timed_draws").to_numpy(float), table["flops_per_draw"].to_numpy(float)
    seconds = table["core_seconds"].to_numpy(float)
    speed = float((timed * work).sum() / seconds.sum()) if seconds.sum() > 0 else math.nan
    own = np.divide(seconds, timed, out=work / speed, where=timed > 0)
    left = np.where(table["draws_left"] > 0, table["draws_left"] * own, 0.0)
    return table.assign(core_seconds_per_draw=own, core_seconds_left=left)
