"""Pieces of many small shards, put together so that what is done with a table is done once for many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import pyarrow as pa

T = TypeVar("T")

#: Most rows that are put together.
ROWS = 1 << 17

#: Number of pieces after which they are copied into one: small ones hold a hundred times the memory of their values.
_MANY = 256


def gathered(
    pieces: Iterable[tuple[T, pa.Table]], alike: Callable[[T], object] = lambda _: None
) -> Iterator[tuple[list[T], pa.Table]]:
    """Yield pieces that come one after the other as one table of at most ``ROWS`` rows, with where each is from.

    Parameters
    ----------
    pieces
        Tables of the same columns, each with where it is from. Where this raises an error, what came before is yielded
        first.
    alike
        Only pieces for whose origin this returns the same are put together.
    """
    origins: list[T] = []
    tables: list[pa.Table] = []
    held, failure = 0, None
    left = iter(pieces)
    while True:
        try:
            origin, table = next(left)
        except StopIteration:
            break
        except Exception as error:
            failure = error
            break
        if tables and (held + table.num_rows > ROWS or alike(origin) != alike(origins[-1])):
            yield origins, _together(tables)
            origins, tables, held = [], [], 0
        origins.append(origin)
        tables.append(table)
        held += table.num_rows
        if len(tables) >= _MANY:
            tables = [_together(tables)]
    if tables:
        yield origins, _together(tables)
    if failure is not None:
        raise failure


def _together(tables: list[pa.Table]) -> pa.Table:
    together = pa.concat_tables(tables)
    return together if len(tables) < _MANY // 2 else together.combine_chunks()
