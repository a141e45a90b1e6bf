"""Faults below the store: one sentence reports each, and no row is lost that was said to be stored."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtsim.cli.main import main
from rmtsim.store import Store, StoreError
from rmtsim.store.compact import compact
from tests.filled_stores import SPEC, fill, holds, rows_of
from tests.s3 import location, s3, s3_server

__all__ = ["location", "s3", "s3_server"]  # fixtures


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    store = fill(tmp_path / "s", range(4))

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with store.writer() as writer:
        monkeypatch.setattr(os, call, refuse)
        with pytest.raises(StoreError, match=f"{os.strerror(code)}.*; what was there is safe"):
            writer.append(rows_of(range(4, 6)), SPEC)
        monkeypatch.undo()
        holds(store, 4)
        writer.append(rows_of(range(4, 6)), SPEC)  # there is room again
    holds(store, 6)


def test_a_commit_is_on_disk_before_it_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut cannot be had here; the order of the calls that it would meet can."""
    store, calls = fill(tmp_path / "s", range(2)), []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        calls.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        calls.append(("rename", target.name))
        replace(source, target)

    with store.writer() as writer:
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", renamed)
        name = writer.append(rows_of(range(2, 4)), SPEC).name
        monkeypatch.undo()
    (_, temporary), *others = calls
    assert re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{12}}\.tmp", temporary)
    assert others == [("rename", name), ("sync", "draws")]


LIMITED = """
import resource, sys
import rmtsim
from rmtsim.store import Store, StoreError
point = rmtsim.Point("linear", "ce", 5, 12, 30)
with Store(sys.argv[1]).writer() as writer:
    writer.append(rmtsim.simulate(point, range(4, 6), seed=7), {"name": "test"})
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        writer.append(rmtsim.simulate(point, range(6, 8), seed=7), {"name": "test"})
    except StoreError as error:
        print(error)
"""


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    store = fill(tmp_path / "s", range(4))
    done = subprocess.run([sys.executable, "-c", LIMITED, str(store.root)], capture_output=True, text=True, check=True)
    assert "cannot be written (File too large); what was there is safe" in done.stdout
    holds(store, 6)


DENIED = """
import os, sys
import rmtsim
from rmtsim.store import Store
from rmtsim.errors import InputError, RunError
folder, uid = sys.argv[1], int(sys.argv[2])
point = rmtsim.Point("linear", "ce", 5, 12, 30)
rows = rmtsim.simulate(point, range(4, 6), seed=7)
Store(folder + "/s").read()
writer = Store(folder + "/s").writer()
writer.__enter__()
if uid:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
else:
    os.chmod(folder + "/s/draws", 0o555)
def tell(function):
    try:
        function()
        print("done")
    except (InputError, RunError) as error:
        print(type(error).__name__, error)
tell(lambda: writer.append(rows, {"name": "test"}))
tell(lambda: print(len(Store(folder + "/s").read())))
writer.__exit__()
os.chmod(folder, 0o555) if not uid else None
tell(Store(folder + "/new").writer().__enter__)
os.chmod(folder + "/shut", 0) if not uid else None
tell(Store(folder + "/shut").read)
"""


def test_permission_denied(tmp_path: Path) -> None:
    """By the system: without the rights of root, in a process of its own."""
    root = os.getuid() == 0
    folder = Path(tempfile.mkdtemp(dir="/tmp")) if root else tmp_path  # which another user may look into
    try:
        folder.chmod(0o755)
        store = fill(folder / "s", range(4))
        fill(folder / "shut", range(4))
        if root:
            (folder / "shut" / "draws").chmod(0o700)
        else:
            (folder / "shut" / "draws").chmod(0)
        script = [sys.executable, "-c", DENIED, str(folder), "65534" if root else "0"]
        said = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
        assert said[0].startswith("StoreError store: ")
        assert said[0].endswith("cannot be written (Permission denied); what was there is safe")
        assert said[1:3] == ["4", "done"]
        assert said[3] == (
            f"InputError store: {folder}/new cannot be written (Permission denied); give another directory"
        )
        assert "cannot be read (Permission denied)" in said[4]
        for path in (folder, folder / "s" / "draws", folder / "shut" / "draws", folder / "shut"):
            path.chmod(0o755)
        holds(store, 4)
    finally:
        if root:
            shutil.rmtree(folder)


