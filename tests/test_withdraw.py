"""Rows that are taken out of a store again, with the core-seconds of their draws."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

import rmtsim
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store
from rmtsim.store.core_time import CoreTime, Taken
from rmtsim.store.coverage import Coverage
from rmtsim.store.verify import verify
from rmtsim.store.withdraw import withdraw


def test_rows_are_taken_out_of_shards(tmp_path: Path) -> None:
    """Of a shard without any of them, of one with some, and of one with nothing else; core-seconds go along."""
    store, spec = Store(tmp_path), {"name": "test"}
    point, other = (rmtsim.Point("linear", "ce", C, 12, 30) for C in (5, 6))
    rows, others = (rmtsim.simulate(one, range(12), seed=7) for one in (point, other))

    def of(draws: range, rows: pd.DataFrame = rows) -> pd.DataFrame:
        return rows[rows["draw"].isin(draws)].reset_index(drop=True)

    with store.writer() as writer:
        writer.save_spec("test", spec)
        for draws in (range(4), range(4, 8), range(8, 12)):
            several = pd.concat([of(draws), of(range(1) if draws.start == 4 else range(0), others)])
            taken = {point.id: Taken(4, 2.0), **({other.id: Taken(1, 9.0)} if draws.start == 4 else {})}
            writer.append(several, spec, CoreTime(taken))
        gone = Coverage()
        for out in (of(range(6, 14)), others):
            gone.add(pa.Table.from_pandas(out[KEY], preserve_index=False))
        before = [shard.name for shard in store.shards()]
        assert withdraw(store, writer, gone) == 7
        assert withdraw(store, writer, gone) == 0
    pd.testing.assert_frame_equal(store.read(), of(range(6)), check_exact=True)
    assert verify(store).findings == []
    first, second = store.shards()
    assert first.name == before[0]
    with second.open() as opened:
        assert opened.core_time == {point.id: (2, 1.0)}
        assert opened.sweep == "test"
