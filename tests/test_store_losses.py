"""Shards that someone removed, sweeps that are not finished, files that cannot be read: each has its own message."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.store import Store, StoreError
from rmtsim.store.commits import read_commits
from rmtsim.store.compact import compact
from rmtsim.store.storage import LocalFiles
from rmtsim.store.verify import verify
from rmtsim.sweeps.spec import from_document
from tests.filled_stores import POINT, SPEC, rows_of
from tests.s3 import location, s3, s3_server

__all__ = ["location", "s3", "s3_server"]  # fixtures


def fill(store: Store, *parts: range) -> Store:
    with store.writer() as writer:
        writer.save_spec("test", SPEC)
        for part in parts:
            writer.append(rows_of(part), SPEC)
    return store


def found(store: Store) -> list[str]:
    return [str(finding) for finding in verify(store).findings]


@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_removed_shard_is_missed(location: str, place: int, caplog: pytest.LogCaptureFixture) -> None:
    store = fill(Store(location), range(2), range(2, 4), range(4, 6))
    assert found(store) == []
    removed = store.shards()[place - 1]
    store.files.delete(removed.path)
    missing = found(store)
    assert missing[0] == (
        f"missing: commit {place}, whose shard is not there any more; bring it back from a copy, or run the specs "
        "again, which makes its draws"
    )
    assert main(["verify", "--store", location]) == 1
    fill(store, range(2 * place - 2, 2 * place))  # the advice
    assert f"commit {place} of {store.files.where()} cannot be found any more" in caplog.text
    assert [shard.order[0] for shard in store.shards()][-1] == 4  # no number is given twice
    assert found(store) == []
    caplog.clear()
    fill(store, range(6, 8))
    assert not caplog.messages  # said once


def test_what_compaction_replaced_is_not_missed(location: str) -> None:
    store = fill(Store(location), range(2), range(2, 4), range(4, 6))
    for k in (6, 8):
        assert compact(store).after == 1
        assert found(store) == []
        fill(store, range(k, k + 2))
        assert found(store) == []
    compact(store)
    fill(store, range(2))
    assert compact(store).dropped == 2  # a shard that none takes the place of
    assert found(store) == []
    [last] = store.shards()
    store.files.delete(last.path)
    assert "missing: commit" in found(store)[0]


def test_a_killed_writer_leaves_nothing_to_miss(tmp_path: Path) -> None:
    store = fill(Store(tmp_path / "s"), range(2))
    script = f"""
import os, rmtsim
from rmtsim.store import Store
writer = Store({str(store.root)!r}).writer().__enter__()
for k in (2, 4):
    writer.append(rmtsim.simulate(rmtsim.Point("linear", "ce", 5, 12, 30), range(k, k + 2), seed=7), {SPEC})
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert read_commits(store.files).last == 1
    assert found(store) == []
    Path(store.shards()[1]).unlink()
    assert found(store)[0].startswith("missing: commit 2, whose")


def test_a_commit_that_failed_takes_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(Store(tmp_path / "s"), range(2))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.writer() as writer:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            writer.append(rows_of(range(2, 4)), SPEC)
        monkeypatch.undo()
        writer.append(rows_of(range(2, 4)), SPEC)
    assert found(store) == []


@pytest.mark.parametrize("content", ["", "{}", '{"last": 1, "gone": 3}', "\x00"])
def test_a_torn_list_of_commits(tmp_path: Path, content: str) -> None:
    store = fill(Store(tmp_path / "s"), range(2), range(2, 4))
    (Path(store.root) / "commits.json").write_text(content)
    [torn] = found(store)
    assert torn.startswith("torn: ")
    assert torn.endswith("commits.json is torn; remove it, and the next writer makes it anew")
    with store.writer():
        pass
    assert found(store) == []
    assert read_commits(store.files).last == 2


