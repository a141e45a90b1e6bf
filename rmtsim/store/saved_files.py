"""Files with the saved state of a task, beside its table until that exists. Each begins with a digest.

The digest is of the content and the file's name, so that the state of one task is not taken for that of another. In
earlier versions it was of the content alone.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from hashlib import blake2b

from rmtsim.store.failures import TornError
from rmtsim.store.storage import Files

#: Number of bytes of the digest.
_SIZE = 16


def saved_prefix(file: str) -> str:
    """Return the prefix of the names of all files that are saved on the way to a table's file."""
    return f"_{file.removesuffix('.parquet')}."


class SavedFiles(MutableMapping[str, bytes]):
    """The saved state of the task of one table, by name: a file for each name, in the folder of the table.

    Parameters
    ----------
    files, folder, file
        The files of the store, the folder of the table, and the name of the table's file.
    """

    def __init__(self, files: Files, folder: str, file: str) -> None:
        self._files, self._folder, self._prefix = files, folder, saved_prefix(file)

    def __iter__(self) -> Iterator[str]:
        names = self._files.names(self._folder)
        return (name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> bytes:
        if name not in set(self):
            raise KeyError(name)
        return read_saved(self._files, self._path(name))

    def __setitem__(self, name: str, data: bytes) -> None:
        path = self._path(name)
        self._files.write(path, saved_bytes(path.rpartition("/")[2], data))

    def __delitem__(self, name: str) -> None:
        self._files.delete(self._path(name))

    def clear(self) -> None:
        """Remove all files, including those that a kill left half-written under a hidden name."""
        for file in self._files.names(self._folder):
            if file.startswith((self._prefix, f".{self._prefix}")):
                self._files.delete(f"{self._folder}/{file}")

    def _path(self, name: str) -> str:
        return f"{self._folder}/{self._prefix}{name}"


def saved_bytes(name: str, data: bytes) -> bytes:
    """Return the content of a file that is to be saved under a name: the digest, then the data."""
    return _digest(name, data) + data


def read_saved(files: Files, path: str) -> bytes:
    """Return the data that were saved in a file.

    Raises
    ------
    TornError
        If the content is not what was saved there.
    UnreadableError
        If the file is not handed out.
    """
    content = files.read(path)
    digest, data = content[:_SIZE], content[_SIZE:]
    if digest not in (_digest(path.rpartition("/")[2], data), blake2b(data, digest_size=_SIZE).digest()):
        raise TornError(f"store: {files.where(path)} is torn; remove it, and the same call goes on without it")
    return data


def _digest(name: str, data: bytes) -> bytes:
    return blake2b(data, digest_size=_SIZE, key=blake2b(name.encode(), digest_size=32).digest()).digest()
