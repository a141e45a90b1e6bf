"""Run the tasks of an experiment, in threads of this process or on Ray."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from rmtsim.arrays.threads import single_threaded_blas
from rmtsim.errors import StoppedError
from rmtsim.store import Store, Writer
from rmtsim.store.saved_files import SavedFiles
from rmtsim.store.storage import RemoteFiles, open_files
from rmtsim.sweeps.connection import check_head, connected
from rmtsim.sweeps.executor import reason
from rmtsim.sweeps.executors import LOCAL, OWN_RAY
from rmtsim.sweeps.experiment import Experiment, table_file
from rmtsim.sweeps.interrupts import interrupts
from rmtsim.text.addresses import Address
from rmtsim.training.task import Checkpoint, Task

_log = logging.getLogger(__name__)

#: Times that Ray tries a task whose worker died.
_RETRIES = 10

#: Seconds between looks whether to stop.
_LOOK_EVERY = 0.5

#: Seconds between looks whether the head of the cluster is there.
_HEAD_EVERY = 5.0


@dataclass
class Made:
    """How a run ended.

    Attributes
    ----------
    missing, tables
        How many tables were missing when it began, and how many of them it made.
    failures
        The tasks that failed, with the reason.
    stopped
        Why it stopped early, if it did.
    """

    missing: int = 0
    tables: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    stopped: str = ""


def run_experiment(
    experiment: Experiment,
    store: Store,
    *,
    prepare: Callable[[Writer], None] = lambda writer: None,
    address: str = LOCAL,
    workers: int | None = None,
    gpu: bool = False,
    done: Callable[[Task], None] = lambda task: None,
    stopping: Callable[[], bool] = lambda: False,
    fail_fast: bool = False,
) -> Made:
    """Compute what an experiment lacks as the store's one writer, at an address as of ``rmtsim.sweeps.executors``.

    ``prepare`` is called once the store can be written to, before anything is computed. A task that raises an error is
    reported at the end, and the others go on; with ``fail_fast`` they stop, as at a signal or once ``stopping`` says
    so. On Ray each task has a CPU, or with ``gpu`` a GPU, and is tried again elsewhere if its worker dies. A task goes
    on from its saved state wherever that can be read: on this machine, and with a store that all nodes reach.
    """
    made = Made()

    def told(task: Task) -> None:
        made.tables += 1
        done(task)

    def failed(task: Task, error: BaseException) -> None:
        made.failures.append((task.label, reason(error)))

    with ExitStack() as open_now:
        # The cluster comes first: where none answers, no store is left behind.
        here = address == LOCAL or not experiment.missing(store)
        ray = None if here else open_now.enter_context(connected(address, workers))
        writer = open_now.enter_context(store.writer(experiment.folders))
        asked = open_now.enter_context(interrupts())  # until here, a signal ends it at once

        def ended() -> bool:
            return asked() or stopping() or (fail_fast and bool(made.failures))

        made.missing = len(experiment.missing(store))
        prepare(writer)
        try:
            if ray is None:
                experiment.make(writer, 1 if gpu and workers is None else workers, told, ended, failed)
            else:
                reachable = address == OWN_RAY or isinstance(store.files, RemoteFiles)
                _on_ray(ray, experiment, writer, reachable, gpu, told, ended, failed)
        except StoppedError as error:
            made.stopped = str(error)
    return made


def _on_ray(
    ray: Any,
    experiment: Experiment,
    writer: Writer,
    reachable: bool,
    gpu: bool,
    done: Callable[[Task], None],
    stopping: Callable[[], bool],
    failed: Callable[[Task, BaseException], None],
) -> None:
    """Compute tables on a cluster; ``reachable``: its nodes can reach the store."""
    tasks = sorted(experiment.missing(writer.store), key=lambda task: -task.cost)
    needs = {"num_cpus": 0, "num_gpus": 1} if gpu else {"num_cpus": 1}
    compute = ray.remote(max_retries=_RETRIES, **needs)(_compute)
    address = writer.store.files.address
    places = [(address, experiment.folder_of(task)) if reachable else None for task in tasks]
    pending = {compute.remote(task, place): task for task, place in zip(tasks, places, strict=True)}
    resource = "GPU" if gpu else "CPU"
    if ray.available_resources().get(resource, 0) < 1:  # before one of ours can have begun
        there = ray.cluster_resources().get(resource, 0)
        why = f"all {there:.0f} {resource}s of the cluster are in use" if there else f"the cluster has no {resource}"
        _log.info("%s: waits for workers: %s", experiment.name, why)
    looked = time.monotonic()
    while pending:
        if time.monotonic() - looked > _HEAD_EVERY:
            check_head()
            looked = time.monotonic()
        if stopping():
            raise StoppedError(f"{experiment.name}: stopped with {len(pending)} tables to make; the same call goes on")
        for ready in ray.wait(list(pending), num_returns=1, timeout=_LOOK_EVERY)[0]:
            task = pending.pop(ready)
            try:
                table = ray.get(ready)
            except ray.exceptions.RayError as error:
                failed(task, getattr(error, "cause", None) or error)
            else:
                experiment.keep(writer, task, table)
                done(task)


def _compute(task: Task, place: tuple[Address, str] | None) -> pd.DataFrame:
    """Compute a table on a worker."""
    kept = None if place is None else SavedFiles(open_files(place[0]), place[1], table_file(task))
    with single_threaded_blas():
        return task.table(Checkpoint(kept))