def test_an_unfinished_sweep_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = {
        "name": "test",
        "model": "linear",
        "loss": "ce",
        "grid": {"n_classes": [5, 6, 7], "aspect_ratio": [0.4], "dim": [12]},
        "sampling": {"seed": 7, "min_draws": 4, "max_draws": 8},
    }
    spec = from_document(document)
    store = Store(tmp_path / "s")
    with store.writer() as writer:
        writer.save_spec("test", spec.document())
        for draws in (range(4), range(5, 6)):
            writer.append(rows_of(draws), spec.document())
        writer.append(rmtsim.simulate(spec.points()[1], range(3), seed=7), spec.document())
    assert main(["verify", "--store", str(store.root)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"unfinished: point {POINT.id}, seed 7: draw 4 of 0 to 5 not there yet; the same `rmtsim run` fills them",
        "unfinished: 2 of the 3 points of test have fewer than 4 draws; the same `rmtsim run` fills them",
        "3 shards, 8 rows: sound; 1 of 3 points have the draws that their sweep asks for at least, see `rmtsim status "
        f"--store {store.root}`",
    ]
    assert main(["verify", "--store", str(store.root), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["sound"], report["points"], report["satisfied"]) == (True, 3, 1)
    with store.writer() as writer:
        writer.append(rows_of(range(4, 5)), spec.document())
        writer.append(rmtsim.simulate(spec.points()[1], range(3, 4), seed=7), spec.document())
        writer.append(rmtsim.simulate(spec.points()[2], range(4), seed=7), spec.document())
    assert main(["verify", "--store", str(store.root)]) == 0
    assert capsys.readouterr().out == "6 shards, 14 rows: all is well\n"


class Failing:
    """A file that a disk fails to read, after some bytes."""

    closed = False

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # noqa: SIM115

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        if self._file.tell() < 100:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._file.read(size)


@pytest.mark.parametrize(
    ("opened", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be read (Permission denied); make it readable"),
        (OSError(errno.ESTALE, "Stale file handle"), "cannot be read (Stale file handle); try again"),
        (None, "; try again"),
    ],
)
def test_what_cannot_be_read_is_not_to_be_removed(
    tmp_path: Path,
    opened: OSError | None,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = fill(Store(tmp_path / "s"), range(2), range(2, 4))
    shard = store.shards()[0]
    open_file = LocalFiles.open

    def refuse(files: LocalFiles, path: str) -> pa.NativeFile:
        if path != shard.path:
            return open_file(files, path)
        if opened is not None:
            raise opened
        return pa.PythonFile(Failing(str(shard)), "r")

    monkeypatch.setattr(LocalFiles, "open", refuse)
    with pytest.raises(StoreError) as refused:
        store.read()
    assert str(refused.value).endswith(words)
    assert "remove" not in str(refused.value)
    assert main(["verify", "--store", str(store.root)]) == 1
    assert capsys.readouterr().out.startswith("unreadable: ")
    monkeypatch.undo()
    Path(shard).write_bytes(Path(shard).read_bytes()[:-9])  # negative control
    with pytest.raises(StoreError, match="remove it and run its spec again"):
        store.read()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    told = r"is on a file system that has no locks \(No locks available\); give a store on another"
    with pytest.raises(InputError, match=told), Store(tmp_path / "s").writer():
        pass


def test_a_folder_below_draws_is_foreign(location: str) -> None:
    store = fill(Store(location), range(2))
    store.files.prepare(("draws/old",))
    store.files.write("draws/old/x.parquet", b"PAR1")
    assert found(store) == [
        f"foreign: {store.files.where('draws/old')} is a folder, whose files other readers see; move it elsewhere"
    ]


def test_a_folder_of_a_store_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(Store(tmp_path / "s"), range(2))
    for name in ("draws", "sweeps"):
        assert main(["verify", "--store", f"{tmp_path}/s/{name}/"]) == 2
        assert f"is a folder of a store; give the store, {tmp_path}/s" in capsys.readouterr().err
    fill(Store(tmp_path / "draws"), range(2))  # a name like another
    assert main(["verify", "--store", f"{tmp_path}/draws"]) == 0


def test_export_says_first_what_is_wrong_with_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = fill(Store(tmp_path / "s"), range(2))
    (tmp_path / "t.csv").mkdir()
    for out, words in (("t.csv", "is a folder"), ("none/t.csv", "there is no folder"), ("x" * 249 + ".csv", "")):
        assert main(["export", "--store", str(store.root), "--out", f"{tmp_path}/{out}"]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert ".tmp" not in said
        assert "--out: " in said
