"""Conversion of rows to the Parquet file of a shard: sorted, with metadata, and with a name made of digests."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rmtsim.arrays.backend import get_backend
from rmtsim.sampling.schema import KEY, SCHEMA
from rmtsim.store.core_time import CoreTime
from rmtsim.store.shard_names import ShardName, file_digest
from rmtsim.version import __version__

#: Version of the store's layout; a reader refuses versions that it does not know.
FORMAT = "7"

#: Number of rows of a row group, which is read and written at once.
GROUP_ROWS = 1 << 17

#: Most rows of a large shard; a shard with half as many counts as large already.
ROWS = 1 << 20

#: Columns whose values differ from row to row; the others repeat a few values.
_OWN = ("draw", "diag_sqfro", "offdiag_sqfro")
_TEXT = [field.name for field in SCHEMA if pa.types.is_string(field.type)]
#: Metadata for pandas: the width, which may be missing, is a nullable integer.
_PANDAS = json.dumps(
    {
        "index_columns": [],
        "column_indexes": [],
        "columns": [
            {"name": "width", "field_name": "width", "pandas_type": "int64", "numpy_type": "Int64", "metadata": None}
        ],
    }
)


def commit_name(number: int, table: pa.Table) -> str:
    """Return the name of a commit: its number, and a digest of the draws in its sorted table."""
    return f"{number:08d}-{content_digest(table)}"


def content_digest(table: pa.Table) -> str:
    """Return a digest of the keys of a table's draws; its rows must be sorted."""
    digest = blake2b(digest_size=8)
    for name in KEY:
        column = table[name].combine_chunks()
        if name in _TEXT:
            encoded = column.cast(pa.string()).dictionary_encode()
            digest.update(json.dumps(encoded.dictionary.to_pylist()).encode())
            column = encoded.indices
        digest.update(column.to_numpy().astype("<i4" if name in _TEXT else "<i8", copy=False).tobytes())
    return digest.hexdigest()


def as_table(rows: pd.DataFrame | pa.Table, spec: Mapping[str, Any], core_time: CoreTime | None = None) -> pa.Table:
    """Return rows as the table of a shard: sorted, with metadata on their origin."""
    if isinstance(rows, pd.DataFrame):
        blas = rows.attrs.get("blas", "unknown")
        table = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)
    else:
        blas = (rows.schema.metadata or {}).get(b"rmtsim.blas", b"unknown").decode()
        table = rows.select(SCHEMA.names).cast(SCHEMA)
    seeds, backends = pc.unique(table["seed"]).to_pylist(), pc.unique(table["backend"]).to_pylist()
    if len(seeds) != 1 or len(backends) != 1:
        raise ValueError(f"rows of seeds {seeds} and backends {backends}: a shard holds rows of one seed and backend")
    metadata = {
        "rmtsim.version": __version__,
        "rmtsim.stream": get_backend(backends[0]).stream,
        "rmtsim.numpy": np.__version__,
        "rmtsim.machine": platform.machine(),
        "rmtsim.blas": blas,
        "rmtsim.seed": str(seeds[0]),
        "rmtsim.spec": json.dumps(spec, sort_keys=True),
        **(core_time or CoreTime()).metadata(),
    }
    return sort(table).replace_schema_metadata(metadata)


def encoded(table: pa.Table) -> pa.Table:
    """Return a table whose text columns are dictionaries, which take a quarter of the memory."""
    for place, field in enumerate(SCHEMA):
        if field.name in _TEXT:
            table = table.set_column(place, field.name, table[field.name].dictionary_encode())
    return table


def sort(table: pa.Table) -> pa.Table:
    """Sort rows by point, seed, draw and layer."""
    order = sort_order(table)
    return table if order is None else table.take(order)


def sort_order(table: pa.Table) -> pa.Array | None:
    """Return the order of a table's rows by point, seed, draw and layer; None if they are sorted already."""
    ranks = []
    for name in KEY:
        column = table[name].combine_chunks()
        if name in _TEXT:
            codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            place = np.argsort(np.argsort(np.array(codes.dictionary.to_pylist(), dtype=object)))
            ranks.append(place[codes.indices.to_numpy()])
        else:
            ranks.append(column.to_numpy())
    spans = [(int(rank.min()), int(rank.max()) - int(rank.min()) + 1) for rank in ranks] if table.num_rows else []
    if math.prod(span for _, span in spans) >= 2**62:
        return pa.array(np.lexsort(ranks[::-1]))
    code = np.zeros(table.num_rows, dtype=np.int64)  # all four in one number, which sorts faster
    for rank, (least, span) in zip(ranks, spans, strict=False):
        code = code * span + (rank - least)
    return None if np.all(np.diff(code) >= 0) else pa.array(np.argsort(code, kind="stable"))


def as_shard(table: pa.Table, number: int, replaces: Collection[str] = ()) -> tuple[str, pa.Buffer]:
    """Return the name and the bytes of a commit's shard, made of a sorted table with its metadata.

    Parameters
    ----------
    table, number
        Its rows and metadata, and its number.
    replaces
        Names of the shards that it replaces.
    """
    commit = commit_name(number, table)
    metadata = {**(table.schema.metadata or {}), b"rmtsim.commit": commit.encode()}
    if replaces:
        metadata[b"rmtsim.replaces"] = json.dumps(sorted(replaces)).encode()
    data = as_parquet(table.replace_schema_metadata(metadata))
    return str(ShardName(commit, file_digest(pa.BufferReader(data)), bool(replaces))), data


def as_parquet(table: pa.Table, layout: str = FORMAT) -> pa.Buffer:
    """Return the bytes of a shard with a table's rows and metadata."""
    metadata = {**(table.schema.metadata or {}), b"rmtsim.format": layout, b"pandas": _PANDAS}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema.remove_metadata(),
        compression="zstd",
        use_dictionary=[name for name in SCHEMA.names if name not in _OWN],
        column_encoding={"draw": "DELTA_BINARY_PACKED"},
        write_statistics=[*KEY, "n_classes"],  # by which readers skip what they do not need
        write_page_checksum=True,
        store_schema=False,  # Parquet's own types say it all
    ) as writer:
        writer.write_table(table.replace_schema_metadata(None), GROUP_ROWS)
        writer.add_key_value_metadata(metadata)
    return sink.getvalue()
