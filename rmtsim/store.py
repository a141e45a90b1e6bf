"""The Parquet store of draws: immutable shards, one writer, nothing half-written.

``DIR/draws/`` is a plain Parquet dataset with the columns of ``rmtsim.schema``. A shard holds the rows of one commit,
draws of one point or of several, and never changes, but that a writer gives shards of format 2 the columns they lack.
It appears whole or not at all, so a kill at any moment loses nothing that was committed. ``DIR/sweeps/`` keeps the
specs that were run, one JSON document each. DIR is a local directory or an address such as ``s3://bucket/prefix``.
"""

from __future__ import annotations

import json
import os
import shlex
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pyarrow as pa

from rmtsim.coverage import Coverage
from rmtsim.files import FAILURES, LocalFiles, StoreError, open_files, reason
from rmtsim.lock import lock_of
from rmtsim.schema import KEY, SCHEMA
from rmtsim.shards import OpenShard, Shard, VanishedError
from rmtsim.tables import as_parquet, as_table, commit_number, shard_name

__all__ = ["Store", "StoreError", "Writer"]

#: Shards that are fetched at a time, ahead of the one in use.
_AHEAD = 4


class Store:
    """A store in a directory or at an address. Opening one creates nothing; see `writer` for writing.

    Parameters
    ----------
    location
        The store's root: a local path, or an address ``s3://bucket/prefix?option=value``, of any file system of pyarrow
        or, where it is installed, fsspec.

    Attributes
    ----------
    location
        The root as it was given, without secrets.
    files
        What reads and writes its files.

    Raises
    ------
    InputError
        If the location is a file or no address.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self.files = open_files(location)
        self.location = self.files.location
        #: The root, where it is a local directory; else the address, for messages.
        self.root: Path | str = self.files.root if isinstance(self.files, LocalFiles) else self.location

    @property
    def draws(self) -> Path:
        """Directory of the shards in a local store."""
        return Path(self.files.where("draws"))

    @property
    def sweeps(self) -> Path:
        """Directory of the specs in a local store."""
        return Path(self.files.where("sweeps"))

    @property
    def quoted(self) -> str:
        """The location as a shell takes it."""
        return shlex.quote(self.location)

    def exists(self) -> bool:
        """Whether there is anything at the location."""
        return self.files.exists()

    def shards(self) -> list[Shard]:
        """All shards whose rows count, in commit order."""
        listed = self.listed()
        replaced = {name for shard in listed if shard.compacted for name in _replaces(shard)}
        return [shard for shard in listed if shard.name not in replaced]

    def listed(self) -> list[Shard]:
        """All shards, in commit order, those included that a killed compaction has replaced and not removed."""
        names = (name for name in self.files.names("draws") if name.endswith(".parquet") and name[0] != ".")
        return sorted((Shard(self.files, name) for name in names), key=lambda shard: shard.order)

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
        fields = {*columns, *KEY}
        wanted = None if points is None else set(points)
        tables = self._all(fields, wanted)
        schema = pa.schema([field for field in SCHEMA if field.name in fields])
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        frame: pd.DataFrame = table.to_pandas().sort_values(KEY, ignore_index=True)
        if "width" in frame:
            frame = frame.astype({"width": "Int64"})
        repeated = frame.duplicated(KEY)
        if repeated.any():
            self._refuse_copies(frame.loc[repeated, KEY].iloc[0].to_dict())
        selected: pd.DataFrame = frame[columns]
        return selected

    def tables(self, columns: Iterable[str] | None = None, points: Iterable[str] | None = None) -> Iterator[pa.Table]:
        """Read the draws a shard at a time, in commit order; of large shards, some 100 000 rows at a time.

        Nothing is kept, so that memory stays the same however many rows there are. Arguments and errors are those of
        `read`; columns come in the order asked for.
        """
        columns = list(SCHEMA.names if columns is None else columns)
        wanted = None if points is None else set(points)
        seen = Coverage()
        for table in self._pieces({*columns, *KEY}, wanted):
            repeated = seen.add(table)
            if repeated.any():
                self._refuse_copies(table.select(KEY).filter(pa.array(repeated)).slice(0, 1).to_pylist()[0])
            yield table.select(columns)

    def _all(self, fields: set[str], points: set[str] | None) -> list[pa.Table]:
        for _ in range(2):
            try:
                return list(self._pieces(fields, points))
            except VanishedError:  # compaction has put others in their place meanwhile
                continue
        return list(self._pieces(fields, points))

    def _pieces(self, fields: set[str], points: set[str] | None) -> Iterator[pa.Table]:
        """Pieces of shards, the next few shards being opened meanwhile."""
        with ThreadPoolExecutor(_AHEAD, thread_name_prefix="rmtsim-read") as pool:
            opening: deque[Future[OpenShard]] = deque()
            try:
                for shard in self.shards():
                    opening.append(pool.submit(shard.open))
                    if len(opening) > _AHEAD:
                        yield from _drained(opening.popleft(), fields, points)
                while opening:
                    yield from _drained(opening.popleft(), fields, points)
            finally:
                for future in opening:
                    future.cancel()
                    if not future.cancelled() and future.exception() is None:
                        future.result().__exit__()

    def _refuse_copies(self, row: Mapping[Any, Any]) -> NoReturn:
        point = self._all(set(SCHEMA.names), {row["point_id"]})
        frame = pa.concat_tables(point).to_pandas()
        equal = int(frame.duplicated(KEY).sum()) == int(frame.duplicated().sum())
        where = f"store: {self.files.where('draws')} holds draw {row} twice"
        if equal:
            raise StoreError(f"{where}, with equal values; `rmtsim compact --store {self.quoted}` drops the copies")
        raise StoreError(
            f"{where}, with different values; `rmtsim verify --store {self.quoted}` names the shards that repeat it"
        )

    def specs(self) -> list[dict[str, Any]]:
        """Return the specs that were run into this store, sorted by name."""
        documents = []
        for name in self.files.names("sweeps"):
            if name[0] == "." or not name.endswith(".json"):
                continue
            where = self.files.where(f"sweeps/{name}")
            try:
                document = json.loads(self.files.read(f"sweeps/{name}"))
            except ValueError as error:
                raise StoreError(f"store: {where} is not JSON ({error}); remove it and run its spec again") from error
            except FAILURES as error:
                raise StoreError(f"store: {where} cannot be read ({reason(error)}); make it readable") from error
            if not isinstance(document, dict) or document.get("name") != name.removesuffix(".json"):
                raise StoreError(f"store: {where} is no spec of rmtsim; remove it and run its spec again")
            documents.append(document)
        return documents

    def writer(self) -> Writer:
        """Open the store for writing, as a context manager; only one writer at a time."""
        return Writer(self)


class Writer:
    """The one writer of a store; its lock names it, and is free when its process ends, however it ends."""

    def __init__(self, store: Store) -> None:
        self._store, self._files = store, store.files
        self._lock = lock_of(store.files)
        self._number = 0

    def __enter__(self) -> Writer:
        self._files.prepare(("sweeps", "draws"))
        self._lock.acquire()
        try:
            self._tidy()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _tidy(self) -> None:
        """Finish what killed writers have left, and bring shards of format 2 up to date."""
        for folder in ("draws", "sweeps"):
            for name in self._files.names(folder):
                if name.startswith(".") and name.endswith(".tmp"):
                    self._files.delete(f"{folder}/{name}")
        listed = self._store.listed()
        self._number = max((commit_number(shard.name) for shard in listed), default=0)
        replaced = {name for shard in listed if shard.compacted for name in _replaces(shard)}
        for shard in listed:
            if shard.name in replaced:
                self._files.delete(shard.path)
            elif not commit_number(shard.name):  # of a mixed dataset other readers take the first one's columns
                with shard.open() as opened:
                    if opened.format == "2":
                        table = opened.read().replace_schema_metadata(_prefixed(opened.metadata))
                        self._files.write(shard.path, as_parquet(table))

    def save_spec(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep a spec beside the draws; the same spec again leaves the file untouched."""
        path = f"sweeps/{name}.json"
        text = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
        if f"{name}.json" not in self._files.names("sweeps") or self._files.read(path) != text:
            self._lock.check()
            self._files.write(path, text)

    def append(self, rows: pa.Table | pd.DataFrame, spec: Mapping[str, Any]) -> Shard:
        """Commit rows as a new shard; on return they are on disk.

        Parameters
        ----------
        rows
            Rows of one seed and backend, of any points and draws. A table tells the BLAS library that made them in
            ``schema.metadata[b"rmtsim.blas"]``, a DataFrame in ``attrs["blas"]``.
        spec
            Document of the spec that wanted them.

        Raises
        ------
        StoreError
            If the disk refuses, or the lock was taken over. No part of the shard is then visible.
        """
        return self.commit(as_table(rows, spec))

    def commit(self, table: pa.Table, replaces: Collection[str] = ()) -> Shard:
        """Commit a sorted table with its metadata, in the place of other shards; see `append`."""
        if replaces:
            metadata = {**table.schema.metadata, b"rmtsim.replaces": json.dumps(sorted(replaces)).encode()}
            table = table.replace_schema_metadata(metadata)
        self._number += 1
        shard = Shard(self._files, shard_name(self._number, table, bool(replaces)))
        data = as_parquet(table)
        self._lock.check()
        self._files.write(shard.path, data)
        self.remove(replaces)
        return shard

    def remove(self, names: Collection[str]) -> None:
        """Remove shards whose rows others hold."""
        for name in sorted(names):
            self._files.delete(f"draws/{name}")


def _replaces(shard: Shard) -> list[str]:
    with shard.open() as opened:
        return opened.replaces


def _prefixed(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"rmtsim.{key}": value for key, value in metadata.items() if key != "replaces"}


def _drained(opening: Future[OpenShard], fields: set[str], points: set[str] | None) -> Iterator[pa.Table]:
    with opening.result() as opened:
        yield from opened.pieces(fields, points)
