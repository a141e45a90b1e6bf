"""The file of an experiment's table: Parquet, with the table's identity in its metadata and a seal on all bytes.

The name of the file ends in a hash of all that the table is a function of, which the metadata hold too. So a reader
notices a table under the name of another, or in the folder of another experiment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.arrays.threads import blas_kernel
from rmtsim.errors import short_of_threads
from rmtsim.sampling.random_rows import STREAM
from rmtsim.store.failures import ForeignError, StoreError, TornError, UnreadableError, advice, refusal
from rmtsim.store.seal import BLANK, seal, seal_holds
from rmtsim.store.storage import Files
from rmtsim.text.json_text import PlainDataError, parse_json
from rmtsim.version import __version__

#: Changes whenever the same parameters start to give other tables.
FORMAT = "1"

_SEAL, _PATH = "digest", "table"
_AGAIN = "remove it and run its experiment again"


def table_name(label: str, parameters: Mapping[str, Any], version: str = FORMAT, stream: str = STREAM) -> str:
    """Return the name of a table's file: its label, and a hash of all that the table is a function of."""
    identity = json.dumps([version, stream, label, parameters], sort_keys=True)
    return f"{label}-{blake2b(identity.encode(), digest_size=6).hexdigest()}.parquet"


def table_bytes(rows: pd.DataFrame, path: str, parameters: Mapping[str, Any]) -> bytes:
    """Return the bytes of a table's file, sealed; ``path`` is its path in the store."""
    about = {
        "format": FORMAT,
        "version": __version__,
        "stream": STREAM,
        "blas": blas_kernel(),
        "parameters": json.dumps(parameters, sort_keys=True),
        _PATH: _place(path),
    }
    return seal(_parquet(rows, {f"rmtsim.{key}": value for key, value in {**about, _SEAL: BLANK}.items()}))


def as_stored(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the types that they have once they are read back from a table."""
    return _frame(pq.read_table(pa.BufferReader(_parquet(rows, {}))))


def _parquet(rows: pd.DataFrame, metadata: Mapping[str, str]) -> bytes:
    table = pa.Table.from_pandas(rows, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    return bytes(sink.getvalue())


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame.astype({"width": "Int64"}) if "width" in frame else frame


class TableFile:
    """A table's file, checked to be whole and to be the table that its path names.

    Attributes
    ----------
    data
        The bytes of the file.
    metadata
        Its metadata, without the prefix ``rmtsim.`` of the keys.

    Raises
    ------
    UnreadableError
        If the file is not handed out.
    TornError
        If its content is not what was written.
    ForeignError
        If it is not a table of an experiment, or another one than its path names.
    """

    def __init__(self, files: Files, path: str) -> None:
        self._where = f"store: {files.where(path)}"
        self.data = files.read(path)
        held = seal_holds(self.data)
        if held is False:
            raise TornError(f"{self._where} is torn (its digest is another); {_AGAIN}")
        self._sealed = held is not None
        self.metadata = self._about()
        if held is None:  # it stems from an earlier version: its pages have checksums, its footer has none
            if {_SEAL, _PATH} & self.metadata.keys():
                raise TornError(f"{self._where} is torn (its digest is damaged); {_AGAIN}")
            self.frame()
        self._check_path(path)

    def frame(self) -> pd.DataFrame:
        """Return the table as a DataFrame, its width a nullable integer; check the checksums of its pages, too."""
        try:
            return _frame(pq.read_table(pa.BufferReader(self.data), page_checksum_verification=True))
        except MemoryError as error:
            raise UnreadableError(f"{self._where} cannot be read (not enough memory); try again") from error
        except Exception as error:  # a damaged footer can make pyarrow raise anything
            raise self._undecodable(error) from error

    def _undecodable(self, error: Exception) -> StoreError:
        """Return the error for a file that pyarrow cannot read."""
        if short_of_threads(error):
            return UnreadableError(f"{self._where} cannot be read ({refusal(error)}); {advice(error)}")
        if self._sealed:
            return UnreadableError(
                f"{self._where} is sound, and cannot be read ({refusal(error)}); use another version of pyarrow"
            )
        return TornError(f"{self._where} is torn ({refusal(error)}); {_AGAIN}")

    def _about(self) -> dict[str, str]:
        try:
            found = pq.read_metadata(pa.BufferReader(self.data)).metadata or {}
        except Exception as error:
            raise self._undecodable(error) from error
        return {
            key.decode().removeprefix("rmtsim."): value.decode(errors="replace")
            for key, value in found.items()
            if key.startswith(b"rmtsim.") and key.isascii()
        }

    def _check_path(self, path: str) -> None:
        if not {"format", "stream", "parameters"} <= self.metadata.keys():
            raise ForeignError(f"{self._where} is not a table of rmtsim; move it elsewhere")
        try:
            parameters = parse_json(self.metadata["parameters"])
        except PlainDataError as error:
            raise TornError(f"{self._where} is torn (its parameters: {error}); {_AGAIN}") from error
        name = path.rpartition("/")[2]
        own = self.metadata.get(_PATH, _place(path))
        label = name[: -len("-0123456789ab.parquet")]
        right = table_name(label, parameters, self.metadata["format"], self.metadata["stream"])
        if own != _place(path) or name != right:
            another = f" but {own}" if own != _place(path) else ""
            raise ForeignError(
                f"{self._where} is not the table that its name says{another}; move it elsewhere and run the experiment "
                "again"
            )


def _place(path: str) -> str:
    """Return the experiment and the file of a path such as ``experiments/NAME/FILE``."""
    return path.partition("/")[2]
