"""Rows are taken out of a store again, as those that a machine has computed which turned out to compute wrongly."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from rmtsim.sampling.schema import KEY
from rmtsim.store.ahead import open_ahead
from rmtsim.store.core_time import CoreTime
from rmtsim.store.coverage import Coverage
from rmtsim.store.shard_files import encoded
from rmtsim.store.store import Store
from rmtsim.store.writer import Writer


def withdraw(store: Store, writer: Writer, gone: Coverage) -> int:
    """Take rows out of a store, with its writer at work; return the number of draws.

    Each shard that holds some gives way to one without them, as at a compaction: a kill at any moment leaves the rows
    of a shard as they were, or takes them out.

    Raises
    ------
    StoreError
        If a shard cannot be read, or the disk refuses; the rows of shards that were not reached are still there.
    """
    points = {series.point_id for series in gone}
    draws: set[tuple[str, int, int]] = set()
    for shard, opened in open_ahead(store.shards()):
        if not gone.holds(opened.read(KEY, points)).any():
            continue
        table = encoded(opened.read())
        held = pa.array(gone.holds(table))
        out, left = table.filter(held), table.filter(pc.invert(held))
        taken = opened.core_time
        taken.take(out)
        draws.update(zip(*(out[name].to_pylist() for name in KEY[:3]), strict=True))
        if left.num_rows:
            kept = CoreTime({point: of for point, of in taken.items() if of.draws})
            writer.commit(left.replace_schema_metadata({**opened.origin, **kept.metadata()}), [shard.name])
        else:
            writer.remove([shard.name])
    return len(draws)
