"""Where tasks run: threads of this process, or Ray actors here or on a cluster.

Both keep two tasks in flight per worker, so none waits for the driver, and give each worker one BLAS thread: a draw
then has the same bits whoever computes it.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import pandas as pd

from rmtsim.backend import resolve
from rmtsim.errors import InputError, RunError
from rmtsim.machine import usable_memory
from rmtsim.threads import cores, single_threaded_blas
from sweeps.tasks import Task

#: Addresses that mean this machine: threads of this process, or a Ray started for the run.
LOCAL, OWN_RAY = "local", "ray"

_IN_FLIGHT_PER_WORKER = 2


class TaskError(RunError):
    """A task failed; the sentence names its point and draws. What was committed before is safe."""

    def __init__(self, task: Task, error: BaseException) -> None:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        super().__init__(f"run: draws {task.draws.start} to {task.draws.stop - 1} of {task.point} failed: {first}")


class Executor(Protocol):
    """Takes tasks and gives back their rows in the order in which they finish."""

    capacity: int  #: tasks to keep in flight
    backend: str  #: what computes the tasks, "numpy" or "cupy"

    def submit(self, task: Task) -> None:
        """Take a task in."""

    def next_done(self, timeout: float) -> list[tuple[Task, pd.DataFrame]]:
        """Wait at most ``timeout`` seconds for a task to finish; return all that have. Raises TaskError."""


def open_executor(address: str, workers: int | None, backend: str) -> Any:
    """Context manager of the executor for ``address``: ``local``, ``ray`` or the address of a Ray cluster."""
    if address == LOCAL:
        backend = resolve(backend)
        return _local(workers or default_workers(backend), backend)
    return _ray(address, workers, backend)


def default_workers(backend: str) -> int:
    """Return how many tasks to run at a time in this process: one per core, or one for the GPU."""
    return 1 if backend == "cupy" else cores()


@contextmanager
def _local(workers: int, backend: str) -> Iterator[Executor]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="rmtsim")
    with single_threaded_blas():
        try:
            yield _LocalExecutor(pool, workers, backend)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _LocalExecutor:
    """Threads: NumPy lets go of the interpreter lock in the products, passes and fills that take the time."""

    def __init__(self, pool: ThreadPoolExecutor, workers: int, backend: str) -> None:
        self.backend = backend
        self.capacity = _IN_FLIGHT_PER_WORKER * workers
        self._pool = pool
        self._running: dict[Future[pd.DataFrame], Task] = {}

    def submit(self, task: Task) -> None:
        self._running[self._pool.submit(task.compute)] = task

    def next_done(self, timeout: float) -> list[tuple[Task, pd.DataFrame]]:
        done, _ = wait(self._running, timeout, FIRST_COMPLETED)
        results = []
        for future in done:
            task = self._running.pop(future)
            try:
                results.append((task, future.result()))
            except Exception as error:
                raise TaskError(task, error) from error
        return results


@contextmanager
def _ray(address: str, workers: int | None, backend: str) -> Iterator[Executor]:
    own = address == OWN_RAY
    if not own:
        _check_address(address)
    if own:
        # A Ray of our own: no one else may use it, and it tells no one. Ray reads these when it is imported.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray  # seconds to import, and only needed here

    options: dict[str, Any] = {"address": address}
    if own:
        options = {"address": "local", "num_cpus": workers or os.cpu_count(), "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise _no_ray(address, (str(error).strip().splitlines() or ["no answer"])[0]) from None
    try:
        resources = ray.cluster_resources()
        if backend == "auto":
            backend = "cupy" if resources.get("GPU") else "numpy"
        slots = int(resources.get("GPU" if backend == "cupy" else "CPU", 0))
        if slots == 0:
            needed = "GPU" if backend == "cupy" else "CPU"
            raise InputError(
                f"--backend: {backend} needs a {needed} and the cluster has none; wait until a worker has joined, "
                "or choose another backend"
            )
        if workers and workers > slots:
            raise InputError(f"--workers: {workers} are more than the cluster has room for; give at most {slots}")
        yield _RayExecutor(ray, workers or slots, backend)
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise InputError unless someone listens at ``address``: Ray itself would try for many minutes."""
    match = re.fullmatch(r"(?:ray://)?([^:/]+|\[[0-9a-fA-F:]+\]):(\d{1,5})", address)
    if address == "auto":
        return  # Ray looks for a cluster on this machine, and says at once if there is none
    if match is None:
        raise _no_ray(address, "no address")
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise _no_ray(address, getattr(error, "strerror", None) or str(error)) from None


def _no_ray(address: str, reason: str) -> InputError:
    return InputError(
        f"address: no Ray answers at {address!r} ({reason}); give local, ray, or a running cluster's address "
        "such as auto, HOST:6379 or ray://HOST:10001"
    )


class _RayExecutor:
    """One long-lived actor per CPU, or per GPU with CuPy; an actor that dies is restarted and its task run again."""

    def __init__(self, ray: Any, workers: int, backend: str) -> None:
        self.capacity = _IN_FLIGHT_PER_WORKER * workers
        self.backend = backend
        self._ray = ray
        worker = ray.remote(
            num_cpus=0 if backend == "cupy" else 1,
            num_gpus=1 if backend == "cupy" else 0,
            max_restarts=-1,
            max_task_retries=-1,
            runtime_env={"env_vars": {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}},
        )(_RayWorker)
        self._free = deque([worker.remote() for _ in range(workers)] * _IN_FLIGHT_PER_WORKER)
        self._running: dict[Any, tuple[Task, Any]] = {}

    def submit(self, task: Task) -> None:
        actor = self._free.popleft()
        self._running[actor.compute.remote(task)] = (task, actor)

    def next_done(self, timeout: float) -> list[tuple[Task, pd.DataFrame]]:
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        results = []
        for reference in done:
            task, actor = self._running.pop(reference)
            self._free.append(actor)
            try:
                results.append((task, self._ray.get(reference)))
            except Exception as error:
                raise TaskError(task, getattr(error, "cause", None) or error) from error
        return results


class _RayWorker:
    """Runs on the cluster."""

    def compute(self, task: Task) -> pd.DataFrame:
        if task.memory is None and task.backend == "numpy":  # a core's part of its machine
            task = replace(task, memory=usable_memory() / cores())
        return task.compute()
