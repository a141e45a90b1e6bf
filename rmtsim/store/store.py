"""The Parquet store of draws: immutable shards, one writer, nothing half-written.

``DIR/draws/`` is a plain Parquet dataset with the columns of ``rmtsim.sampling.schema``. A shard holds the rows of one
commit, draws of one point or of several, and never changes; a writer replaces those of earlier formats that lack a
column. It appears whole or not at all, so a kill at any moment loses nothing that was committed. ``DIR/sweeps/``
keeps the specs that were run, one JSON document each. DIR is a local directory or an address such as
``s3://bucket/prefix``.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pyarrow as pa

from rmtsim.errors import InputError
from rmtsim.files.path_names import names_in
from rmtsim.model.point import name_point
from rmtsim.sampling.schema import KEY, SCHEMA
from rmtsim.store.ahead import open_ahead
from rmtsim.store.coverage import Coverage
from rmtsim.store.failures import StoreError, TornError
from rmtsim.store.file_access import FOLDERS
from rmtsim.store.gathering import gathered
from rmtsim.store.representation import html_of, text_of
from rmtsim.store.row_filter import as_wanted, rows_with
from rmtsim.store.shards import Shard, VanishedError, replaced_by, rows_of
from rmtsim.store.storage import LocalFiles, open_files
from rmtsim.store.strays import is_stray
from rmtsim.store.writer import Writer
from rmtsim.text.addresses import Address
from rmtsim.text.json_text import PlainDataError, parse_json
from rmtsim.text.words import did_you_mean, name_row

__all__ = ["Store", "StoreError", "Writer"]


class Store:
    """A store of draws in a directory or at an address; opening one creates nothing.

    Parameters
    ----------
    location
        The store's root: a local path, or an address ``s3://bucket/prefix?option=value``, of any file system of pyarrow
        or, where it is installed, fsspec.

    Attributes
    ----------
    location
        The root as the user gave it, without secrets.
    files
        Its files.

    Raises
    ------
    InputError
        If the location is a file, or not a valid address.

    Examples
    --------
    >>> import tempfile
    >>> import rmtsim
    >>> grid = {"n_classes": [2, 5], "aspect_ratio": [0.5], "dim": [4]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = rmtsim.Store(folder)
    ...     outcome = rmtsim.run({"name": "mine", "model": "linear", "loss": "mse", "grid": grid}, store, workers=1)
    ...     [spec["name"] for spec in store.specs()], sorted(set(store.draws()["n_classes"]))
    (['mine'], [2, 5])
    """

    def __init__(self, location: str | os.PathLike[str] | Address) -> None:
        self.files = open_files(location)
        self.location = self.files.location
        self._checked: set[tuple[str, object]] = set()  # shards that were held against their names
        self._replaces: dict[str, list[str]] = {}  # what shards of compactions replace
        #: The root, where it is a local directory; else the address, for messages.
        self.root: Path | str = self.files.root if isinstance(self.files, LocalFiles) else self.location

    @property
    def draws_folder(self) -> Path:
        """Directory of the shards in a local store."""
        return Path(self.files.where("draws"))

    @property
    def sweeps_folder(self) -> Path:
        """Directory of the specs in a local store."""
        return Path(self.files.where("sweeps"))

    @property
    def quoted(self) -> str:
        """The location, quoted for a shell."""
        return shlex.quote(self.location)

    def __repr__(self) -> str:
        return text_of(self.location, self.tables)

    def _repr_html_(self) -> str:
        return html_of(self.location, self.tables)

    def exists(self) -> bool:
        """Return whether there is anything at the location."""
        return self.files.exists()

    def absence(self) -> str:
        """Return in words why there is no store at the location; nothing where there is one."""
        if any(self.files.exists(folder) for folder in FOLDERS):
            return ""
        if self.exists():
            return f"{self.location} holds no store"
        if not isinstance(self.files, LocalFiles):
            return f"there is nothing at {self.location}"
        folder, name = os.path.split(os.path.abspath(self.files.root))
        folders = [other for other in names_in(folder) if os.path.isdir(os.path.join(folder, other))]
        return f"there is no folder {self.location}{did_you_mean(name, folders)}"

    def check_there(self) -> None:
        """Raise InputError if there is no store at the location."""
        if why := self.absence():
            raise InputError(f"store: {why}; run a sweep into it first, or open another")

    def shards(self) -> list[Shard]:
        """Return all shards whose rows count, in commit order."""
        while True:
            listed = self.listed()
            try:
                replaced = replaced_by(listed, self._replaces)
            except VanishedError as error:
                self.check_vanished(error)
            else:
                return [shard for shard in listed if shard.name not in replaced]

    def listed(self) -> list[Shard]:
        """Return all shards in commit order, including those that a killed compaction replaced and did not remove."""
        names = (name for name in self.files.names("draws") if name.endswith(".parquet") and name[0] != ".")
        return sorted((Shard(self.files, name, self._checked) for name in names), key=lambda shard: shard.order)

    def draws(self, **columns: Any) -> pd.DataFrame:
        """Read the draws that have given values in given columns; without any, all draws.

        Parameters
        ----------
        **columns
            For any column of the store, the value that it should have, or a list of values. None stands for null, as
            the width of the linear model.

        Returns
        -------
        DataFrame
            One row per (point, draw, layer) with the columns of `rmtsim.simulate`, sorted by point, seed, draw and
            layer. It is empty where nothing fits.

        Raises
        ------
        InputError
            If there is no store, no such column, or a value is not of its type.
        StoreError
            If a shard is torn, has another format, or repeats rows of another.

        Examples
        --------
        >>> import tempfile
        >>> import rmtsim
        >>> point = rmtsim.Point("linear", "mse", n_classes=3, dim=4, n_samples=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = rmtsim.open_store(folder)
        ...     outcome = rmtsim.run(point, store, workers=1, sampling={"max_draws": 16})
        ...     len(store.draws(loss="mse", n_classes=[2, 3])), len(store.draws(loss="ce"))
        (16, 0)
        """
        wanted = as_wanted(columns)
        self.check_there()
        return self.read(wanted=wanted)

    def read(
        self,
        columns: Iterable[str] | None = None,
        points: Iterable[str] | None = None,
        wanted: Mapping[str, list[Any]] | None = None,
    ) -> pd.DataFrame:
        """Read columns of draws, sorted by point, seed, draw and layer.

        Parameters
        ----------
        columns
            Columns to read; all by default.
        points
            Identities of points to read; all by default.
        wanted
            Values that rows must have, by column.

        Raises
        ------
        StoreError
            If a shard is torn, has another format, or repeats rows of another.
        """
        columns = list(SCHEMA.names if columns is None else columns)
        wanted = wanted or {}
        fields = {*columns, *KEY, *wanted}
        chosen = None if points is None else frozenset(points)
        tables = [rows_with(table, wanted) for table in self._all(fields, chosen)]
        schema = pa.schema([field for field in SCHEMA if field.name in fields])
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        frame = as_frame(table)
        repeated = frame.duplicated(KEY)
        if repeated.any():
            self.refuse_copies(frame.loc[repeated, KEY].iloc[0].to_dict())
        selected: pd.DataFrame = frame[columns]
        return selected

    def tables(self, columns: Iterable[str] | None = None, points: Iterable[str] | None = None) -> Iterator[pa.Table]:
        """Read the draws in commit order, some shards at a time; large shards come in parts of some 100 000 rows.

        No part is kept, so that memory does not grow with the number of rows. Arguments and errors are those of
        `read`; columns come in the order asked for.
        """
        columns = list(SCHEMA.names if columns is None else columns)
        wanted = None if points is None else frozenset(points)
        seen = Coverage()
        shards = self.shards()
        listed = set(shards)
        done: set[Shard] = set()
        while True:
            try:
                pieces = self._pieces({*columns, *KEY}, wanted, [one for one in shards if one not in done])
                for origins, table in gathered(pieces, alike=listed.__contains__):
                    done.update(origins)
                    repeated = seen.add(table := rows_of(table, wanted))
                    if repeated.any():
                        if origins[0] in listed:
                            self.refuse_copies(table.select(KEY).filter(pa.array(repeated)).slice(0, 1).to_pylist()[0])
                        table = table.filter(pa.array(~repeated))
                    yield table.select(columns)
                return
            except VanishedError as error:  # compaction has put others in its place, with rows that were seen too
                self.check_vanished(error)
                shards = self.shards()

    def _all(self, fields: set[str], points: frozenset[str] | None) -> list[pa.Table]:
        while True:
            try:
                pieces = self._pieces({*fields, "point_id"}, points, self.shards())
                return [rows_of(table, points) for _, table in gathered(pieces)]
            except VanishedError as error:  # compaction has put others in their place meanwhile
                self.check_vanished(error)

    def check_vanished(self, error: VanishedError) -> None:
        """Raise the error again if its shard is still listed, as a link to nowhere would be."""
        if error.shard.name in self.files.names("draws"):
            raise error

    def _pieces(
        self, fields: set[str], points: frozenset[str] | None, shards: Collection[Shard]
    ) -> Iterator[tuple[Shard, pa.Table]]:
        """Yield the pieces of shards, in their order, without sifting their points."""
        with closing(open_ahead(shards)) as ahead:
            for shard, opened in ahead:
                for table in opened.pieces(fields, points, sift=False):
                    yield shard, table

    def refuse_copies(self, row: Mapping[Any, Any]) -> NoReturn:
        """Raise the error for a row that the store holds twice."""
        point = self._all(set(SCHEMA.names), frozenset({row["point_id"]}))
        frame = pa.concat_tables(point).to_pandas()
        equal = int(frame.duplicated(KEY).sum()) == int(frame.duplicated().sum())
        raise self.repeated_row_error(row, equal)

    def repeated_row_error(self, row: Mapping[Any, Any], equal: bool) -> StoreError:
        """Return the error for a row that the store holds twice."""
        held = name_row(row, self.point_in_words(row["point_id"]))
        where = f"store: {self.files.where('draws')} holds {held}, twice"
        if equal:
            return StoreError(f"{where}, with equal values; `rmtsim compact --store {self.quoted}` drops the copies")
        return StoreError(
            f"{where}, with different values; `rmtsim verify --store {self.quoted}` names the shards that repeat it"
        )

    def point_in_words(self, point_id: str) -> str:
        """Return the sizes and the identity of a point, for messages."""
        columns = ["point_id", "n_classes", "dim", "n_samples", "width"]
        for table in self._all({*columns}, frozenset({point_id})):
            for row in table.select(columns).slice(0, 1).to_pylist():
                return name_point(row)
        return f"point {point_id}"

    def specs(self) -> list[dict[str, Any]]:
        """Return the specs that were run into this store, sorted by name."""
        return sorted(map(self.spec, self.spec_files()), key=lambda document: str(document["name"]))

    def spec_files(self) -> list[str]:
        """Return the names of the files of specs."""
        names = self.files.names("sweeps")
        return [name for name in names if name[0] != "." and name.endswith(".json") and not is_stray(name)]

    def spec(self, name: str) -> dict[str, Any]:
        """Return the spec in a file of `spec_files`; raise StoreError if it is torn, or another than its name says."""
        where, text = self.files.where(f"sweeps/{name}"), self.files.read(f"sweeps/{name}")
        try:
            document = parse_json(text)
        except PlainDataError as error:
            raise TornError(f"store: {where} is torn ({error}); remove it and run its spec again") from error
        if not isinstance(document, dict) or document.get("name") != name.removesuffix(".json"):
            raise StoreError(f"store: {where} is not a valid spec of rmtsim; remove it and run its spec again")
        return document

    def writer(self, folders: tuple[str, ...] = ("sweeps", "draws")) -> Writer:
        """Open the store for writing, as a context manager; only one writer at a time.

        ``folders`` are made where they do not exist.
        """
        return Writer(self.files, self.listed, folders, self._replaces)


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Return rows as a DataFrame, sorted by point, seed, draw and layer."""
    frame: pd.DataFrame = table.to_pandas().sort_values(KEY, ignore_index=True)
    return frame.astype({"width": "Int64"}) if "width" in frame else frame


def open_store(location: str | os.PathLike[str] | Store) -> Store:
    """Open a store of draws; opening one creates nothing.

    Parameters
    ----------
    location
        A directory, an address such as ``"s3://bucket/prefix"``, or a store. There need be nothing there yet:
        `rmtsim.run` makes it.

    Returns
    -------
    Store
        The store. It prints what it holds.

    Raises
    ------
    InputError
        If the location is a file or no address.

    Examples
    --------
    >>> import rmtsim
    >>> rmtsim.open_store("results")
    Store('results', 0 points, 0 draws)
    """
    return location if isinstance(location, Store) else Store(location)
