"""Stores in folders of a group, on file systems that lack something, and with what is no file in a file's place."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.data.cifar import Cifar100
from rmtsim.data.own_data import OwnData
from rmtsim.errors import InputError
from rmtsim.files.regular_files import NotRegularError, open_regular
from rmtsim.store import Store, StoreError
from rmtsim.store.storage import WRITING
from rmtsim.store.verify import verify

POINT = rmtsim.Point("linear", "ce", 3, 4, 5)
SPEC = {"name": "test"}


def fill(root: Path, *parts: range) -> Store:
    store = Store(root)
    with store.writer() as writer:
        writer.save_spec("test", SPEC)
        for part in parts or (range(4),):
            writer.append(rmtsim.simulate(POINT, part, seed=7), SPEC)
    return store


def pipe(path: Path) -> None:
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")  # whose own path may be too long for a socket
    os.close(folder)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS = {pipe: "a named pipe", bound_socket: "a socket", link_to_a_device: "a device"}


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """A minute, where the answer takes milliseconds."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it waits for a file that is none")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("make", KINDS)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    with pytest.raises(NotRegularError, match=f"it is {KINDS[make]}, not a regular file"):
        open_regular(tmp_path / "x")
    with pytest.raises(NotRegularError, match="it is a folder, not a regular file"):
        open_regular(tmp_path)
    (tmp_path / "y").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to(tmp_path / "y")
    with open_regular(tmp_path / "link") as file:  # what is read may be linked
        assert file.read() == b"bytes"


@pytest.mark.parametrize("make", KINDS)
def test_in_the_place_of_a_data_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    for path in (tmp_path / "x.npz", tmp_path / "train"):
        make(path)
    said = f"cannot be read (it is {KINDS[make]}, not a regular file)"
    for data in (OwnData(str(tmp_path / "x.npz")), Cifar100(str(tmp_path))):
        with pytest.raises(InputError, match=re.escape(said)):
            data.parameters()


@pytest.mark.parametrize("make", KINDS)
def test_in_the_place_of_a_file_of_a_store(
    tmp_path: Path, make: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "other", range(6))
    for place in ("shard", "spec", "commits"):
        store = fill(tmp_path / place)
        path = {"shard": Path(store.shards()[0]), "spec": store.sweeps_folder / "test.json"}.get(
            place, tmp_path / place / "commits.json"
        )
        path.unlink()
        make(path)
        [finding] = [str(one) for one in verify(store).findings if one.kind == "unreadable"]
        assert finding.startswith(f"unreadable: {path} cannot be read (it is {KINDS[make]}, not a regular file)")
        assert finding.endswith("; move it elsewhere")
        if place == "shard":
            for command in (
                ["export", "--out", str(tmp_path / "x.csv")],
                ["compact"],
                ["merge", str(tmp_path / "other")],
            ):
                capsys.readouterr()
                assert main([*command, "--store", str(store.root)]) == 1
                assert f"{path} cannot be read (it is {KINDS[make]}" in capsys.readouterr().err


def test_a_link_in_the_lock_s_place_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, victim = fill(tmp_path / "s", range(2), range(2, 4)), tmp_path / "victim"
    victim.write_text("mine")
    lock = tmp_path / "s" / ".lock"
    for make in (lambda path: path.symlink_to(victim), lambda path: path.symlink_to(tmp_path / "new"), *KINDS):
        lock.unlink()
        make(lock)
        assert main(["compact", "--store", str(store.root)]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"rmtsim compact: store: {lock} cannot be the store's lock (it is ")
        assert said.endswith("not a regular file); move it elsewhere\n")
        assert victim.read_text() == "mine"
        assert not (tmp_path / "new").exists()
    assert len(store.shards()) == 2


def test_a_link_in_the_place_of_a_written_file_is_not_followed(tmp_path: Path) -> None:
    store, victim = fill(tmp_path / "s"), tmp_path / "victim"
    victim.write_text("mine")
    for path in (store.sweeps_folder / "test.json", tmp_path / "s" / "commits.json"):
        path.unlink()
        path.symlink_to(victim)
    (store.sweeps_folder / "test.json").unlink()
    fill(tmp_path / "s", range(4, 6))
    assert victim.read_text() == "mine"
    assert not (tmp_path / "s" / "commits.json").is_symlink()