def test_a_truncated_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = fill(tmp_path / "s", range(4), range(4, 6), range(6, 8))
    path = Path(store.shards()[1])
    whole = path.read_bytes()
    for length in (0, 3, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=f"{path.name} does not hold the bytes .*; bring it back"):
            store.read()
        with pytest.raises(StoreError, match=path.name):
            list(store.tables(["draw"]))
        assert main(["verify", "--store", str(store.root)]) == 1
        assert f"torn: {path}" in capsys.readouterr().out
    path.unlink()  # the advice
    with store.writer() as writer:
        writer.append(rows_of(range(4, 6)), SPEC)
    holds(store, 8)


def flips(length: int, count: int) -> Iterator[tuple[int, int]]:
    random.seed(5)
    for _ in range(count):
        yield random.randrange(4, length), 1 << random.randrange(8)


def test_a_flipped_bit_in_a_page(tmp_path: Path) -> None:
    store = fill(tmp_path / "s", range(200))
    path, right = Path(store.shards()[0]), store.read()
    whole = path.read_bytes()
    pages = pq.ParquetFile(path).metadata.row_group(0)
    columns = [pages.column(k) for k in range(pages.num_columns)]
    starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    ends = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
    other, seen = path.with_name("pages.parquet"), 0
    for place, bit in flips(max(ends), 300):
        other.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        try:  # as readers do that know nothing of the name's digest
            found = pq.read_table(other, page_checksum_verification=True).to_pandas()
        except (OSError, pa.ArrowException):
            seen += 1
        else:  # a byte that nobody needs
            pd.testing.assert_frame_equal(found, pq.read_table(path).to_pandas(), check_exact=True)
    assert seen > 250
    other.unlink()
    # Negative control: without checksums, a wrong number comes back and nothing shows it.
    table = pq.read_table(path)
    bare = tmp_path / "bare.parquet"
    pq.write_table(table, bare, compression="none", use_dictionary=False)
    content = bare.read_bytes()
    value = pa.array(right["diag_sqfro"][:1]).buffers()[1].to_pybytes()[:8]
    place = content.index(value)
    bare.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    wrong = pq.read_table(bare, page_checksum_verification=True).to_pandas()
    assert (wrong["diag_sqfro"] != right["diag_sqfro"]).sum() == 1


def test_a_clock_set_back(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing asks what time it is: order is in the names, and whether an owner lives in what it writes."""
    monkeypatch.setattr("rmtsim.store.lock.RENEWAL", 0.05)
    monkeypatch.setattr("rmtsim.store.lock.PATIENCE", 5.0)
    now = [2e9]

    def earlier() -> float:
        now[0] -= 3600.0
        return now[0]

    monkeypatch.setattr(time, "time", earlier)
    monkeypatch.setattr(time, "time_ns", lambda: int(earlier() * 1e9))
    store = fill(location, range(4), range(4, 6))
    if "://" not in location:
        for age, shard in enumerate(store.shards()):
            os.utime(Path(shard), (4e9 - 1e9 * age, 4e9 - 1e9 * age))  # the first commit is of the year 2096
    with store.writer() as writer:
        with pytest.raises(StoreError, match="is being written by process"), Store(location).writer():
            pass
        writer.append(rows_of(range(6, 8)), SPEC)
    assert [shard.order[0] for shard in store.shards()] == [1, 2, 3]
    [table] = store.tables(["draw"])
    assert table["draw"].unique().to_pylist() == [*range(8)]  # in commit order
    holds(store, 8)
    assert compact(store).after == 1
    holds(store, 8)


#: A process for each step that forks, arms the child to kill itself there, and says how it ended.
