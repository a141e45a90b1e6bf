"""All draws of a store in parts, those of a point together, in memory that does not grow with the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rmtsim.sampling.schema import SCHEMA, VALUES
from rmtsim.store.coverage import point_batches, rows_by_point
from rmtsim.store.store import Store, as_frame

#: Most rows of a part; what is made of it takes a kilobyte a row for a while.
ROWS = 1 << 15

#: Most rows that are held, at 140 bytes each; of more, the points are read in turns of so many.
HELD = 1 << 20

#: Columns whose values differ from row to row; the others repeat few values, and are held as these and their numbers.
_OWN = ("draw", *VALUES)


def whole_points(store: Store, points: Collection[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield all draws of a store, or those of some points, in parts of at most ``ROWS`` rows, unless a point has more.

    Parts are sorted by point, seed, draw and layer. The store is read once, or once for each ``HELD`` rows of the
    points and once to count these rows.

    Raises
    ------
    StoreError
        As `Store.tables`.
    """
    counts, tables = _first_look(store, points)
    if tables:
        yield from _parts(tables, counts)
        return
    for batch in point_batches(counts, HELD):
        tables = [_packed(table) for table in store.tables(points=batch)]
        yield from _parts(tables, {point: counts[point] for point in batch})


def _first_look(store: Store, points: Collection[str] | None) -> tuple[dict[str, int], list[pa.Table]]:
    """Return the number of rows of each point, in the order of shards, and all rows unless they are too many."""
    counts, tables, held = Counter[str](), list[pa.Table](), 0
    for table in store.tables(points=points):
        held += table.num_rows
        tables = [*tables, _packed(table)] if held <= HELD else []
        for point, count in rows_by_point(table):
            counts[point] += count
    return dict(sorted(counts.items())), tables


def _parts(tables: list[pa.Table], counts: dict[str, int]) -> Iterator[pd.DataFrame]:
    if not tables:  # a writer has taken out all of these points since they were counted
        return
    whole = pa.concat_tables(tables).unify_dictionaries()
    tables.clear()
    for batch in point_batches(counts, ROWS):
        if (part := whole.filter(pc.is_in(whole["point_id"], pa.array(batch)))).num_rows:
            yield as_frame(part.cast(SCHEMA))


def _packed(table: pa.Table) -> pa.Table:
    """Return a table whose columns are dictionaries, but those that differ from row to row."""
    columns: Iterable[pa.ChunkedArray] = (
        table[name] if name in _OWN else table[name].dictionary_encode() for name in table.column_names
    )
    return pa.table(dict(zip(table.column_names, columns, strict=True)))
