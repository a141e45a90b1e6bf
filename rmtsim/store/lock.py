"""Single-writer lock of a store; it reports its holder, and the lock of a dead writer can be taken over.

On a local directory the system keeps the lock and frees it when the process ends, however it ends. Elsewhere a writer
writes a claim: a small object that it renews. Clocks of different machines are never compared: a claim whose content
has not changed for ``PATIENCE`` seconds, while its reader watched, belongs to a dead writer.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import logging
import os
import platform
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rmtsim.errors import InputError
from rmtsim.files.regular_files import NotRegularError, regular_descriptor
from rmtsim.store.failures import AbsentError, StoreError
from rmtsim.store.storage import Files, LocalFiles
from rmtsim.text.json_text import PlainDataError, parse_json

_log = logging.getLogger(__name__)

#: Seconds without a renewal after which the owner of a claim counts as dead; seconds between two renewals.
PATIENCE, RENEWAL = 30.0, 5.0


class Lock(ABC):
    """The exclusive right to write to a store."""

    @abstractmethod
    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        StoreError
            If another writer has it; the sentence names its process and host.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise StoreError if the lock was taken over, as happens to a process that was suspended for long."""

    @abstractmethod
    def release(self) -> None:
        """Release the lock; nothing happens if it is not held."""


def lock_of(files: Files) -> Lock:
    """Return the lock of a store, given its files."""
    return FlockLock(files) if isinstance(files, LocalFiles) else ClaimLock(files)


def _owner() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        user = f"user {os.getuid()}"
    return f"process {os.getpid()} of {user} on {platform.node()}"


def _refused(files: Files, owner: str) -> StoreError:
    return StoreError(f"store: {files.where()} is being written by {owner}; wait for it, or use another store")


class FlockLock(Lock):
    """A lock on a file, kept by the system."""

    def __init__(self, files: LocalFiles) -> None:
        self._files = files
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock."""
        try:
            descriptor = self._open()
        except NotRegularError as error:
            raise InputError(
                f"store: {error.filename} cannot be the store's lock ({error.strerror}); move it elsewhere"
            ) from error
        except OSError as error:
            raise InputError(
                f"store: {self._files.root} cannot be written ({error.strerror}); give another directory"
            ) from error
        try:
            self._lock(descriptor)
        except BlockingIOError:
            owner = _read_name(descriptor)
            os.close(descriptor)
            raise _refused(self._files, owner) from None
        except OSError as error:
            os.close(descriptor)
            raise InputError(
                f"store: {self._files.root} is on a file system that has no locks ({error.strerror}); give a store on "
                "another"
            ) from error
        self._descriptor = descriptor
        with suppress(OSError):  # a full disk: the lock is held all the same, without a name
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{_owner()}\n".encode(), 0)

    def _open(self) -> int:
        path = self._files.root / ".lock"
        try:
            return regular_descriptor(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        except PermissionError:
            if not os.access(self._files.root, os.W_OK):
                raise
            # Earlier versions made a file that colleagues may only read. It locks as well, without the owner's name.
            return regular_descriptor(path, os.O_RDONLY | os.O_NOFOLLOW)

    def _lock(self, descriptor: int) -> None:
        """Lock the file. Try twice: whoever asks for a writer's presence holds the lock for a moment."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def check(self) -> None:
        """Do nothing: the system does not take a lock from a living process."""

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def _read_name(descriptor: int) -> str:
    """Return the owner's name, which it may be about to write."""
    for _ in range(10):
        time.sleep(0.05)
        if name := os.pread(descriptor, 200, 0).decode(errors="replace").strip():
            return name
    return "another process"


