"""Shards: the Parquet files of a store, what their metadata tell, and the formats that are read."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.draws import STREAMS
from rmtsim.ensemble import LECUN
from rmtsim.errors import RunError
from rmtsim.schema import SCHEMA
from rmtsim.version import __version__

#: Version of the store's layout; a reader refuses versions that it does not know.
FORMAT = "3"

#: Columns that a format lacks, with the value that all its rows have.
_LACKS: dict[str, dict[str, Any]] = {"2": asdict(LECUN), FORMAT: {}}


class StoreError(RunError):
    """The store cannot be read or written, told in one sentence that names the file."""


def as_table(rows: pd.DataFrame, spec: Mapping[str, Any]) -> pa.Table:
    """Return rows as the table of a shard, with the metadata that say where they come from."""
    metadata = {
        "rmtsim.format": FORMAT,
        "rmtsim.version": __version__,
        "rmtsim.stream": STREAMS[rows["backend"].iloc[0]],
        "rmtsim.numpy": np.__version__,
        "rmtsim.machine": platform.machine(),
        "rmtsim.blas": rows.attrs.get("blas", "unknown"),
        "rmtsim.seed": str(rows["seed"].iloc[0]),
        "rmtsim.spec": json.dumps(spec, sort_keys=True),
    }
    table = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})


def read_shard(path: Path, columns: list[str]) -> pa.Table:
    """Read columns of a shard of any format, without its metadata."""
    try:
        file = pq.ParquetFile(path)
        lacking = _LACKS[_format(path, file)]
        table = file.read(columns=[name for name in columns if name not in lacking])
        return _filled(table, lacking).select(columns).replace_schema_metadata(None)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(path, error) from error


def upgraded(path: Path) -> pa.Table | None:
    """Return the table of a shard of an older format in the present one; None for a shard that is up to date."""
    try:
        file = pq.ParquetFile(path)
        lacking = _LACKS[_format(path, file)]
        if not lacking:
            return None
        table = _filled(file.read(), lacking).select(SCHEMA.names)
        return table.replace_schema_metadata({**file.schema_arrow.metadata, b"rmtsim.format": FORMAT.encode()})
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unreadable(path, error) from error


def _format(path: Path, file: pq.ParquetFile) -> str:
    metadata = file.schema_arrow.metadata or {}
    version, stream = (str(metadata.get(key, b"?"), "utf-8") for key in (b"rmtsim.format", b"rmtsim.stream"))
    if version == "?":
        raise StoreError(f"store: {path} is no shard of rmtsim; move it elsewhere")
    if version not in _LACKS:
        known = " and ".join(_LACKS)
        raise StoreError(f"store: {path} has format {version}, this rmtsim reads {known}; use another --store")
    if stream not in STREAMS.values():
        raise StoreError(
            f"store: {path} holds draws of stream {stream}, which this rmtsim does not continue; use another --store"
        )
    return version


def _filled(table: pa.Table, lacking: Mapping[str, Any]) -> pa.Table:
    for name, value in lacking.items():
        field = SCHEMA.field(name)
        table = table.append_column(field, pa.repeat(pa.scalar(value, field.type), table.num_rows))
    return table


def _unreadable(path: Path, error: Exception) -> StoreError:
    reason = str(error).splitlines()[0]
    return StoreError(f"store: {path} cannot be read ({reason}); remove it and run its spec again")
