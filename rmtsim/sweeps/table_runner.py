"""Run an experiment: its tables as work of the run loop, their commits, and how it ended."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from rmtsim.arrays import tensor_cores
from rmtsim.arrays.backend import get_backend
from rmtsim.store.experiment_tables import spec_of, write_spec
from rmtsim.store.saved_files import SavedFiles
from rmtsim.store.storage import Files, RemoteFiles, open_files
from rmtsim.store.store import Store
from rmtsim.store.table_files import table_bytes
from rmtsim.store.writer import Writer
from rmtsim.sweeps.executors import LOCAL, THIS_MACHINE
from rmtsim.sweeps.experiment import Experiment, Location, Table, as_store
from rmtsim.sweeps.jobs import Failure, never
from rmtsim.sweeps.loop import ending, run_work
from rmtsim.sweeps.progress import Absence, Progress
from rmtsim.sweeps.ray_metrics import exported
from rmtsim.sweeps.resources import allocate_tables
from rmtsim.sweeps.scheduler import Scheduler
from rmtsim.sweeps.thread_workers import default_workers
from rmtsim.text.addresses import Address
from rmtsim.text.words import number_of
from rmtsim.training.task import Checkpoint


@dataclass(frozen=True)
class TableResult:
    """A table that a worker made, and the seconds that it took."""

    frame: pd.DataFrame
    seconds: float


@dataclass(frozen=True, eq=False)
class TableJob:
    """A job that makes a table.

    Parameters
    ----------
    table
        The table.
    place
        The store that the worker saves the task's state in, or its address; None where no worker reaches it.
    """

    table: Table
    place: Files | Address | None = None

    def compute(self, stopping: Callable[[], bool] = never) -> TableResult:
        """Make the table; a task that saves its state goes on from there, and ends with StoppedError when asked to."""
        if self.table.task.warm_up:
            self.table.task.warm_up()
        start = time.perf_counter()
        files = open_files(self.place) if isinstance(self.place, Address) else self.place
        kept = None if files is None else SavedFiles(files, self.table.folder, self.table.file)
        frame = self.table.task.table(Checkpoint(kept, stopping))
        return TableResult(frame, time.perf_counter() - start)

    def within(self, memory: float) -> TableJob:
        """Return the job itself: tables are not made in pieces."""
        return self

    def document(self) -> dict[str, Any]:
        """Return the label of the table."""
        return {"run": self.table.task.label}

    def __str__(self) -> str:
        return self.table.task.label


class TableScheduler(Scheduler[TableJob, TableResult]):
    """Gives out the tables that are missing, the costliest first.

    Attributes
    ----------
    cost_left
        Cost of the tables that did not come back yet.
    """

    patience = 3600.0  # costs of tables are not known as well as those of draws

    def __init__(self, jobs: Sequence[TableJob]) -> None:
        super().__init__()
        self._waiting = deque(sorted(jobs, key=lambda job: -job.table.task.cost))
        self.cost_left = sum(job.table.task.cost for job in jobs)
        self._cost = self._seconds = 0.0  # of the tables that came back

    @property
    def waiting(self) -> bool:
        """Whether tables wait that were never given out."""
        return bool(self._waiting)

    def _take(self, places: int) -> TableJob:
        return self._waiting.popleft()

    def seconds(self, job: TableJob) -> float | None:
        """Return the time that a table takes, to judge by the others; None before the first has come back."""
        return self._seconds * job.table.task.cost / self._cost if self._cost else None

    def done(self, job: TableJob, result: TableResult) -> None:
        """Take note of the cost of a table, and of the time that it took."""
        super().done(job, result)
        self.cost_left -= job.table.task.cost
        self._cost += job.table.task.cost
        self._seconds += result.seconds


class TableCommitter:
    """Writes each table as soon as it is there, and removes what its task had saved.

    Attributes
    ----------
    done
        Tables that were written.
    """

    def __init__(self, writer: Writer) -> None:
        self.done, self._writer = 0, writer

    def add(self, job: TableJob, result: TableResult) -> None:
        """Write a table."""
        table = job.table
        self._writer.put(table.path, table_bytes(result.frame, table.path, table.task.parameters))
        SavedFiles(self._writer.files, table.folder, table.file).clear()
        self.done += 1

    def commit(self) -> None:
        """Do nothing: a table may have taken hours, so none waits for others."""


class TableWork:
    """The tables that an experiment is missing, as work of the run loop.

    Attributes
    ----------
    missing, scheduler, committer
        How many tables are missing, what is to be done and who commits it; set when the work begins.
    """

    noun = "table"
    queued = 1  # a table that waits behind a long one could be made by another worker

    missing: int
    scheduler: TableScheduler
    committer: TableCommitter

    def __init__(
        self,
        experiment: Experiment,
        document: Mapping[str, Any] | None,
        address: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.folders = experiment.name, experiment.folders
        self._experiment, self._document, self._address = experiment, document, address
        self._clock = clock

    def begin(self, store: Store, writer: Writer, backend: str) -> tuple[TableScheduler, TableCommitter]:
        """Look for the tables again, since another writer may have been at work, and keep the spec."""
        files, missing = store.files, self._experiment.missing(store)
        keep_spec(writer, self.name, self._document)
        place: Files | Address | None = files
        if self._address != LOCAL:
            reachable = self._address in THIS_MACHINE or isinstance(files, RemoteFiles)
            place = files.address if reachable else None
        self._start = self._clock()
        self._absence = Absence(self._start)
        self.saves = place is not None and any(table.task.resumable for table in missing)
        self.missing = len(missing)
        self.scheduler = TableScheduler([TableJob(table, place) for table in missing])
        self._cost = self.scheduler.cost_left
        self.committer = TableCommitter(writer)
        return self.scheduler, self.committer

    def progress(self, workers: int) -> Progress:
        """Return where the experiment stands; the time to go is as the cost of the tables has it."""
        now, left = self._clock(), self.scheduler.cost_left
        elapsed = now - self._start
        total = len(self._experiment.tables)
        return Progress(
            self.name,
            "table",
            self.committer.done,
            total - self.missing + self.committer.done,
            total,
            workers,
            tuple(self.scheduler.failures),
            elapsed,
            elapsed * left / (self._cost - left) if self._cost > left else None,
            in_flight=self.scheduler.in_flight,
            waiting=self._absence.seconds(workers, now),
        )


def keep_spec(writer: Writer, name: str, document: Mapping[str, Any] | None) -> None:
    """Keep what is run under the name of an experiment, if there is a document of it."""
    if document is not None:
        write_spec(writer, name, document)


@dataclass(frozen=True)
class TableOutcome:
    """How the run of an experiment ended.

    Attributes
    ----------
    name, total
        The experiment, and its number of tables.
    missing, new_tables
        How many of them the store lacks now, and how many this run has made.
    failures
        Tables that were given up.
    stopped
        Why the run stopped before the end: "interrupted", "time limit", "failure", or "".
    """

    name: str
    total: int
    missing: int = 0
    new_tables: int = 0
    failures: list[Failure] = field(default_factory=list)
    stopped: str = ""

    @property
    def limited(self) -> bool:
        """Whether it ended short of its target: a table has none."""
        return False

    @property
    def unfinished(self) -> bool:
        """Whether tables are missing."""
        return self.missing > 0

    def __str__(self) -> str:
        """Return it in a sentence."""
        made = number_of(self.new_tables, "new table") if self.new_tables or self.missing else "nothing to do"
        text = f"{made}; {self.total - self.missing} of {self.total} tables done"
        return text + ending(self.failures, self.stopped, self.unfinished, "table")

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "complete": not self.missing,
            "name": self.name,
            "tables": self.new_tables,
            "missing": self.missing,
            "stopped": self.stopped,
            "failures": [failure.document() for failure in self.failures],
        }


def run_tables(
    experiment: Experiment,
    store: Location,
    *,
    spec: Mapping[str, Any] | None = None,
    address: str = LOCAL,
    backend: str = "numpy",
    workers: int | None = None,
    memory: float | None = None,
    time_limit: float = math.inf,
    fail_fast: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_message: Callable[[str], None] | None = None,
) -> TableOutcome:
    """Make the tables that an experiment is missing.

    An experiment that is complete touches no file. A kill at any moment leaves whole tables only, and the states that
    tasks have saved; the same call goes on from these wherever the store can be reached: on this machine, and on a
    cluster with a store that all nodes reach.

    Parameters
    ----------
    experiment, store
        The tables, and where they go.
    spec
        What is asked for, as plain data; the store keeps it under the name of the experiment.
    address, backend, workers, memory
        Where to compute, with what, how many tables at a time, and bytes for all of them on this machine.
    time_limit
        Seconds after which to stop. If no task saves its state, the first table is always made, so that a run that is
        repeated comes to its end.
    fail_fast, on_progress, on_message
        As for `rmtsim.sweeps.runner.run`.

    Raises
    ------
    InputError
        If no such backend is there, no Ray answers, a table does not fit into memory, or tensor cores are asked for.
    RunError
        If the store fails, or another writer is at work.
    """
    tensor_cores.check_not_wanted("training runs and the tables of figures")
    store = as_store(store)
    document = None if spec is None else {"spec": dict(spec), "tables": experiment.paths()}
    total = len(experiment.tables)
    missing = [table.task for table in experiment.missing(store)]
    if not missing:
        if document is not None and document != spec_of(store, experiment.name):
            with store.writer(experiment.folders) as writer:
                keep_spec(writer, experiment.name, document)
        return TableOutcome(experiment.name, total)
    if address in THIS_MACHINE and not get_backend(backend).needs_gpu:
        own_ray = address != LOCAL
        workers = allocate_tables(missing, workers, default_workers(backend), memory, processes=own_ray)
    work = TableWork(experiment, document, address)
    stopped = run_work(
        work,
        store,
        address=address,
        backend=backend,
        workers=workers,
        time_limit=time_limit,
        fail_fast=fail_fast,
        on_progress=exported(on_progress, address),
        on_message=on_message,
    )
    done = work.committer.done
    return TableOutcome(experiment.name, total, work.missing - done, done, work.scheduler.failures, stopped)
