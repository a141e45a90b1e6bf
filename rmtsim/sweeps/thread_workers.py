"""Threads of this process that compute batches, one for each core."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager

from rmtsim.arrays.backend import get_backend
from rmtsim.arrays.pool import Pool
from rmtsim.arrays.threads import cores, single_threaded_blas
from rmtsim.sweeps.batches import Batch, Result
from rmtsim.sweeps.executor import IN_FLIGHT_PER_WORKER, Finished, reason

_log = logging.getLogger(__name__)


def default_workers(backend: str) -> int:
    """Return how many batches to compute at a time in this process: one per core, or one for the GPU."""
    return 1 if get_backend(backend).needs_gpu else cores()


@contextmanager
def thread_workers(workers: int, backend: str) -> Iterator[ThreadWorkers]:
    """Open the executor, with one BLAS thread for each worker: a draw then has the same bits whoever computes it."""
    with single_threaded_blas(), Pool(workers) as pool:
        if pool.threads < workers:
            _log.warning(
                "run: the system gives %d of %d threads (ulimit -u, or memory); goes on %s",
                pool.threads,
                workers,
                "with these" if pool.threads else "in the main one",
            )
        yield ThreadWorkers(pool, backend)


class ThreadWorkers:
    """The executor: NumPy lets go of the interpreter lock in the products, passes and fills that take the time."""

    def __init__(self, pool: Pool, backend: str) -> None:
        self.backend, self.workers = backend, max(1, pool.threads)
        self._pool = pool
        self._running: dict[Future[Result], Batch] = {}
        self._begun: dict[Batch, float] = {}

    @property
    def free(self) -> int:
        """How many more batches to submit now."""
        return IN_FLIGHT_PER_WORKER * self.workers - len(self._running)

    def submit(self, batch: Batch) -> None:
        """Put a batch in the queue."""
        self._running[self._pool.submit(self._compute, batch)] = batch

    def next_done(self, timeout: float) -> list[Finished]:
        """Wait at most ``timeout`` seconds for a batch to come back; return all that have."""
        done, _ = wait(self._running, timeout, FIRST_COMPLETED)
        return [self._finished(future) for future in done]

    def awaited(self) -> dict[Batch, float]:
        """Return the batches that threads are computing, who cannot be stopped, and since how many seconds."""
        now = time.monotonic()
        return {batch: now - self._begun.get(batch, now) for future, batch in self._running.items() if future.running()}

    def drain(self, at_most: float) -> list[Finished]:
        """Drop what is queued; wait ``at_most`` so many seconds for what is being computed, and return it."""
        self._running = {future: batch for future, batch in self._running.items() if not future.cancel()}
        wait(self._running, at_most)
        return self.next_done(0)

    def _compute(self, batch: Batch) -> Result:
        self._begun[batch] = time.monotonic()
        return batch.compute()

    def _finished(self, future: Future[Result]) -> Finished:
        batch = self._running.pop(future)
        self._begun.pop(batch, None)
        try:
            return Finished(batch, future.result())
        except Exception as error:
            return Finished(batch, None, reason(error))