class ClaimLock(Lock):
    """A lock by claims in ``locks/``: a writer that sees another living claim gives up, so at most one goes on."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._name = f"{uuid.uuid4().hex}.json"
        self._counter = 0
        self._buried: list[str] = []  # claims of dead writers that this one took over from
        self._lost = ""
        self._held = False
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._renewer = threading.Thread(target=self._renew_all_along, name="rmtsim-claim", daemon=True)

    def acquire(self) -> None:
        """Take the lock."""
        self._held = True
        try:
            self._put()
            self._start_renewing()
            if dead := self._dead():
                self._buried = dead
                self._put()  # before the claims go: a writer that wakes up finds itself named here
                for name in self._buried:
                    self._files.delete(f"locks/{name}")
            self.check()
        except BaseException:
            self.release()
            raise

    def _start_renewing(self) -> None:
        try:
            self._renewer.start()
        except RuntimeError as error:
            raise StoreError(
                f"store: {self._files.where()} cannot be claimed ({error}: ulimit -u, or memory); raise the limit"
            ) from error

    def _dead(self) -> list[str]:
        """Watch all other claims; return those that were not renewed, raise StoreError if one was."""
        watched: dict[str, tuple[str, float]] = {}  # name → content, and when it was first seen
        while others := self._look()[0]:
            for name, content in others.items():
                if name not in watched:
                    watched[name] = content, time.monotonic()
                    _log.warning(
                        "store: %s was claimed by %s; looking for %.0f s whether it lives",
                        self._files.where(),
                        parse_claim(content)["owner"],
                        PATIENCE,
                    )
                elif content != watched[name][0]:
                    raise _refused(self._files, parse_claim(content)["owner"])
            now = time.monotonic()
            if all(now - watched[name][1] >= PATIENCE for name in others):
                return list(others)
            time.sleep(RENEWAL / 4)
        return []

    def _look(self) -> tuple[dict[str, str], bool]:
        """Return the content of the other claims, by name, and whether its own is there."""
        names = self._files.names("locks")
        return _contents(self._files, [name for name in names if name != self._name]), self._name in names

    def check(self) -> None:
        """Raise StoreError if the lock was taken over."""
        with self._guard:
            if not self._lost:
                others, there = self._look()
                heirs = [claim for claim in map(parse_claim, others.values()) if self._name in claim["buried"]]
                if heirs or not there:
                    self._lost = heirs[0]["owner"] if heirs else "another process"
            if self._lost:
                raise StoreError(
                    f"store: {self._files.where()} was taken over by {self._lost}, as this process had not renewed its "
                    f"claim for {PATIENCE:.0f} s; what it had reported is safe"
                )

    def _put(self) -> None:
        with self._guard:
            self._counter += 1
            claim = {"owner": _owner(), "counter": self._counter, "buried": self._buried}
            self._files.write(f"locks/{self._name}", json.dumps(claim).encode())

    def _renew_all_along(self) -> None:
        while not self._stop.wait(RENEWAL):
            begun = time.monotonic()
            try:
                self.check()  # never bring back a claim that was taken away
                self._put()
                if time.monotonic() - begun > PATIENCE:  # it slept here, and may have brought back a claim
                    self._lost = "another process"
                    self._files.delete(f"locks/{self._name}")
            except StoreError:
                if self._lost:
                    return  # a server that does not answer may do so next time

    def release(self) -> None:
        """Release the lock."""
        if not self._held:
            return
        self._held = False
        self._stop.set()
        if self._renewer.is_alive():
            self._renewer.join()
        with suppress(StoreError):  # a claim that is left stands still from now on, which frees the lock as well
            self._files.delete(f"locks/{self._name}")


def claims(files: Files) -> dict[str, str]:
    """Return the content of all claims to a store, by name."""
    return _contents(files, files.names("locks"))


def _contents(files: Files, names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        if name.endswith(".json"):
            with suppress(AbsentError):  # its owner has just ended
                found[name] = files.read(f"locks/{name}").decode(errors="replace")
    return found


def parse_claim(content: str) -> dict[str, Any]:
    """Return a claim: ``owner``, number of renewals (``counter``), and the claims that it took over (``buried``)."""
    with suppress(PlainDataError):
        match parse_json(content):
            case {"owner": str(owner), "counter": int(counter), "buried": list(buried)}:
                return {"owner": owner, "counter": counter, "buried": buried}
    return {"owner": "another process", "counter": 0, "buried": []}