def test_a_link_in_the_place_of_the_folder_of_unfinished_files_is_not_followed(tmp_path: Path) -> None:
    fill(tmp_path / "s")
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / ".mine.tmp").write_text("mine")
    (tmp_path / "s" / WRITING).rmdir()
    (tmp_path / "s" / WRITING).symlink_to(victim)
    with pytest.raises(InputError, match=f"{WRITING} is a link, not a folder; remove it"):
        fill(tmp_path / "s", range(4, 6))
    assert [path.name for path in victim.iterdir()] == [".mine.tmp"]


@pytest.mark.parametrize("umask", [0o002, 0o077, 0o022])
def test_every_file_and_folder_has_the_permissions_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = fill(tmp_path / "s")
    finally:
        os.umask(before)
    paths = [store.root, *Path(store.root).rglob("*")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert {".lock", "commits.json", "test.json", store.shards()[0].name, "draws", WRITING} <= {*modes}
    for path in paths:
        assert modes[path.name] == (0o777 if path.is_dir() else 0o666) & ~umask, path


def test_a_colleague_s_lock_that_may_only_be_read_locks_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As earlier versions left it: 0644 whatever the umask."""
    store = fill(tmp_path / "s")
    opened, access, denied = os.open, os.access, []

    def of_another_user(path: str | Path, flags: int, *more: int, **others: int) -> int:
        if str(path).endswith(".lock") and flags & os.O_ACCMODE != os.O_RDONLY:
            denied.append(path)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, flags, *more, **others)

    with store.writer(), monkeypatch.context() as patch:
        patch.setattr(os, "open", of_another_user)
        with pytest.raises(StoreError, match=f"being written by process {os.getpid()}"), store.writer():
            pass
    monkeypatch.setattr(os, "open", of_another_user)
    fill(tmp_path / "s", range(4, 6))
    assert len(store.read()) == 6
    with store.writer(), pytest.raises(StoreError, match="being written by another process"), store.writer():
        pass
    assert denied
    # In a folder that the user may not write, the sentence comes before anything else.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    with pytest.raises(InputError, match="cannot be written \\(Permission denied\\); give another directory"):
        fill(tmp_path / "s")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS, errno.EACCES])
def test_a_file_system_that_cannot_bring_a_folder_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fsync, refused = os.fsync, []

    def no_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            refused.append(descriptor)
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", no_folders)
    store = fill(tmp_path / "s")
    assert refused
    assert len(store.read()) == 4
    assert not verify(store).findings


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_on_a_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    store, fsync = fill(tmp_path / "s"), os.fsync

    def failing(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    with store.writer() as writer:
        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(StoreError, match=os.strerror(code)):
            writer.append(rmtsim.simulate(POINT, range(4, 6), seed=7), SPEC)
        monkeypatch.undo()


def test_draws_on_another_file_system(tmp_path: Path) -> None:
    """A folder of a store may be a link to a larger disk, to which a rename does not reach."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        assert os.stat(elsewhere).st_dev != tmp_path.stat().st_dev
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "draws").symlink_to(elsewhere)
        store = fill(tmp_path / "s", range(2), range(2, 4))
        assert len(store.read()) == 4
        assert len(os.listdir(elsewhere)) == 2
        assert not list((tmp_path / "s" / WRITING).iterdir())


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF])
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match=r"is on a file system that has no locks .*; give a store on another"):
        fill(tmp_path / "s")
    assert not Store(tmp_path / "s").shards()


def test_no_temporary_file_lies_where_other_readers_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They read a folder as it is at any moment, and some take hidden files for data."""
    store, replace, seen = fill(tmp_path / "s"), os.replace, []

    def look(source: Path, target: Path) -> None:
        seen.append(sorted(path.name for path in store.draws_folder.iterdir()))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    before = sorted(path.name for path in store.draws_folder.iterdir())
    with store.writer() as writer:
        writer.append(rmtsim.simulate(POINT, range(4, 6), seed=7), SPEC)
    assert seen[0] == before


def test_what_a_killed_writer_had_begun_goes_with_the_next(tmp_path: Path) -> None:
    store = fill(tmp_path / "s")
    begun = tmp_path / "s" / WRITING / ".00000002-0000000000000000.parquet.0123.tmp"
    begun.write_bytes(b"PAR1")
    [finding] = verify(store).findings
    assert finding.kind == "leftover"
    with store.writer():
        assert not begun.exists()
    assert not verify(store).findings
