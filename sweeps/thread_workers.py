"""Threads of this process that compute batches, one for each core."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from rmtsim.arrays.threads import cores, single_threaded_blas
from sweeps.batches import Batch, Result
from sweeps.executor import IN_FLIGHT_PER_WORKER, Finished, reason


def default_workers(backend: str) -> int:
    """Return how many batches to compute at a time in this process: one per core, or one for the GPU."""
    return 1 if backend == "cupy" else cores()


@contextmanager
def thread_workers(workers: int, backend: str) -> Iterator[ThreadWorkers]:
    """Open the executor, with one BLAS thread for each worker: a draw then has the same bits whoever computes it."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="rmtsim")
    with single_threaded_blas():
        try:
            yield ThreadWorkers(pool, workers, backend)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # who does not want to wait has pressed Ctrl-C twice


class ThreadWorkers:
    """The executor: NumPy lets go of the interpreter lock in the products, passes and fills that take the time."""

    def __init__(self, pool: ThreadPoolExecutor, workers: int, backend: str) -> None:
        self.backend, self.workers = backend, workers
        self._pool = pool
        self._running: dict[Future[Result], Batch] = {}

    @property
    def free(self) -> int:
        """How many more batches to submit now."""
        return IN_FLIGHT_PER_WORKER * self.workers - len(self._running)

    def submit(self, batch: Batch) -> None:
        """Put a batch in the queue."""
        self._running[self._pool.submit(batch.compute)] = batch

    def next_done(self, timeout: float) -> list[Finished]:
        """Wait at most ``timeout`` seconds for a batch to come back; return all that have."""
        done, _ = wait(self._running, timeout, FIRST_COMPLETED)
        return [self._finished(future) for future in done]

    def drain(self) -> list[Finished]:
        """Drop what is queued; wait for what is being computed, since a thread cannot be stopped, and return it."""
        self._running = {future: batch for future, batch in self._running.items() if not future.cancel()}
        wait(self._running)
        return self.next_done(0)

    def _finished(self, future: Future[Result]) -> Finished:
        batch = self._running.pop(future)
        try:
            return Finished(batch, future.result())
        except Exception as error:
            return Finished(batch, None, reason(error))
