"""Rows that several shards hold: found and compared in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from rmtsim.sampling.schema import KEY, VALUES
from rmtsim.store.coverage import Coverage, point_batches
from rmtsim.store.shards import Shard

#: Most rows that are compared at a time.
_ROWS = 500_000

#: The columns that are compared; all others follow from the point.
COMPARED = [*KEY, "backend", "dtype", "classes", "weights_per_draw", *VALUES]


def repeated_rows(shards: Sequence[Shard], repeated: Coverage) -> Iterator[pd.DataFrame]:
    """Yield the rows of shards whose keys are in ``repeated``, sorted by key and shard; a point's rows come together.

    The columns are ``COMPARED``, ``shard`` (its place in ``shards``) and ``equal``: whether all rows of this key agree
    in them.
    """
    counts: Counter[str] = Counter()
    for series, runs in repeated.items():
        counts[series.point_id] += len(runs)
    for points in point_batches(counts, _ROWS):
        found = []
        for place, shard in enumerate(shards):
            with shard.open() as opened:
                for piece in opened.pieces(COMPARED, points):
                    held = piece.filter(pa.array(repeated.holds(piece)))
                    found.append(held.append_column("shard", pa.array(np.full(held.num_rows, place))))
        rows: pd.DataFrame = pa.concat_tables(found).to_pandas().sort_values([*KEY, "shard"], ignore_index=True)
        distinct = ~rows.duplicated(COMPARED)
        rows["equal"] = distinct.groupby((~rows.duplicated(KEY)).cumsum()).transform("sum") == 1
        yield rows
