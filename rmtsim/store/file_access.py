"""The interface to the files of a store, whatever the place that they lie in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from rmtsim.arrays.pool import Pool
from rmtsim.store.failures import FAILURES, AbsentError, StoreError, UnreadableError, advice, refusal
from rmtsim.text.addresses import Address

#: Folders of a store; a place with one of them counts as a store.
FOLDERS = ("draws", "sweeps", "experiments")

#: Number of files that are deleted at a time.
_AT_A_TIME = 16


class Files(ABC):
    """Files below the root of a store. Paths are relative to the root; folders are made when they are needed."""

    #: The address that opens the same files again, here or on another machine.
    address: Address

    #: The root as the user wrote it, without secrets.
    location: str

    @abstractmethod
    def exists(self, folder: str = "") -> bool:
        """Return whether there is anything at the root, or whether a folder in it exists."""

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
        """Return the sorted names of the files in a folder, hidden ones too; none for a folder that does not exist."""

    @abstractmethod
    def folders(self, folder: str) -> list[str]:
        """Return the sorted names of the folders in a folder."""

    @abstractmethod
    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading."""

    @abstractmethod
    def state(self, path: str) -> object:
        """Return a value that changes when anyone writes the file; None where only the content shows that."""

    @abstractmethod
    def write(self, path: str, data: bytes | pa.Buffer) -> None:
        """Write a file, whole or not at all, in place of an older one; on return it is on disk.

        Raises
        ------
        StoreError
            If the disk refuses; an older file is then as it was.
        """

    @abstractmethod
    def replace(self, folder: str, new: Iterable[tuple[str, bytes | pa.Buffer]], gone: Collection[str]) -> bool:
        """Replace files of a folder by new ones in a single step; return False, and do nothing, where that fails.

        Parameters
        ----------
        folder
            The folder.
        new
            Names of the new files, and what they hold.
        gone
            Names of the files that they replace.
        """

    @abstractmethod
    def settle(self, folder: str, gone: Callable[[], Collection[str]]) -> None:
        """Finish a `replace` that was killed; ``gone`` returns the names of the files that it replaced."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete a file; nothing happens if it does not exist."""

    def delete_all(self, paths: Collection[str]) -> None:
        """Delete files, several at a time."""
        with Pool(min(_AT_A_TIME, len(paths))) as pool:
            for done in [pool.submit(self.delete, path) for path in paths]:
                done.result()

    @abstractmethod
    def where(self, path: str = "") -> str:
        """Return a path as messages show it."""

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
            raise kind(f"store: {self.where(path)} cannot be read ({refusal(error)}); {advice(error)}") from error

    def _content(self, path: str) -> bytes:
        with self.open(path) as file:
            return bytes(file.read())

    @contextmanager
    def _refusal(self, path: str, done: str, advice: str = "what was there is safe") -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise StoreError(f"store: {self.where(path)} cannot be {done} ({refusal(error)}); {advice}") from error
