"""Experiments beside the sweeps: tables in a store, each written once, whole, and never computed again.

``DIR/experiments/NAME/`` holds one Parquet file for each task. Its name ends in a hash of the task's parameters, so a
table is found again if, and only if, it is the one that would be computed.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.arrays.threads import blas_kernel, cores, single_threaded_blas
from rmtsim.draws import STREAMS
from rmtsim.errors import InputError, RunError
from rmtsim.store import Store
from rmtsim.store.experiment_tables import FOLDER, read_table
from rmtsim.store.failures import TornError
from rmtsim.store.files import Files, open_files
from rmtsim.version import __version__

#: Changes whenever the same parameters start to give other tables.
FORMAT = "1"

#: Bytes of the checksum that stands before what a task saved.
_DIGEST = 16

#: Seconds between looks whether to stop.
_LOOK_EVERY = 0.2


class StoppedError(RunError):
    """A run was stopped before its end; what it had is kept."""


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

    def table(self, saved: Any) -> pd.DataFrame:
        """Compute the table; ``saved`` is where a resumable task keeps what it has."""
        return self.compute(saved) if self.resumable else self.compute()

    @property
    def file(self) -> str:
        """Name of the table's file."""
        identity = json.dumps([FORMAT, STREAMS["numpy"], self.label, self.parameters], sort_keys=True)
        return f"{self.label}-{blake2b(identity.encode(), digest_size=6).hexdigest()}.parquet"


class Saved:
    """What a task keeps in the store until its table is there: a few files beside it.

    ``stop`` is set when the task should save what it can, and end.
    """

    def __init__(self, files: Files, folder: str, file: str, stop: threading.Event | None = None) -> None:
        self._files, self._folder, self._prefix = files, folder, f"_{file.removesuffix('.parquet')}."
        self._stop = stop or threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether the task should end."""
        return self._stop.is_set()

    def load(self, name: str) -> bytes | None:
        """Return what was saved under a name, or None.

        Raises
        ------
        TornError
            If it is not what was saved.
        """
        file = f"{self._prefix}{name}"
        if file not in self._files.names(self._folder):
            return None
        path = f"{self._folder}/{file}"
        content = self._files.read(path)
        digest, data = content[:_DIGEST], content[_DIGEST:]
        if digest != _digest(data):
            raise TornError(
                f"store: {self._files.where(path)} is torn; remove it, and the same call goes on without it"
            )
        return data

    def save(self, name: str, data: bytes) -> None:
        """Save under a name, in place of what was there."""
        self._files.write(f"{self._folder}/{self._prefix}{name}", _digest(data) + data)

    def clear(self) -> None:
        """Remove all that was saved."""
        for file in self._files.names(self._folder):
            if file.startswith((self._prefix, f".{self._prefix}")):  # hidden: left by a kill in the midst of writing
                self._files.delete(f"{self._folder}/{file}")


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST).digest()


class Experiment:
    """A named set of tables in a store.

    Parameters
    ----------
    name
        Name of the experiment, and of the directory of its tables.
    tasks
        The tables it consists of; one that stands twice is made once.
    """

    def __init__(self, name: str, tasks: Sequence[Task]) -> None:
        self.name, self.tasks = name, list({task.file: task for task in tasks}.values())
        self._parts: list[Experiment] = [self]  # more where the tables of several are shown together

    def missing(self, store: Location) -> list[Task]:
        """Tasks whose tables are not there."""
        there = set(_files(store).names(self.folder))
        return [task for task in self.tasks if task.file not in there]

    def run(
        self,
        store: Location,
        workers: int | None = None,
        done: Callable[[Task], None] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        failed: Callable[[Task, Exception], None] | None = None,
    ) -> int:
        """Compute what is missing, a task per core at a time; return the number of new tables.

        A kill at any moment leaves whole tables only, and what tasks saved of theirs; the same call goes on. If a task
        fails, on Ctrl-C, or once ``stopping`` says so, no other begins, and those at work save what they can. ``done``
        is told of each new table. With ``failed`` a failure is told to it instead, and the others go on.

        Raises
        ------
        StoppedError
            If a task was stopped.
        """
        files, missing = _files(store), self.missing(store)
        if not missing:
            return 0
        self.prepare(store)
        stop = threading.Event()
        causes: list[BaseException] = []

        def work(task: Task) -> None:
            if stop.is_set():
                return
            try:
                self.keep(store, task, task.table(Saved(files, self.folder, task.file, stop)))
            except BaseException as error:
                if failed is not None and isinstance(error, Exception) and not isinstance(error, StoppedError):
                    failed(task, error)
                    return
                causes.append(error)  # before it makes others stop
                stop.set()  # here, before this thread takes the next
                raise
            if done is not None:
                done(task)

        by_cost = sorted(missing, key=lambda task: -task.cost)
        with single_threaded_blas(), ThreadPoolExecutor(min(workers or cores(), len(missing))) as pool:
            left = {pool.submit(work, task) for task in by_cost}
            try:
                while left:
                    if stopping():
                        raise StoppedError(
                            f"{self.name}: stopped with {len(left)} tables to make; the same call goes on"
                        )
                    ended, left = wait(left, _LOOK_EVERY, FIRST_COMPLETED)
                    if any(future.exception() for future in ended):
                        raise causes[0]
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return len(missing)

    def folder_of(self, task: Task) -> str:
        """Where the table of a task is in the store."""
        return next(part.folder for part in self._parts if part is self or task in part.tasks)

    def paths(self) -> list[str]:
        """Where the tables are in the store, in the order of the tasks."""
        return [f"{part.folder}/{task.file}" for part in self._parts for task in part.tasks]

    def prepare(self, store: Location) -> None:
        """Make the folder of the tables."""
        _files(store).prepare((self.folder,))

    def keep(self, store: Location, task: Task, table: pd.DataFrame) -> None:
        """Write the table of a task, and remove what was saved on the way to it."""
        files = _files(store)
        files.write(f"{self.folder}/{task.file}", _as_parquet(table, task))
        Saved(files, self.folder, task.file).clear()

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
                f"{self.name}: {len(missing)} of its {len(self.tasks)} tables are not in {files.where(self.folder)}; "
                f"run `rmtsim reproduce {self.name} --out DIR` first, and give DIR/store"
            )
        return pd.concat([_read(files, f"{self.folder}/{task.file}") for task in self.tasks], ignore_index=True)

    @property
    def folder(self) -> str:
        """Where the tables are in the store."""
        return f"{FOLDER}/{self.name}"


def _files(store: Location) -> Files:
    return store.files if isinstance(store, Store) else open_files(store)


def _read(files: Files, path: str) -> pd.DataFrame:
    frame: pd.DataFrame = read_table(files, path).to_pandas()
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
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about})
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()
