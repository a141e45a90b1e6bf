"""Paths that are not UTF-8 are refused before anything is written; what cannot be opened is not to be deleted."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rmtsim.cli.main import main
from rmtsim.data.own_data import OwnData
from rmtsim.errors import InputError
from rmtsim.files.path_names import check_path
from rmtsim.store import Store, StoreError
from rmtsim.store.saved_files import SavedFiles
from rmtsim.store.storage import LocalFiles, open_files
from rmtsim.store.verify import verify
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.sweeps.training_spec import load_any
from tests.small_sweeps import TINY
from tests.trained_tables import TRAIN

#: A name as Latin-1 has it, which is no UTF-8.
LATIN = os.fsdecode(b"caf\xe9")


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "train.toml").write_text(TRAIN)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def everything(folder: Path) -> set[bytes]:
    return {os.fsencode(path) for path in folder.rglob("*")}


def test_no_verb_begins_with_a_path_that_is_not_utf_8(specs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound, latin = str(specs / "store"), str(specs / LATIN)
    for name in ("train", "tiny"):
        assert main(["run", str(specs / f"{name}.toml"), "--store", sound]) == 0
    shutil.copytree(sound, latin)
    shutil.copy(specs / "tiny.toml", f"{latin}.toml")
    np.savez(f"{latin}.npz", X=np.eye(4), y=[0, 1, 0, 1])
    before = everything(specs)
    for line in (
        *(["run", str(specs / f"{name}.toml"), "--store", latin] for name in ("train", "tiny")),
        ["run", f"{latin}.toml", "--store", sound],
        ["plan", str(specs / "tiny.toml"), "--store", latin],
        ["status", "--store", latin],
        ["verify", "--store", latin],
        ["compact", "--store", latin],
        ["merge", sound, "--store", latin],
        ["merge", latin, "--store", str(specs / "new")],
        ["fit", "--store", latin],
        ["export", "--store", latin, "--out", str(specs / "means.csv")],
        ["export", "--store", sound, "--out", f"{latin}.csv"],
        ["figure", "fig8", "--store", sound, "--out", f"{latin}.png"],
        ["reproduce", "simo", "--out", latin],
        ["reproduce", "fig1", "--data", f"{latin}.npz", "--out", str(specs / "out")],
        ["run", str(specs / "tiny.toml"), "--store", f"file://{latin}"],
        ["run", str(specs / "tiny.toml"), "--store", f"s3://bucket/{LATIN}"],
    ):
        capsys.readouterr()
        assert main(line) == 2, line
        said = capsys.readouterr().err
        assert "is not valid UTF-8; give " in said, line
        assert said.count("\n") == 1
        assert "remove" not in said
        assert everything(specs) == before, line


def test_a_folder_in_which_one_works_counts(specs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (specs / LATIN).mkdir()
    monkeypatch.chdir(specs / LATIN)
    with pytest.raises(InputError, match=r"store: mine, in .*/caf\\xe9, is not valid UTF-8; give another directory"):
        Store("mine")
    with pytest.raises(InputError, match=r"data: mine.npz, in .*/caf\\xe9, is not valid UTF-8"):
        OwnData("mine.npz").parameters()
    Store(specs / "café")


def test_names_that_another_encoding_of_the_system_writes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_path("/café", "store", "give another directory")
    monkeypatch.setattr(os, "fsencode", lambda path: path.encode("latin-1"))
    with pytest.raises(InputError, match="store: /café is not valid UTF-8"):
        check_path("/café", "store", "give another directory")


def no_such_file(path: str) -> OSError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


FAILURES: list[Callable[[str], Exception]] = [
    no_such_file,
    lambda path: PermissionError(errno.EACCES, os.strerror(errno.EACCES), path),
    lambda path: OSError(errno.EIO, os.strerror(errno.EIO), path),
    lambda path: OSError(errno.ESTALE, os.strerror(errno.ESTALE), path),
    lambda path: pa.ArrowException("Failed to open"),
    lambda path: OSError("When reading information for key: AWS Error NETWORK_CONNECTION during HeadObject operation"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=range(len(FAILURES)))
@pytest.mark.parametrize("when", ["open", "read"])
@pytest.mark.parametrize("folder", ["draws/", "sweeps/", "experiments/", "commits.json", "_spec.json", ".saved"])
def test_what_cannot_be_opened_or_read_is_not_to_be_deleted(
    folder: str,
    when: str,
    failure: Callable[[str], Exception],
    specs: Path,
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = specs / "store"
    shutil.copytree(made / "store", store)
    opened = LocalFiles.open

    class Breaks:
        """A file that opens and cannot be read."""

        closed = False

        def __init__(self, path: str) -> None:
            self._path = path

        def read(self, size: int = -1) -> bytes:
            raise failure(self._path)

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return 0

        def seek(self, *_: int) -> int:
            return 0

        def size(self) -> int:
            return 100

        def close(self) -> None:
            pass

        def __enter__(self) -> Breaks:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def breaking(self: LocalFiles, path: str) -> pa.NativeFile:
        if folder in path:
            if when == "open":
                raise failure(path)
            return Breaks(path)
        return opened(self, path)

    monkeypatch.setattr(LocalFiles, "open", breaking)
    if folder == "draws/" and failure is no_such_file:
        return  # a shard that goes while others are read was replaced: readers look for the one in its place
    for finding in verify(Store(store)).findings:
        assert finding.kind in ("unreadable", "unfinished", "missing"), finding
        assert "remove" not in str(finding)
    name = "tiny" if folder in ("draws/", "sweeps/") else "train"
    assert main(["run", str(specs / f"{name}.toml"), "--store", str(store)]) in (0, 1)
    said = capsys.readouterr().err
    assert "remove it" not in said
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with draws, tables, and what a task saved."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "train.toml").write_text(TRAIN)
    (folder / "tiny.toml").write_text(TINY)
    for name in ("train", "tiny"):
        assert main(["run", str(folder / f"{name}.toml"), "--store", str(folder / "store")]) == 0
    table = sorted((folder / "store/experiments/train").glob("*.parquet"))[0]
    table.unlink()
    SavedFiles(open_files(folder / "store"), "experiments/train", table.name)["saved"] = b"on the way to it"
    return folder


def test_what_this_pyarrow_cannot_decode_is_not_to_be_deleted(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was built without the codec: the bytes are those that were written."""
    shutil.copytree(made / "store", tmp_path / "store")
    store = Store(tmp_path / "store")
    assert run_tables(load_any(str(made / "train.toml")).experiment(), store).new_tables == 1  # type: ignore[union-attr]

    def refuses(*_: object, **__: object) -> None:
        raise pa.ArrowNotImplementedError("Support for codec 'zstd' not built")

    monkeypatch.setattr("rmtsim.store.table_files.pq.read_table", refuses)
    with pytest.raises(StoreError, match=r"is sound, and cannot be read .*; use another version of pyarrow"):
        load_any(str(made / "train.toml")).experiment().read(store)  # type: ignore[union-attr]
    monkeypatch.setattr("rmtsim.store.shards.pq.ParquetFile", refuses)
    with pytest.raises(StoreError, match=r"is sound, and cannot be read .*; use another version of pyarrow"):
        store.read()
