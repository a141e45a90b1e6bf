"""Compaction in one step where the file system can do it, and in several where it cannot; by itself in long sweeps."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from concurrent.futures import FIRST_COMPLETED, wait
from pathlib import Path

import pandas as pd
import pytest

import rmtsim
import rmtsim.sweeps.loop
import rmtsim.sweeps.runner
from harness.specs import SPEC as SWEEP
from harness.specs import spec_of
from rmtsim.store import Store, StoreError, exchange
from rmtsim.store.compact import compact
from rmtsim.store.storage import WRITING, LocalFiles
from rmtsim.store.verify import verify
from rmtsim.sweeps.jobs import Finished
from rmtsim.sweeps.runner import run
from rmtsim.sweeps.thread_workers import ThreadWorkers
from tests.parted_stores import expected, rows_of, store_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_of(tmp_path / "s", *(rows_of(range(k, k + 2)) for k in range(0, 8, 2)))


def is_compacted(store: Store) -> None:
    assert len(os.listdir(store.draws_folder)) == 1
    assert os.listdir(Path(store.root) / WRITING) == []
    pd.testing.assert_frame_equal(store.read(), expected(8), check_exact=True)
    assert verify(store).findings == []


def test_other_readers_see_every_row_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    exchanged, dissolve, unlink, seen = exchange._exchange, exchange.dissolve, os.unlink, []

    def look(*_: object) -> None:
        seen.append(len(pd.read_parquet(store.draws_folder)))

    def looking(function: object) -> object:
        return lambda *arguments, **options: (look(), function(*arguments, **options), look())[1]

    monkeypatch.setattr(exchange, "_exchange", looking(exchanged))
    monkeypatch.setattr(exchange, "dissolve", looking(dissolve))
    monkeypatch.setattr(os, "unlink", looking(unlink))
    compact(store)
    assert len(seen) > 8
    assert set(seen) == {32}
    is_compacted(store)


def test_a_file_that_comes_meanwhile_is_not_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    exchanged = exchange._exchange

    def late(one: Path, other: Path) -> None:
        (other / "notes.txt").write_text("mine")
        exchanged(one, other)

    monkeypatch.setattr(exchange, "_exchange", late)
    compact(store)
    assert (store.draws_folder / "notes.txt").read_text() == "mine"
    (store.draws_folder / "notes.txt").unlink()
    is_compacted(store)


def test_what_stays_is_the_same_file(store: Store) -> None:
    path = store.draws_folder / ".DS_Store"
    path.write_text("x")
    store.draws_folder.chmod(0o2775)
    before = path.stat().st_ino
    compact(store)
    assert path.stat().st_ino == before
    assert store.draws_folder.stat().st_mode & 0o7777 == 0o2775
    path.unlink()
    is_compacted(store)


@pytest.mark.parametrize("call", ["link", "exchange", "no such call"])
@pytest.mark.parametrize("code", [errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.EMLINK])
def test_file_systems_that_cannot_do_it(store: Store, monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AttributeError if call == "no such call" else OSError(code, os.strerror(code))

    monkeypatch.setattr(*((os, "link") if call == "link" else (exchange, "_exchange")), refuse)
    compact(store)
    is_compacted(store)


def test_a_link_and_a_folder_in_the_folder(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.root, tmp_path / "t")
    (tmp_path / "t" / "draws").rename(tmp_path / "elsewhere")
    (tmp_path / "t" / "draws").symlink_to(tmp_path / "elsewhere")
    compact(Store(tmp_path / "t"))
    is_compacted(Store(tmp_path / "t"))
    assert (tmp_path / "t" / "draws").is_symlink()
    (store.draws_folder / "mine").mkdir()
    compact(store)
    (store.draws_folder / "mine").rmdir()
    is_compacted(store)


def test_files_are_deleted_several_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Store(tmp_path / "s").files
    together, delete = threading.Barrier(8), LocalFiles.delete

    def meet(self: LocalFiles, path: str) -> None:
        together.wait(timeout=60)  # which ends only where eight are there at once
        delete(self, path)

    monkeypatch.setattr(LocalFiles, "delete", meet)
    files.prepare(("draws",))
    for name in range(16):
        files.write(f"draws/{name}", b"x")
    files.delete_all([f"draws/{name}" for name in range(16)])
    assert files.names("draws") == []

    def refuse(self: LocalFiles, path: str) -> None:
        raise StoreError(path)

    monkeypatch.setattr(LocalFiles, "delete", refuse)
    with pytest.raises(StoreError):
        files.delete_all(["draws/1", "draws/2"])


def one_at_a_time(workers: ThreadWorkers, timeout: float) -> list[Finished]:
    """Wait for a batch, and return it alone: on a loaded machine all may come back at once."""
    done = list(wait(workers._running, return_when=FIRST_COMPLETED).done)
    return [found for future in done[:1] if (found := workers._finished(future))]


def test_a_long_sweep_compacts_its_store(
    tmp_path: Path, undisturbed: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small shards without end would take every reader minutes."""
    monkeypatch.setattr(rmtsim.sweeps.loop, "COMMIT_EVERY", 0.0)
    monkeypatch.setattr(rmtsim.sweeps.runner, "MANY", 4)
    monkeypatch.setattr(ThreadWorkers, "next_done", one_at_a_time)
    store, counts, append = Store(tmp_path / "s"), [], rmtsim.store.Writer.append

    def counting(*arguments: object) -> object:
        counts.append(len(store.listed()))
        return append(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rmtsim.store.Writer, "append", counting)
    run(spec_of(SWEEP, tmp_path), store, workers=1, backend="numpy")
    assert len(counts) > 10  # commits
    assert max(counts) <= 4 + len(counts) // 4  # one of each four, and what is to become the next
    pd.testing.assert_frame_equal(store.read(), undisturbed, check_exact=True)
    assert len(pd.read_parquet(store.draws_folder)) == len(undisturbed)
    assert verify(store).damage == []


class Unsearched(list[str]):
    """A list in which nobody looks for an entry: of a hundred thousand, for each of as many files, it takes minutes."""

    def __contains__(self, _: object) -> bool:
        raise AssertionError


def test_files_that_go_are_not_looked_up_in_a_list(tmp_path: Path) -> None:
    folder = tmp_path / "draws"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)
    assert exchange.replace_files(folder, [("d", b"d")], Unsearched(["a", "b"]), tmp_path / "new")
    assert sorted(path.name for path in folder.iterdir()) == ["c", "d"]
    exchange.dissolve(folder, tmp_path, Unsearched(["c"]))
    assert (tmp_path / "d").read_text() == "d"
    assert not (tmp_path / "c").exists()
