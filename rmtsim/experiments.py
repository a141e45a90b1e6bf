"""Experiments beside the sweeps: tables in a store, each written once, whole, and never computed again.

``DIR/experiments/NAME/`` holds one Parquet file for each task. Its name ends in a hash of the task's parameters, so a
table is found again if, and only if, it is the one that would be computed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.draws import STREAMS
from rmtsim.errors import InputError, RunError
from rmtsim.files import FAILURES, Files, open_files, reason
from rmtsim.store import Store
from rmtsim.threads import Team, blas_kernel, cores, single_threaded_blas
from rmtsim.version import __version__

#: Changes whenever the same parameters start to give other tables.
FORMAT = "1"

#: A store, or where it is.
Location: TypeAlias = Store | str | os.PathLike[str]


@dataclass(frozen=True)
class Task:
    """A table that an experiment consists of.

    Parameters
    ----------
    label
        What tells a reader of the directory which table it is; part of the file's name.
    parameters
        All that the table is a function of, as JSON takes it.
    compute
        Makes the table.
    cost
        Relative time; the costliest tasks start first.
    resumable
        Whether ``compute`` is given a `Saved`, where it keeps what a kill shall not cost.
    """

    label: str
    parameters: Mapping[str, Any]
    compute: Callable[..., pd.DataFrame]
    cost: float = 1.0
    resumable: bool = False

    @property
    def file(self) -> str:
        """Name of the table's file."""
        identity = json.dumps([FORMAT, STREAMS["numpy"], self.label, self.parameters], sort_keys=True)
        return f"{self.label}-{blake2b(identity.encode(), digest_size=6).hexdigest()}.parquet"


class Saved:
    """What a task keeps in the store until its table is there: a few files beside it."""

    def __init__(self, files: Files, folder: str, file: str) -> None:
        self._files, self._folder, self._prefix = files, folder, f"{file.removesuffix('.parquet')}."

    def load(self, name: str) -> bytes | None:
        """Return what was saved under a name, or None."""
        file = f"{self._prefix}{name}"
        return self._files.read(f"{self._folder}/{file}") if file in self._files.names(self._folder) else None

    def save(self, name: str, data: bytes) -> None:
        """Save under a name, in place of what was there."""
        self._files.write(f"{self._folder}/{self._prefix}{name}", data)

    def clear(self) -> None:
        """Remove all that was saved."""
        for file in self._files.names(self._folder):
            if file.startswith(self._prefix) and not file.endswith(".parquet"):
                self._files.delete(f"{self._folder}/{file}")


class Experiment:
    """A named set of tables in a store.

    Parameters
    ----------
    name
        Name of the experiment, and of the directory of its tables.
    tasks
        The tables it consists of.
    """

    def __init__(self, name: str, tasks: Sequence[Task]) -> None:
        self.name, self.tasks = name, list(tasks)

    def missing(self, store: Location) -> list[Task]:
        """Tasks whose tables are not there."""
        there = set(_files(store).names(self._folder))
        return [task for task in self.tasks if task.file not in there]

    def run(self, store: Location, workers: int | None = None, done: Callable[[Task], None] | None = None) -> int:
        """Compute what is missing, a task per core at a time; return the number of new tables.

        A kill at any moment leaves whole tables only; the same call goes on. ``done`` is told of each new table.
        """
        files, missing = _files(store), self.missing(store)
        if not missing:
            return 0
        files.prepare((self._folder,))

        def work(task: Task) -> None:
            saved = Saved(files, self._folder, task.file)
            table = task.compute(saved) if task.resumable else task.compute()
            files.write(f"{self._folder}/{task.file}", _as_parquet(table, task))
            saved.clear()
            if done is not None:
                done(task)

        with single_threaded_blas(), Team(min(workers or cores(), len(missing))) as team:
            team.map(work, sorted(missing, key=lambda task: -task.cost))
        return len(missing)

    def read(self, store: Location) -> pd.DataFrame:
        """Return the tables, one below the other in the order of the tasks.

        Raises
        ------
        InputError
            If some are missing.
        """
        files, missing = _files(store), self.missing(store)
        if missing:
            raise InputError(
                f"{self.name}: {len(missing)} of its {len(self.tasks)} tables are not in {files.where(self._folder)}; "
                f"run `rmtsim reproduce {self.name} --out DIR` first, and give DIR/store"
            )
        return pd.concat([_read(files, f"{self._folder}/{task.file}") for task in self.tasks], ignore_index=True)

    @property
    def _folder(self) -> str:
        return f"experiments/{self.name}"


def _files(store: Location) -> Files:
    return store.files if isinstance(store, Store) else open_files(store)


def _read(files: Files, path: str) -> pd.DataFrame:
    try:
        with files.open(path) as file:
            frame: pd.DataFrame = pq.read_table(file).to_pandas()
    except FAILURES as error:
        raise RunError(
            f"store: {files.where(path)} cannot be read ({reason(error)}); remove it and run the experiment again"
        ) from error
    return frame.astype({"width": "Int64"}) if "width" in frame else frame


def _as_parquet(rows: pd.DataFrame, task: Task) -> pa.Buffer:
    table = pa.Table.from_pandas(rows, preserve_index=False)
    about = {
        "rmtsim.format": FORMAT,
        "rmtsim.version": __version__,
        "rmtsim.stream": STREAMS["numpy"],
        "rmtsim.blas": blas_kernel(),
        "rmtsim.parameters": json.dumps(task.parameters, sort_keys=True),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **about}), sink, compression="zstd")
    return sink.getvalue()
