"""What every place of a store can do with its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import pyarrow as pa

from rmtsim.arrays.pool import Pool
from rmtsim.store.failures import FAILURES, AbsentError, StoreError, UnreadableError, advice, reason
from rmtsim.text.addresses import Address

#: Folders of a store; whatever has one of them is one.
FOLDERS = ("draws", "sweeps", "experiments")

#: Files that a server is asked to delete at a time.
_AT_A_TIME = 16


class Files(ABC):
    """Files below the root of a store; paths are relative to it, folders are made as they are needed."""

    #: What opens them again, here or elsewhere.
    address: Address

    #: The root as the user wrote it, without secrets.
    location: str

    @abstractmethod
    def exists(self, folder: str = "") -> bool:
        """Whether there is anything at the root, or a folder in it."""

    @abstractmethod
    def prepare(self, folders: tuple[str, ...]) -> None:
        """Make the root and folders in it.

        Raises
        ------
        InputError
            If the root cannot be written.
        """

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, hidden ones too, sorted; of a folder that is not there, none."""

    @abstractmethod
    def folders(self, folder: str) -> list[str]:
        """Names of the folders in a folder, sorted."""

    @abstractmethod
    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading."""

    @abstractmethod
    def state(self, path: str) -> object:
        """Return what changes when anyone writes a file; None where only its content tells."""

    @abstractmethod
    def write(self, path: str, data: bytes | pa.Buffer) -> None:
        """Write a file, whole or not at all, over what was there; on return it is on disk.

        Raises
        ------
        StoreError
            If the disk refuses; what was there is as it was.
        """

    @abstractmethod
    def replace(self, path: str, data: bytes | pa.Buffer, gone: Collection[str]) -> bool:
        """Write a file in the place of others of its folder, in one step; return False, and do nothing, if it cannot.

        Parameters
        ----------
        path, data
            The file.
        gone
            Names of the others.
        """

    @abstractmethod
    def settle(self, folder: str, gone: Callable[[], Collection[str]]) -> None:
        """Finish what a killed `replace` has left of a folder; ``gone`` is called, if need be, for what was to go."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete a file; nothing happens where there is none."""

    def delete_all(self, paths: Collection[str]) -> None:
        """Delete files, several at a time."""
        with Pool(min(_AT_A_TIME, len(paths))) as pool:
            for done in [pool.submit(self.delete, path) for path in paths]:
                done.result()

    @abstractmethod
    def where(self, path: str = "") -> str:
        """Name a path in messages."""

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises
        ------
        AbsentError
            If it is not there.
        UnreadableError
            If the system or the server does not hand it out.
        """
        try:
            return self._content(path)
        except FAILURES as error:
            kind = AbsentError if isinstance(error, FileNotFoundError) else UnreadableError
            raise kind(f"store: {self.where(path)} cannot be read ({reason(error)}); {advice(error)}") from error

    def _content(self, path: str) -> bytes:
        with self.open(path) as file:
            return bytes(file.read())

    @contextmanager
    def _refusal(self, path: str, done: str, advice: str = "what was there is safe") -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise StoreError(f"store: {self.where(path)} cannot be {done} ({reason(error)}); {advice}") from error
