"""Shards as other versions or other hands would have written them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from rmtsim.store.shard_files import FORMAT, as_parquet
from rmtsim.store.shard_names import ShardName, file_digest, parse_name


def rewrite(path: Path, table: pa.Table, layout: str = FORMAT) -> Path:
    """Put a table in the place of a shard, under a name that fits its bytes; it is the caller's what they mean."""
    parts = parse_name(path.name)
    assert parts
    data = as_parquet(table, layout)
    digest = "" if layout == "4" else file_digest(pa.BufferReader(data))
    path.unlink()
    new = path.with_name(str(ShardName(parts.commit, digest, parts.compacted)))
    new.write_bytes(data)
    return new


def flipped(data: bytes, place: int, bit: int = 0) -> bytes:
    """Flip one bit of a byte."""
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]
