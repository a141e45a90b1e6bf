"""What a task of an experiment saves on the way to its table: files beside it, each with a digest before its content.

The digest is of the content and the file's name, so that what one task saved is not taken for what another did. Earlier
versions took it of the content alone.
"""

from __future__ import annotations

from hashlib import blake2b

from rmtsim.store.failures import TornError
from rmtsim.store.storage import Files

#: Bytes of the digest.
_SIZE = 16


def saved_prefix(file: str) -> str:
    """Return how the names of all files begin that are saved on the way to a table's file."""
    return f"_{file.removesuffix('.parquet')}."


def saved_bytes(name: str, data: bytes) -> bytes:
    """Return the content of a file that is to be saved under a name."""
    return _digest(name, data) + data


def read_saved(files: Files, path: str) -> bytes:
    """Return what was saved in a file.

    Raises
    ------
    TornError
        If it is not what was saved there.
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
