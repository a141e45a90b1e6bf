"""Experiments beside the sweeps: tables in a store, each written once, whole, and never computed again.

``DIR/experiments/NAME/`` holds one Parquet file for each task. Its name ends in a hash of the task's parameters, so a
table is found again if, and only if, it is the one that would be computed. Whoever counts or reads a table first finds
that it is whole and the one that its name says (`rmtsim.store.table_files`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.store import Store
from rmtsim.store.experiment_tables import FOLDER, check_tables
from rmtsim.store.table_files import TableFile, table_name
from rmtsim.training.task import Task

__all__ = ["Experiment", "Location", "Table", "Task", "as_store", "table_file"]

#: A store, or where it is.
Location: TypeAlias = Store | str | os.PathLike[str]


def table_file(task: Task) -> str:
    """Return the name of the file of a task's table."""
    return table_name(task.label, task.parameters)


@dataclass(frozen=True)
class Table:
    """A table of an experiment: the task that computes it, and the folder of the store that it belongs to."""

    folder: str
    task: Task

    @property
    def file(self) -> str:
        """Name of its file."""
        return table_file(self.task)

    @property
    def path(self) -> str:
        """Where it is in the store."""
        return f"{self.folder}/{self.file}"


class Experiment:
    """A named list of tables in a store.

    Parameters
    ----------
    name
        Name of the experiment, and of the folder of its own tables.
    tasks
        The tasks of its own tables; one that is listed twice is made once.
    parts
        Experiments whose tables it has besides. These stay in the folders of their own, so none is computed twice.

    Attributes
    ----------
    tables
        All tables, in their order.
    """

    def __init__(self, name: str, tasks: Sequence[Task] = (), parts: Sequence[Experiment] = ()) -> None:
        self.name, self.folder = name, f"{FOLDER}/{name}"
        own = [Table(self.folder, task) for task in tasks]
        every = [*own, *(table for part in parts for table in part.tables)]
        self.tables: list[Table] = list({table.path: table for table in every}.values())

    @property
    def tasks(self) -> list[Task]:
        """The tasks of all tables."""
        return [table.task for table in self.tables]

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of all tables, and that of the spec."""
        return tuple(dict.fromkeys([self.folder, *(table.folder for table in self.tables)]))

    def paths(self) -> list[str]:
        """Return where the tables are in the store."""
        return [table.path for table in self.tables]

    def missing(self, store: Location) -> list[Table]:
        """Return the tables that the store does not have.

        Raises
        ------
        StoreError
            If a table is there that is damaged, or not the one that its name says.
        """
        files = as_store(store).files
        there = {f"{folder}/{name}" for folder in self.folders for name in files.names(folder)}
        check_tables(files, [table.path for table in self.tables if table.path in there])
        return [table for table in self.tables if table.path not in there]

    def read(self, store: Location) -> pd.DataFrame:
        """Return the tables, one below the other.

        Raises
        ------
        InputError
            If some are missing.
        StoreError
            If some are damaged, or not those that their names say.
        """
        files, missing = as_store(store).files, self.missing(store)
        if missing:
            raise InputError(
                f"{self.name}: {len(missing)} of its {len(self.tables)} tables are not in {files.where(self.folder)}; "
                f"run `rmtsim reproduce {self.name} --out DIR` first, and give DIR/store"
            )
        return pd.concat([TableFile(files, table.path).frame() for table in self.tables], ignore_index=True)


def as_store(location: Location) -> Store:
    """Return the store that is given, or the one at a location."""
    return location if isinstance(location, Store) else Store(location)
