"""The Parquet store of draws: immutable shards, one writer, nothing half-written.

``DIR/draws/`` is a plain Parquet dataset with the columns of ``rmtsim.schema``. A shard holds one stretch of draws
of one point and never changes, but that a writer gives shards of an older format the columns they lack. It is written
under a hidden name, synced and renamed, so a kill at any moment leaves it whole or absent. ``DIR/sweeps/`` keeps the
specs that were run, one JSON document each.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.errors import InputError
from rmtsim.schema import KEY, SCHEMA
from rmtsim.shards import StoreError, as_table, read_shard, upgraded

__all__ = ["Store", "StoreError", "Writer"]


class Store:
    """A store in a local directory. Opening one creates nothing; see `writer` for writing.

    Parameters
    ----------
    directory
        The store's root, ``DIR``.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.root = Path(directory)
        self.draws = self.root / "draws"
        self.sweeps = self.root / "sweeps"
        existing = next((path for path in (self.root, *self.root.parents) if path.exists()), self.root)
        if existing.exists() and not existing.is_dir():
            raise InputError(f"store: {existing} is a file; give a directory")

    def shards(self) -> list[Path]:
        """All shards, sorted by name."""
        return sorted(self.draws.glob("[!.]*.parquet"))

    def read(self, columns: Iterable[str] | None = None, points: Iterable[str] | None = None) -> pd.DataFrame:
        """Read the draws, sorted by point, seed, draw and layer.

        Parameters
        ----------
        columns
            Columns to read; all by default.
        points
            Identities of points to read; all by default.

        Raises
        ------
        StoreError
            If a shard is torn, has another format, or repeats rows of another.
        """
        columns = list(SCHEMA.names if columns is None else columns)
        wanted = None if points is None else set(points)
        fields = [name for name in SCHEMA.names if name in {*columns, *KEY}]
        tables = [
            read_shard(path, fields) for path in self.shards() if wanted is None or path.name.split("-")[0] in wanted
        ]
        schema = pa.schema([SCHEMA.field(name) for name in fields])
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        frame: pd.DataFrame = table.to_pandas().sort_values(KEY, ignore_index=True)
        if "width" in frame:
            frame = frame.astype({"width": "Int64"})
        repeated = frame.duplicated(KEY)
        if repeated.any():
            row = frame.loc[repeated, KEY].iloc[0].to_dict()
            raise StoreError(f"store: {self.draws} holds draw {row} twice; remove one of the shards that repeat it")
        selected: pd.DataFrame = frame[columns]
        return selected

    def specs(self) -> list[dict[str, Any]]:
        """Return the specs that were run into this store, sorted by name."""
        documents = []
        for path in sorted(self.sweeps.glob("*.json")):
            try:
                document = json.loads(path.read_text())
            except ValueError as error:
                raise StoreError(f"store: {path} is not JSON ({error}); remove it and run its spec again") from error
            if not isinstance(document, dict) or document.get("name") != path.stem:
                raise StoreError(f"store: {path} is no spec of rmtsim; remove it and run its spec again")
            documents.append(document)
        return documents

    def writer(self) -> Writer:
        """Open the store for writing, as a context manager; only one writer at a time."""
        return Writer(self)


class Writer:
    """The one writer of a store; holds a lock that the system frees when the process ends, however it ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock: int | None = None

    def __enter__(self) -> Writer:
        root = self._store.root
        try:
            for folder in (self._store.sweeps, self._store.draws):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"store: {root} cannot be written ({error.strerror}); give another directory") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._lock, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self._lock)
            self._lock = None
            raise StoreError(f"store: {root} is being written by {owner}; wait for it, or use another store") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
        for leftover in [*self._store.draws.glob(".*.tmp"), *self._store.sweeps.glob(".*.tmp")]:
            leftover.unlink()  # of a writer that was killed: this one holds the lock
        try:
            self._upgrade()
        except StoreError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def save_spec(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep a spec beside the draws; the same spec again leaves the file untouched."""
        path = self._store.sweeps / f"{name}.json"
        text = json.dumps(document, indent=1, sort_keys=True) + "\n"
        if not path.exists() or path.read_text() != text:
            self._write(path, lambda temporary: temporary.write_text(text))

    def append(self, rows: pd.DataFrame, spec: Mapping[str, Any]) -> Path:
        """Commit rows of one point, one seed and consecutive draws as a new shard; on return they are on disk.

        Raises
        ------
        StoreError
            If the disk refuses. No part of the shard is then visible.
        """
        first = rows.iloc[0]
        layers = "_".join(rows["layer"].unique())
        start, stop = rows["draw"].min(), rows["draw"].max() + 1
        name = f"{first.point_id}-s{first.seed}-{start:09d}-{stop:09d}-{layers}.parquet"
        path = self._store.draws / name
        self._write_shard(path, as_table(rows, spec))
        return path

    def _upgrade(self) -> None:
        """Bring shards of an older format up to date: of a mixed dataset other readers take the first one's columns."""
        for path in self._store.shards():
            if (table := upgraded(path)) is not None:
                self._write_shard(path, table)

    def _write_shard(self, path: Path, table: pa.Table) -> None:
        self._write(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))

    def _write(self, path: Path, fill: Any) -> None:
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            fill(temporary)
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoreError(f"store: {path} cannot be written ({error.strerror}); what was there is safe") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
