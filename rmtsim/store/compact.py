"""Compaction: many small shards become few large ones, and repeated rows are dropped.

A new shard names in its metadata the shards that it replaces. Readers leave these out, whether they are still there or
not. So a kill between writing the new shard and removing the old ones loses and repeats no row; the next writer removes
the old ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from rmtsim.sampling.schema import KEY, SCHEMA
from rmtsim.store.ahead import open_ahead
from rmtsim.store.core_time import CoreTime
from rmtsim.store.coverage import Coverage
from rmtsim.store.gathering import gathered
from rmtsim.store.repeated_rows import repeated_rows
from rmtsim.store.shard_files import ROWS, encoded, sort
from rmtsim.store.shards import OpenShard, Shard
from rmtsim.store.store import Store
from rmtsim.store.writer import Writer

#: A sweep compacts its store each time it has written this many small shards.
MANY = 512


class Compaction(NamedTuple):
    """The outcome of a compaction."""

    before: int  #: number of shards before
    after: int  #: number of shards after
    dropped: int  #: number of repeated rows that were dropped


#: What the metadata of a shard say of its rows.
_Origin: TypeAlias = tuple[tuple[str, str], ...]


class _Plan(NamedTuple):
    shards: list[Shard]
    groups: list[list[Shard]]
    origins: dict[Shard, _Origin]
    repeated: Coverage


def compact(store: Store) -> Compaction:
    """Compact a store.

    Shards are joined if their rows come from the same spec, seed, machine and version. A store with nothing to compact
    is not touched.

    Raises
    ------
    StoreError
        If a shard cannot be read, rows of the same key differ, or another writer is at work; nothing is lost.
    """
    plan, leftovers = _plan(store, store.shards()), len(store.listed()) - len(store.shards())
    if not plan.groups and not leftovers:
        return Compaction(len(plan.shards), len(plan.shards), 0)
    before = len(store.listed())
    with store.writer() as writer:
        shards = store.shards()
        plan = plan if shards == plan.shards else _plan(store, shards)  # another writer may have been before us
        dropped = _carry_out(plan, writer)
    return Compaction(before, len(store.shards()), dropped)


def compact_with(store: Store, writer: Writer) -> None:
    """Compact the shards of a store that no compaction has made, with its writer at work; see `compact`.

    Compacted shards are not read, so that a long sweep does not read all its rows again and again.
    """
    _carry_out(_plan(store, writer.loose()), writer)


def _carry_out(plan: _Plan, writer: Writer) -> int:
    """Write the large shards; return the number of repeated rows."""
    dropped = 0
    moving = {shard for group in plan.groups for shard in group}
    seen = Coverage()
    for _, keys in gathered(_pieces([shard for shard in plan.shards if plan.repeated and shard not in moving], KEY)):
        seen.add(keys)
    for group in plan.groups:
        tables, taken = [], CoreTime()
        for _, rows in gathered(_pieces(group, SCHEMA.names, partial(_add_time, taken))):
            table = encoded(rows)
            if plan.repeated:
                copy = seen.add(table)
                dropped += int(np.count_nonzero(copy))
                table = table.filter(pa.array(~copy))
            tables.append(table)
        together = sort(pa.concat_tables(tables).unify_dictionaries())
        names = [shard.name for shard in group]
        if together.num_rows:
            metadata = {**dict(plan.origins[group[0]]), **taken.metadata()}
            writer.commit(together.replace_schema_metadata(metadata), names)
        else:
            writer.remove(names)
    return dropped


def _add_time(taken: CoreTime, opened: OpenShard) -> None:
    taken.add_all([opened.core_time])


def _pieces(
    shards: Collection[Shard], columns: Collection[str], note: Callable[[OpenShard], object] = lambda _: None
) -> Iterator[tuple[Shard, pa.Table]]:
    """Yield columns of shards in pieces, each with its shard; ``note`` sees each shard while it is open."""
    with closing(open_ahead(shards)) as ahead:
        for shard, opened in ahead:
            note(opened)
            for table in opened.pieces(columns):
                yield shard, table


def _plan(store: Store, shards: list[Shard]) -> _Plan:
    """Group small shards, shards with rows that others hold too, and shards without a digest of their bytes."""
    origins: dict[Shard, _Origin] = {}
    same: dict[_Origin, _Origin] = {}  # of equal ones the first, as each has the text of a spec
    rows: dict[Shard, int] = {}
    seen, repeated = Coverage(), Coverage()

    def note(opened: OpenShard) -> None:
        origin = tuple(sorted(opened.origin.items()))
        origins[opened.shard] = same.setdefault(origin, origin)
        rows[opened.shard] = opened.num_rows

    for _, keys in gathered(_pieces(shards, KEY, note)):
        copy = seen.add(keys)
        if copy.any():
            repeated.add(keys.filter(pa.array(copy)))
    with_copies = {shard for shard, keys in _pieces(shards if repeated else [], KEY) if repeated.holds(keys).any()}
    for found in repeated_rows(shards, repeated):
        if not found["equal"].all():
            row = found.loc[~found["equal"], KEY].iloc[0].to_dict()
            raise store.repeated_row_error(row, equal=False)
    groups: dict[_Origin, list[list[Shard]]] = defaultdict(lambda: [[]])
    size: dict[_Origin, int] = defaultdict(int)  # rows of the last group
    for shard in shards:
        if rows[shard] < ROWS // 2 or shard in with_copies or not shard.digest:
            origin = origins[shard]
            if groups[origin][-1] and size[origin] + rows[shard] > ROWS:
                groups[origin].append([])
                size[origin] = 0
            groups[origin][-1].append(shard)
            size[origin] += rows[shard]
    worth = [
        group
        for some in groups.values()
        for group in some
        if len(group) > 1 or with_copies & set(group) or not all(shard.digest for shard in group)
    ]
    return _Plan(shards, worth, origins, repeated)
