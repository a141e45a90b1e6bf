"""Checks of a shard against its name and its metadata, made before its rows are used.

``where`` is the shard's place, for messages, and ``name`` the name of its file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa

from rmtsim.arrays.backend import streams
from rmtsim.sampling.schema import VALUES
from rmtsim.store.failures import ForeignError, TornError
from rmtsim.store.shard_files import FORMAT, commit_name
from rmtsim.store.shard_names import ShardName, file_digest, parse_name

#: Formats that are read.
FORMATS = ("2", "3", "4", "5", "6", FORMAT)

#: Formats whose metadata need not name the commit.
_UNNAMED = ("2", "3", "4")

#: Columns that may have nulls.
_NULLABLE = ("width", *VALUES)

_AGAIN = "bring it back from a copy, or remove it and run its spec again"


def check_bytes(where: str, digest: str, source: pa.NativeFile) -> None:
    """Compare the bytes of a shard with the digest in its name, where there is one.

    Raises
    ------
    TornError
        If the bytes are not those that were written.
    """
    if digest and file_digest(source) != digest:
        raise TornError(f"store: {where} does not hold the bytes that were written under its name; {_AGAIN}")


def check_format(where: str, metadata: Mapping[str, str]) -> None:
    """Check that this version reads a shard, and continues its draws.

    Raises
    ------
    ForeignError
        If it does not.
    """
    version, stream = metadata.get("format"), metadata.get("stream", "?")
    if version is None:
        raise ForeignError(f"store: {where} is not a shard of rmtsim; move it elsewhere")
    if version not in FORMATS:
        raise ForeignError(
            f"store: {where} has format {version}, this rmtsim reads {', '.join(FORMATS)}; use another --store"
        )
    if stream not in streams():
        raise ForeignError(
            f"store: {where} holds draws of stream {stream}, which this rmtsim does not continue; use another --store"
        )


def check_name(where: str, name: str, metadata: Mapping[str, str]) -> None:
    """Compare the name of a shard with the commit that its metadata name since format 5.

    Raises
    ------
    ForeignError
        If it was written under another name.
    """
    parts = parse_name(name)
    digest = parts.digest if parts else ""
    if digest or metadata["format"] not in _UNNAMED:
        right = str(ShardName(metadata.get("commit", "?"), digest or "DIGEST", "replaces" in metadata))
        if right != name:
            advice = "rename it, or remove it if that is there" if digest else _AGAIN
            raise ForeignError(f"store: {where} was written under another name, {right}; {advice}")


def check_draws(where: str, name: str, keys: Callable[[], pa.Table]) -> None:
    """Compare the keys of a shard's rows with its name, where that has a digest of the keys and none of the bytes.

    Raises
    ------
    ForeignError
        If it holds other draws.
    """
    parts = parse_name(name)
    if parts and not parts.digest and commit_name(parts.number, keys()) != parts.commit:
        raise ForeignError(f"store: {where} holds other draws than its name says; {_AGAIN}")


def check_content(table: pa.Table) -> None:
    """Raise ValueError if a table holds values that no writer writes."""
    table.validate(full=True)
    if empty := [name for name in table.column_names if name not in _NULLABLE and table[name].null_count]:
        raise ValueError(f"{empty[0]} is missing in some rows")
