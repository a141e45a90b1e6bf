"""Experiments beside the sweeps: tables in a store directory, each written once, whole, and never computed again.

``DIR/experiments/NAME/`` holds one Parquet file for each task. Its name ends in a hash of the task's parameters, so a
table is found again if, and only if, it is the one that would be computed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.draws import STREAMS
from rmtsim.errors import InputError, RunError
from rmtsim.threads import Team, blas_kernel, cores, single_threaded_blas
from rmtsim.version import __version__

#: Changes whenever the same parameters start to give other tables.
FORMAT = "1"


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
    """

    label: str
    parameters: Mapping[str, Any]
    compute: Callable[[], pd.DataFrame]
    cost: float = 1.0

    @property
    def file(self) -> str:
        """Name of the table's file."""
        identity = json.dumps([FORMAT, STREAMS["numpy"], self.label, self.parameters], sort_keys=True)
        return f"{self.label}-{blake2b(identity.encode(), digest_size=6).hexdigest()}.parquet"


class Experiment:
    """A named set of tables in a store directory.

    Parameters
    ----------
    name
        Name of the experiment, and of the directory of its tables.
    tasks
        The tables it consists of.
    """

    def __init__(self, name: str, tasks: Sequence[Task]) -> None:
        self.name, self.tasks = name, list(tasks)

    def missing(self, store: str | os.PathLike[str]) -> list[Task]:
        """Tasks whose tables are not there."""
        return [task for task in self.tasks if not (self._folder(store) / task.file).exists()]

    def run(
        self, store: str | os.PathLike[str], workers: int | None = None, done: Callable[[Task], None] | None = None
    ) -> int:
        """Compute what is missing, a task per core at a time; return the number of new tables.

        A kill at any moment leaves whole tables only; the same call goes on. ``done`` is told of each new table.
        """
        folder, missing = self._folder(store), self.missing(store)
        if not missing:
            return 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"store: {folder} cannot be written ({error.strerror}); give another directory") from error

        def work(task: Task) -> None:
            _write(task.compute(), task, folder / task.file)
            if done is not None:
                done(task)

        with single_threaded_blas(), Team(min(workers or cores(), len(missing))) as team:
            team.map(work, sorted(missing, key=lambda task: -task.cost))
        return len(missing)

    def read(self, store: str | os.PathLike[str]) -> pd.DataFrame:
        """Return the tables, one below the other in the order of the tasks.

        Raises
        ------
        InputError
            If some are missing.
        """
        missing = self.missing(store)
        if missing:
            raise InputError(
                f"{self.name}: {len(missing)} of its {len(self.tasks)} tables are not in {self._folder(store)}; run "
                f"`rmtsim reproduce {self.name} --out DIR` first, and give DIR/store"
            )
        return pd.concat([_read(self._folder(store) / task.file) for task in self.tasks], ignore_index=True)

    def _folder(self, store: str | os.PathLike[str]) -> Path:
        return Path(store) / "experiments" / self.name


def _read(path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"store: {path} cannot be read ({reason}); remove it and run the experiment again") from error
    return frame.astype({"width": "Int64"}) if "width" in frame else frame


def _write(rows: pd.DataFrame, task: Task, path: Path) -> None:
    """Write beside the place, sync, and rename."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    about = {
        "rmtsim.format": FORMAT,
        "rmtsim.version": __version__,
        "rmtsim.stream": STREAMS["numpy"],
        "rmtsim.blas": blas_kernel(),
        "rmtsim.parameters": json.dumps(task.parameters, sort_keys=True),
    }
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"store: {path} cannot be written ({error.strerror}); what was there is safe") from error
    finally:
        temporary.unlink(missing_ok=True)
