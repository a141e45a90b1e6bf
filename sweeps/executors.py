"""Where batches are computed: threads of this process, or Ray actors here or on a cluster.

Both keep two batches in flight per worker, so none waits for the driver, and give each worker one BLAS thread: a draw
then has the same bits whoever computes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rmtsim.backend import resolve
from rmtsim.threads import cores, single_threaded_blas
from sweeps.batches import Batch, Result

#: Addresses that mean this machine: threads of this process, or a Ray started for the run.
LOCAL, OWN_RAY = "local", "ray"

IN_FLIGHT_PER_WORKER = 2


@dataclass(frozen=True)
class Finished:
    """A batch that came back: with its result, or with the reason why there is none.

    ``lost`` tells that the worker is gone, which may be no fault of the batch.
    """

    batch: Batch
    result: Result | None
    reason: str = ""
    lost: bool = False


class Executor(Protocol):
    """Takes batches and gives back their results in the order in which they finish."""

    backend: str  #: what computes them, "numpy" or "cupy"

    @property
    def workers(self) -> int:
        """Workers that are at work now; on a cluster they join and leave."""

    @property
    def free(self) -> int:
        """How many more batches to submit now."""

    def submit(self, batch: Batch) -> None:
        """Take a batch in."""

    def next_done(self, timeout: float) -> list[Finished]:
        """Wait at most ``timeout`` seconds for a batch to come back; return all that have."""


@contextmanager
def open_executor(address: str, workers: int | None, backend: str) -> Iterator[Executor]:
    """Open the executor for ``address``: ``local``, ``ray`` or the address of a Ray cluster."""
    if address == LOCAL:
        backend = resolve(backend)
        with _threads(workers or default_workers(backend), backend) as executor:
            yield executor
        return
    from sweeps.connection import connected  # and Ray, which takes a second to import
    from sweeps.ray_workers import RayWorkers

    with connected(address, workers) as ray:
        yield RayWorkers(ray, workers, backend)


def default_workers(backend: str) -> int:
    """Return how many batches to compute at a time in this process: one per core, or one for the GPU."""
    return 1 if backend == "cupy" else cores()


@contextmanager
def _threads(workers: int, backend: str) -> Iterator[Executor]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="rmtsim")
    with single_threaded_blas():
        try:
            yield _Threads(pool, workers, backend)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Threads:
    """Threads: NumPy lets go of the interpreter lock in the products, passes and fills that take the time."""

    def __init__(self, pool: ThreadPoolExecutor, workers: int, backend: str) -> None:
        self.backend, self.workers = backend, workers
        self._pool = pool
        self._running: dict[Future[Result], Batch] = {}

    @property
    def free(self) -> int:
        return IN_FLIGHT_PER_WORKER * self.workers - len(self._running)

    def submit(self, batch: Batch) -> None:
        self._running[self._pool.submit(batch.compute)] = batch

    def next_done(self, timeout: float) -> list[Finished]:
        done, _ = wait(self._running, timeout, FIRST_COMPLETED)
        return [self._finished(future) for future in done]

    def _finished(self, future: Future[Result]) -> Finished:
        batch = self._running.pop(future)
        try:
            return Finished(batch, future.result())
        except Exception as error:
            return Finished(batch, None, reason(error))


def reason(error: BaseException) -> str:
    """Return an error in a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
