"""Checks of a shard against its name and its metadata, made before its rows are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from rmtsim.sampling.draws import STREAMS
from rmtsim.sampling.schema import VALUES
from rmtsim.store.failures import ForeignError, TornError
from rmtsim.store.shard_files import FORMAT, commit_name
from rmtsim.store.shard_names import ShardName, file_digest, parse_name

if TYPE_CHECKING:
    from rmtsim.store.shards import Shard

#: Formats that are read.
FORMATS = ("2", "3", "4", FORMAT)

#: Columns that may have nulls.
_NULLABLE = ("width", *VALUES)

_AGAIN = "bring it back from a copy, or remove it and run its spec again"


def check_bytes(shard: Shard, source: pa.NativeFile) -> None:
    """Compare the bytes of a shard with the digest in its name, where there is one.

    Raises
    ------
    TornError
        If the bytes are not those that were written.
    """
    if shard.digest and file_digest(source) != shard.digest:
        raise TornError(f"store: {shard} does not hold the bytes that were written under its name; {_AGAIN}")


def check_format(shard: Shard, metadata: Mapping[str, str]) -> None:
    """Check that this version reads a shard, and continues its draws.

    Raises
    ------
    ForeignError
        If it does not.
    """
    version, stream = metadata.get("format"), metadata.get("stream", "?")
    if version is None:
        raise ForeignError(f"store: {shard} is not a shard of rmtsim; move it elsewhere")
    if version not in FORMATS:
        raise ForeignError(
            f"store: {shard} has format {version}, this rmtsim reads {', '.join(FORMATS)}; use another --store"
        )
    if stream not in STREAMS.values():
        raise ForeignError(
            f"store: {shard} holds draws of stream {stream}, which this rmtsim does not continue; use another --store"
        )


def check_name(shard: Shard, metadata: Mapping[str, str]) -> None:
    """Compare the name of a shard with the commit that its metadata name since format 5.

    Raises
    ------
    ForeignError
        If it was written under another name.
    """
    if shard.digest or metadata["format"] == FORMAT:
        right = str(ShardName(metadata.get("commit", "?"), shard.digest or "DIGEST", "replaces" in metadata))
        if right != shard.name:
            advice = "rename it, or remove it if that is there" if shard.digest else _AGAIN
            raise ForeignError(f"store: {shard} was written under another name, {right}; {advice}")


def check_draws(shard: Shard, keys: Callable[[], pa.Table]) -> None:
    """Compare the keys of a shard's rows with its name, where that has a digest of the keys and none of the bytes.

    Raises
    ------
    ForeignError
        If it holds other draws.
    """
    parts = parse_name(shard.name)
    if parts and not parts.digest and commit_name(parts.number, keys()) != parts.commit:
        raise ForeignError(f"store: {shard} holds other draws than its name says; {_AGAIN}")


def check_content(table: pa.Table) -> None:
    """Raise ValueError if a table holds values that no writer writes."""
    table.validate(full=True)
    if empty := [name for name in table.column_names if name not in _NULLABLE and table[name].null_count]:
        raise ValueError(f"{empty[0]} is missing in some rows")
