"""Experiments beside the sweeps: tables in a store, each written once, whole, and never computed again.

``DIR/experiments/NAME/`` holds one Parquet file for each task. Its name ends in a hash of the task's parameters, so a
table is found again if, and only if, it is the one that would be computed. Whoever counts or reads a table first finds
that it is whole and the one that its name says (`rmtsim.store.table_files`).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from typing import TypeAlias

import pandas as pd

from rmtsim.arrays.pool import Pool, end_calls
from rmtsim.arrays.threads import cores, single_threaded_blas
from rmtsim.errors import InputError, StoppedError
from rmtsim.store import Store, Writer
from rmtsim.store.experiment_tables import FOLDER, check_tables
from rmtsim.store.saved_files import SavedFiles
from rmtsim.store.table_files import TableFile, table_bytes, table_name
from rmtsim.text.words import number_of
from rmtsim.training.task import Checkpoint, Task

__all__ = ["Experiment", "Joined", "Location", "Task", "table_file"]

_log = logging.getLogger(__name__)

#: Seconds between looks whether to stop.
_LOOK_EVERY = 0.2

#: A store, or where it is.
Location: TypeAlias = Store | str | os.PathLike[str]


def table_file(task: Task) -> str:
    """Return the name of the file of a task's table."""
    return table_name(task.label, task.parameters)


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
        self.name, self.tasks = name, list({table_file(task): task for task in tasks}.values())
        self._parts: list[Experiment] = [self]  # more where the tables of several are shown together

    def missing(self, store: Location) -> list[Task]:
        """Tasks whose tables are not there.

        Raises
        ------
        StoreError
            If a table is there that is damaged, or not the one that its name says.
        """
        files = _store(store).files
        there = set(files.names(self.folder))
        check_tables(files, [f"{self.folder}/{table_file(task)}" for task in self.tasks if table_file(task) in there])
        return [task for task in self.tasks if table_file(task) not in there]

    def run(
        self,
        store: Location,
        workers: int | None = None,
        done: Callable[[Task], None] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        failed: Callable[[Task, Exception], None] | None = None,
    ) -> int:
        """Compute what is missing as the store's one writer, a task per core at a time; return how many were made.

        A kill at any moment leaves whole tables only, and what tasks saved of theirs; the same call goes on. If a task
        fails, on Ctrl-C, or once ``stopping`` says so, no other begins, and those at work have `PATIENCE` seconds to
        end, or to save what they can. ``done`` is told of each new table. With ``failed`` a failure is told to it
        instead, and the others go on.

        Raises
        ------
        StoppedError
            If a task was stopped.
        StoreError
            If another writer is at work, or a table is damaged.
        """
        store = _store(store)
        if not self.missing(store):
            return 0
        with store.writer(self.folders) as writer:
            return self.make(writer, workers, done, stopping, failed)

    def make(
        self,
        writer: Writer,
        workers: int | None = None,
        done: Callable[[Task], None] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        failed: Callable[[Task, Exception], None] | None = None,
    ) -> int:
        """Do what `run` does, by a writer of the store."""
        missing = self.missing(writer.store)
        if not missing:
            return 0
        stop, given_up = threading.Event(), threading.Event()
        causes: list[BaseException] = []

        def work(task: Task) -> None:
            if stop.is_set():
                return
            try:
                kept = SavedFiles(writer.store.files, self.folder, table_file(task))
                table = task.table(Checkpoint(kept, stop.is_set))
                if given_up.is_set():  # the caller has left, and another may write by now
                    return
                self.keep(writer, task, table)
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
        with single_threaded_blas(), Pool(min(workers or cores(), len(missing))) as pool:
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
                try:
                    end_calls(left, lambda n, t: _log.info("%s: waits for %s, %s", self.name, number_of(n, "table"), t))
                finally:
                    given_up.set()
                raise
        return len(missing)

    def folder_of(self, task: Task) -> str:
        """Where the table of a task is in the store."""
        return next(part.folder for part in self._parts if part is self or task in part.tasks)

    def paths(self) -> list[str]:
        """Where the tables are in the store, in the order of the tasks."""
        return [f"{part.folder}/{table_file(task)}" for part in self._parts for task in part.tasks]

    def keep(self, writer: Writer, task: Task, table: pd.DataFrame) -> None:
        """Write the table of a task, and remove what was saved on the way to it."""
        path = f"{self.folder}/{table_file(task)}"
        writer.put(path, table_bytes(table, path, task.parameters))
        SavedFiles(writer.store.files, self.folder, table_file(task)).clear()

    def read(self, store: Location) -> pd.DataFrame:
        """Return the tables, one below the other in the order of the tasks.

        Raises
        ------
        InputError
            If some are missing.
        StoreError
            If some are damaged, or not those that their names say.
        """
        files, missing = _store(store).files, self.missing(store)
        if missing:
            raise InputError(
                f"{self.name}: {len(missing)} of its {len(self.tasks)} tables are not in {files.where(self.folder)}; "
                f"run `rmtsim reproduce {self.name} --out DIR` first, and give DIR/store"
            )
        frames = [TableFile(files, f"{self.folder}/{table_file(task)}").frame() for task in self.tasks]
        return pd.concat(frames, ignore_index=True)

    @property
    def folder(self) -> str:
        """Where the tables are in the store."""
        return f"{FOLDER}/{self.name}"

    @property
    def folders(self) -> tuple[str, ...]:
        """All folders of tables, and that of its spec."""
        return tuple(dict.fromkeys([self.folder, *(part.folder for part in self._parts)]))


class Joined(Experiment):
    """Experiments whose tables are shown together; each keeps its own, so none is computed twice."""

    def __init__(self, name: str, parts: list[Experiment]) -> None:
        super().__init__(name, [task for part in parts for task in part.tasks])
        self._parts = parts

    def missing(self, store: Location) -> list[Task]:
        """Tasks whose tables are not there."""
        return [task for part in self._parts for task in part.missing(store)]

    def make(
        self,
        writer: Writer,
        workers: int | None = None,
        done: Callable[[Task], None] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        failed: Callable[[Task, Exception], None] | None = None,
    ) -> int:
        """Compute what is missing of each in turn; return the number of new tables."""
        return sum(part.make(writer, workers, done, stopping, failed) for part in self._parts)

    def keep(self, writer: Writer, task: Task, table: pd.DataFrame) -> None:
        """Write the table of a task where its experiment keeps it."""
        next(part for part in self._parts if task in part.tasks).keep(writer, task, table)

    def read(self, store: Location) -> pd.DataFrame:
        """Return the tables of all, one below the other."""
        return pd.concat([part.read(store) for part in self._parts], ignore_index=True)


def _store(location: Location) -> Store:
    return location if isinstance(location, Store) else Store(location)
