"""Compaction: few large shards, copies dropped, nothing lost or twice whatever happens meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import rmtsim
import rmtsim.store
import rmtsim.store.ahead
import rmtsim.store.compact
import rmtsim.store.repeated_rows
import rmtsim.store.shards
from rmtsim.cli.main import main
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store, StoreError
from rmtsim.store.compact import compact
from rmtsim.store.shard_files import as_parquet
from rmtsim.store.storage import LocalFiles
from rmtsim.store.verify import verify
from tests.parted_stores import SPEC, altered, expected, rows_of, snapshot, store_of
from tests.s3 import location, s3, s3_server
from tests.shards import rewrite

__all__ = ["location", "s3", "s3_server"]  # fixtures


def test_compaction(location: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = store_of(location, *(rows_of(range(k, k + 2)) for k in range(0, 12, 2)))
    before = store.read()
    assert compact(store) == (6, 1, 0)
    pd.testing.assert_frame_equal(store.read(), before, check_exact=True)
    [shard] = store.shards()
    assert store.files.names("draws") == [shard.name]
    with shard.open() as opened:
        assert opened.read(KEY).equals(opened.read(KEY).sort_by([(name, "ascending") for name in KEY]))
        assert json.loads(opened.metadata["spec"]) == SPEC
    assert main(["compact", "--store", location]) == 0
    assert "nothing to do" in capsys.readouterr().err
    store_of(location, rows_of(range(12, 13)))
    assert main(["compact", "--store", location]) == 0
    assert "2 shards into 1" in capsys.readouterr().err
    pd.testing.assert_frame_equal(store.read(), expected(13), check_exact=True)
    assert verify(store, 3).findings == []


def test_large_shards_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmtsim.store.compact, "ROWS", 40)
    store = store_of(tmp_path / "s", rows_of(range(8)), *(rows_of(range(k, k + 2)) for k in range(8, 28, 2)))
    large = Path(store.shards()[0])
    before = large.stat()
    assert compact(store).after == 3
    assert (large.stat().st_ino, large.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    files = snapshot(store)
    assert compact(store).after == 3
    assert snapshot(store) == files  # nothing to do
    pd.testing.assert_frame_equal(store.read(), expected(28), check_exact=True)


def test_shards_of_other_origin_stay_apart(tmp_path: Path) -> None:
    rows = [rows_of(range(k, k + 2)) for k in range(0, 8, 2)]
    for part in rows[::2]:
        part.attrs["blas"] = "another 1"
    store = store_of(tmp_path / "s", *rows)
    assert compact(store) == (4, 2, 0)
    kernels = []
    for shard in store.shards():
        with shard.open() as opened:
            kernels.append((opened.metadata["blas"], sorted(set(opened.read(["draw"])["draw"].to_pylist()))))
    assert ("another 1", [0, 1, 4, 5]) in kernels


def test_equal_copies_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rmtsim.store.compact, "ROWS", 48)
    monkeypatch.setattr(rmtsim.store.repeated_rows, "_ROWS", 10)  # a point at a time
    store = store_of(tmp_path / "s", rows_of(range(8)), rows_of(range(4)), rows_of(range(2, 10)), rows_of(range(3)))
    with pytest.raises(StoreError, match=r"twice, with equal values; `rmtsim compact --store"):
        store.read()
    with pytest.raises(StoreError, match="twice"):
        list(store.tables(["draw"]))
    done = compact(store)
    assert done.dropped == 16 + 24 + 12
    pd.testing.assert_frame_equal(store.read(), expected(10), check_exact=True)
    assert verify(store).findings == []


def test_a_shard_of_copies_only_goes(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", rows_of(range(8)))
    copy = pq.read_table(store.shards()[0])
    (store.draws_folder / "copy.parquet").write_bytes(as_parquet(copy, "3"))
    assert compact(store) == (2, 1, 32)
    pd.testing.assert_frame_equal(store.read(), expected(8), check_exact=True)


def test_different_copies_are_not_touched(tmp_path: Path) -> None:
    rows = rows_of(range(2))
    store = store_of(tmp_path / "s", rows, altered(rows, diag_sqfro=rows["diag_sqfro"] + 1e-9))
    before = snapshot(store)
    with pytest.raises(StoreError, match=r"with different values; `rmtsim verify --store"):
        compact(store)
    with pytest.raises(StoreError, match=r"with different values; `rmtsim verify --store"):
        store.read()
    assert snapshot(store) == before


def test_a_compaction_cut_short(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(location, *(rows_of(range(k, k + 2)) for k in range(0, 6, 2)))

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rmtsim.store.Writer, "remove", dies)
    monkeypatch.setattr(LocalFiles, "replace", lambda *_: False)  # as on most servers
    with pytest.raises(KeyboardInterrupt):
        compact(store)
    monkeypatch.undo()
    assert len(store.files.names("draws")) == 4
    assert len(store.shards()) == 1
    pd.testing.assert_frame_equal(store.read(), expected(6), check_exact=True)
    assert {finding.kind for finding in verify(store).findings} == {"leftover"}
    assert compact(store).after == 1  # finishes it
    assert len(store.files.names("draws")) == 1
    assert verify(store).findings == []


def test_shards_without_a_digest_get_one(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", rows_of(range(8)))
    path = Path(store.shards()[0])
    rewrite(path, pq.read_table(path), "4")
    assert not store.shards()[0].digest
    assert compact(store) == (1, 1, 0)
    assert store.shards()[0].digest
    before = snapshot(store)
    compact(store)
    assert snapshot(store) == before
    pd.testing.assert_frame_equal(store.read(), expected(8), check_exact=True)
    assert verify(store).findings == []


def test_a_reader_whom_compaction_overtakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path / "s", *(rows_of(range(k, k + 2)) for k in range(0, 6, 2)))
    stale, shards = [store.shards()], Store.shards
    compact(store)
    monkeypatch.setattr(Store, "shards", lambda self: stale.pop() if stale else shards(self))
    pd.testing.assert_frame_equal(store.read(), expected(6), check_exact=True)
    stale.append([rmtsim.store.shards.Shard(store.files, "00000001-0000000000000000.parquet")])
    assert sum(table.num_rows for table in store.tables(["draw"])) == 24
    (store.draws_folder / "0.parquet").symlink_to("nowhere")
    with pytest.raises(StoreError, match="was removed while it was to be read; try again"):
        list(store.tables(["draw"]))
    assert [finding.kind for finding in verify(store).findings] == ["unreadable"]
    (store.draws_folder / "0.parquet").unlink()


def test_a_stream_that_compaction_overtakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, in its midst: what is in a new shard of rows that were yielded before is left out, and nothing else."""
    monkeypatch.setattr(rmtsim.store.ahead, "AHEAD", 1)
    monkeypatch.setattr(rmtsim.store.gathering, "ROWS", 1)  # a shard at a time
    store = store_of(tmp_path / "s", *(rows_of(range(k, k + 2)) for k in range(0, 16, 2)))
    tables = store.tables(KEY)
    rows = [next(tables), next(tables)]
    assert compact(store).after == 1
    store_of(tmp_path / "s", rows_of(range(16, 18)))
    assert compact(store).after == 1  # the shard that replaced those is replaced
    rows += list(tables)
    read = pd.concat([table.to_pandas() for table in rows]).sort_values(KEY, ignore_index=True)
    pd.testing.assert_frame_equal(read, expected(18)[KEY])
    store_of(tmp_path / "s", rows_of(range(17, 18)))
    with pytest.raises(StoreError, match=r"seed 7, layer .*, twice, with equal values"):  # negative control
        list(store.tables(KEY))
