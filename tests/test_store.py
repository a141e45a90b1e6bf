"""The store: readable by everyone, one writer, nothing half-written, nothing twice."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import rmtsim
from rmtsim.sampling.schema import ENSEMBLE, SCHEMA
from rmtsim.store import Store, StoreError
from rmtsim.store.shard_files import FORMAT
from tests.shards import rewrite

POINTS = [
    rmtsim.Point("linear", "ce", 5, 12, 30),
    rmtsim.Point("one_hidden", "mse", 5, 12, 30, 3),
]
SPEC = {"name": "test", "grid": {}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    with store.writer() as writer:
        for point in POINTS:
            for part in (range(4), range(4, 10)):
                writer.append(rmtsim.simulate(point, part, seed=7), SPEC)
    return store


def paths(store: Store) -> list[Path]:
    return [Path(shard) for shard in store.shards()]


def expected() -> pd.DataFrame:
    rows = pd.concat([rmtsim.simulate(point, 10, seed=7) for point in POINTS])
    return rows.sort_values(["point_id", "seed", "draw", "layer"], ignore_index=True)


def test_rows_come_back_as_simulated(store: Store) -> None:
    pd.testing.assert_frame_equal(store.read(), expected(), check_exact=True)
    some = store.read(["draw", "diag_sqfro"], points=[POINTS[0].id])
    assert list(some.columns) == ["draw", "diag_sqfro"]
    assert len(some) == 10


def test_pandas_pyarrow_and_duckdb_read_it(store: Store) -> None:
    folder = str(store.draws_folder)
    order = ["point_id", "seed", "draw", "layer"]
    frames = {
        "pandas": pd.read_parquet(folder),
        "pyarrow": ds.dataset(folder).to_table().to_pandas(),
        "duckdb": duckdb.sql(f"select * from read_parquet('{folder}/*.parquet')").df(),
    }
    for name, frame in frames.items():
        sorted_ = frame.sort_values(order, ignore_index=True)
        assert list(sorted_.columns) == SCHEMA.names, name
        for column in SCHEMA.names:
            left, right = (f[column].astype(object).where(f[column].notna(), None) for f in (sorted_, expected()))
            assert left.tolist() == right.tolist(), (name, column)
    assert ds.dataset(folder).schema.equals(SCHEMA, check_metadata=False)


def test_duckdb_in_a_folder_with_the_name_of_a_column(tmp_path: Path) -> None:
    """As docs/reference/store.md says."""
    with Store(tmp_path / "dim=64").writer() as writer:
        writer.append(rmtsim.simulate(POINTS[0], 2, seed=7), SPEC)
    query = "select distinct dim from read_parquet('{}/dim=64/draws/*.parquet'{})"
    assert duckdb.sql(query.format(tmp_path, ", hive_partitioning=false")).fetchall() == [(12,)]
    assert duckdb.sql(query.format(tmp_path, "")).fetchall() == [(64,)]  # negative control


def test_metadata_tell_where_rows_come_from(store: Store) -> None:
    metadata = pq.read_metadata(store.shards()[0]).metadata
    assert json.loads(metadata[b"rmtsim.spec"]) == SPEC
    assert metadata[b"rmtsim.seed"] == b"7"
    assert metadata[b"rmtsim.version"] == rmtsim.__version__.encode()
    assert {b"rmtsim.format", b"rmtsim.stream", b"rmtsim.numpy", b"rmtsim.blas"} <= set(metadata)


def test_opening_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert store.read().empty
    assert list(store.read().columns) == SCHEMA.names
    assert store.specs() == []
    assert not store.root.exists()


def test_a_second_writer_is_refused_until_the_first_is_gone(store: Store) -> None:
    with store.writer(), pytest.raises(StoreError, match=f"being written by process {os.getpid()}"), store.writer():
        pass
    script = f"from rmtsim.store import Store; import os; Store({str(store.root)!r}).writer().__enter__(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    with store.writer():  # the dead writer's lock went with it
        pass


def test_leftovers_of_a_killed_writer_are_not_seen_and_go(store: Store) -> None:
    torn = store.draws_folder / ".x-s0-000000000-000000001-linear.parquet.tmp"
    torn.write_bytes(b"PAR1 half a shard")
    pd.testing.assert_frame_equal(store.read(), expected())
    assert len(pd.read_parquet(store.draws_folder)) == len(expected())
    with store.writer():
        assert not torn.exists()


def test_a_torn_shard_is_named(store: Store) -> None:
    shard = paths(store)[0]
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(StoreError, match=f"{shard.name} does not hold the bytes that were written"):
        store.read()


def test_a_shard_of_another_format_is_refused(store: Store) -> None:
    shard = paths(store)[0]
    rewrite(shard, pq.read_table(shard), "99")
    with pytest.raises(StoreError, match="format 99"):
        store.read()


def age(shard: Path) -> Path:
    """Make a shard what version 2 of the format had: no columns of the ensemble, the draws in its name."""
    table = pq.read_table(shard)
    metadata = {**table.schema.metadata, b"rmtsim.format": b"2"}
    first = table.slice(0, 1).to_pylist()[0]
    old = shard.with_name(f"{first['point_id']}-s7-{first['draw']:09d}-{first['draw'] + table.num_rows:09d}.parquet")
    pq.write_table(table.drop_columns(ENSEMBLE).replace_schema_metadata(metadata), old)
    shard.unlink()
    return old


def test_shards_of_format_2_have_the_papers_ensemble(store: Store) -> None:
    for shard in paths(store)[::2]:
        age(shard)
    pd.testing.assert_frame_equal(store.read(), expected(), check_exact=True)
    some = store.read(["init", "draw"])
    assert set(some["init"]) == {"lecun"}


def test_a_writer_brings_old_shards_up_to_date_so_that_everyone_reads_them(store: Store) -> None:
    new = paths(store)[-1]
    for shard in paths(store)[:-1]:
        old = age(shard)
        old.rename(old.with_name(f"00000000-{old.name}"))  # other readers take the first one's columns
    untouched = new.stat()
    assert not {*ENSEMBLE} & {*pd.read_parquet(store.draws_folder).columns}  # negative control: the columns are lost
    seed = pq.read_schema(paths(store)[0]).metadata[b"rmtsim.seed"]
    with store.writer():
        pass
    frame = pd.read_parquet(store.draws_folder)
    assert list(frame.columns) == SCHEMA.names
    assert frame[ENSEMBLE].notna().all(axis=None)
    assert ds.dataset(str(store.draws_folder)).schema.equals(SCHEMA, check_metadata=False)
    assert (new.stat().st_ino, new.stat().st_mtime_ns) == (untouched.st_ino, untouched.st_mtime_ns)
    metadata = pq.read_metadata(store.shards()[0]).metadata
    assert (metadata[b"rmtsim.format"], metadata[b"rmtsim.seed"]) == (FORMAT.encode(), seed)
    pd.testing.assert_frame_equal(store.read(), expected(), check_exact=True)


def test_a_writer_that_cannot_bring_a_shard_up_to_date_lets_go(store: Store) -> None:
    shard = age(paths(store)[0])
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-20])
    with pytest.raises(StoreError, match="cannot be read"), store.writer():
        pass
    shard.write_bytes(whole)
    with store.writer():  # the lock is free
        pass


def test_rows_that_stand_twice_are_refused(store: Store) -> None:
    with store.writer() as writer:
        writer.append(rmtsim.simulate(POINTS[0], range(2), seed=7), SPEC)
    with pytest.raises(StoreError, match="twice"):
        store.read()


def test_a_disk_that_refuses_leaves_the_store_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.writer() as writer:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            writer.append(rmtsim.simulate(POINTS[0], range(10, 12), seed=7), SPEC)
    assert not list(store.root.rglob("*.tmp"))
    pd.testing.assert_frame_equal(store.read(), expected())


def test_a_shard_of_another_stream_is_refused(store: Store) -> None:
    shard = paths(store)[0]
    table = pq.read_table(shard)
    metadata = {**table.schema.metadata, b"rmtsim.stream": b"mersenne-1"}
    rewrite(shard, table.replace_schema_metadata(metadata))
    with pytest.raises(StoreError, match="stream mersenne-1, which this rmtsim does not continue"):
        store.read()
