"""Run the tasks of an experiment, in threads of this process or on Ray."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from rmtsim.arrays.threads import single_threaded_blas
from rmtsim.experiment import Experiment, Saved, StoppedError, Task
from rmtsim.store import Store
from rmtsim.store.files import RemoteFiles, open_files
from sweeps.addresses import LOCAL, OWN_RAY
from sweeps.connection import connected
from sweeps.executor import reason

#: Times that Ray tries a task whose worker died.
_RETRIES = 10

#: Seconds between looks whether to stop.
_LOOK_EVERY = 0.5


@dataclass(frozen=True)
class Made:
    """How a run ended: new tables, and the tasks that failed, with the reason."""

    tables: int
    failures: list[tuple[str, str]] = field(default_factory=list)


def run_experiment(
    experiment: Experiment,
    store: Store,
    *,
    address: str = LOCAL,
    workers: int | None = None,
    gpu: bool = False,
    done: Callable[[Task], None] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Made:
    """Compute what an experiment lacks, at an address as of ``sweeps.addresses``.

    On Ray each task has a CPU, or with ``gpu`` a GPU, and is tried again elsewhere if its worker dies; a task that
    raises an error is reported at the end, and the others go on. A task goes on from its saved state wherever that can
    be read: on this machine, and with a store that all nodes reach. Stops as ``Experiment.run`` does.
    """
    failures: list[tuple[str, str]] = []
    if address == LOCAL:
        count = 1 if gpu and workers is None else workers
        made = experiment.run(
            store, count, done, stopping, lambda task, error: failures.append((task.label, reason(error)))
        )
        return Made(made - len(failures), failures)
    tasks = {task.file: task for task in sorted(experiment.missing(store), key=lambda task: -task.cost)}
    if not tasks:
        return Made(0)
    experiment.prepare(store)
    reachable = address == OWN_RAY or isinstance(store.files, RemoteFiles)
    place = (store.location, experiment.folder) if reachable else None
    with connected(address, workers) as ray:
        needs = {"num_cpus": 0, "num_gpus": 1} if gpu else {"num_cpus": 1}
        compute = ray.remote(max_retries=_RETRIES, **needs)(_compute)
        pending = {compute.remote(task, place): task for task in tasks.values()}
        while pending:
            if stopping():
                raise StoppedError(
                    f"{experiment.name}: stopped with {len(pending)} tables to make; the same call goes on"
                )
            for ready in ray.wait(list(pending), num_returns=1, timeout=_LOOK_EVERY)[0]:
                task = pending.pop(ready)
                try:
                    experiment.keep(store, task, ray.get(ready))
                except ray.exceptions.RayError as error:
                    failures.append((task.label, reason(getattr(error, "cause", None) or error)))
                    continue
                if done is not None:
                    done(task)
    return Made(len(tasks) - len(failures), failures)


def _compute(task: Task, place: tuple[str, str] | None) -> pd.DataFrame:
    """Compute a table on a worker."""
    saved: Any = _Unsaved() if place is None else Saved(open_files(place[0]), place[1], task.file)
    with single_threaded_blas():
        return task.table(saved)


class _Unsaved(Saved):
    """Where no store is in reach: keeps nothing."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def load(self, name: str) -> None:
        """Return None."""

    def save(self, name: str, data: bytes) -> None:
        """Do nothing."""
