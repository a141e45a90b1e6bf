"""Threads of this process that compute jobs, one for each core."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from threading import Event
from typing import Any

from rmtsim.arrays.backend import get_backend
from rmtsim.arrays.pool import Pool
from rmtsim.arrays.threads import cores, single_threaded_blas
from rmtsim.errors import RunError, StoppedError
from rmtsim.sweeps.jobs import Finished, Job, error_line
from rmtsim.text.sizes import format_seconds

_log = logging.getLogger(__name__)


def default_workers(backend: str) -> int:
    """Return how many jobs to compute at a time in this process: one per core, or one for the GPU."""
    return 1 if get_backend(backend).needs_gpu else cores()


@contextmanager
def thread_workers(workers: int, backend: str, queued: int) -> Iterator[ThreadWorkers]:
    """Open the executor, with one BLAS thread for each worker: results then have the same bits on every worker."""
    if (devices := get_backend(backend).devices()) > 1:
        _log.warning("run: this process uses one of %d GPUs; --address ray has a worker on each", devices)
    with single_threaded_blas(), Pool(workers) as pool:
        if pool.threads < workers:
            _log.warning(
                "run: the system gives %d of %d threads (ulimit -u, or memory); goes on %s",
                pool.threads,
                workers,
                "with these" if pool.threads else "in the main one",
            )
        yield ThreadWorkers(pool, backend, queued)


class ThreadWorkers:
    """The executor in this process: NumPy releases the interpreter's lock in the calls that take most of the time."""

    def __init__(self, pool: Pool, backend: str, queued: int) -> None:
        self.backend, self.workers = backend, max(1, pool.threads)
        self._pool, self._queued = pool, queued
        self._running: dict[Future[Any], Job] = {}
        self._begun: dict[Job, float] = {}
        self._told: set[Job] = set()  # that they take long
        self._stop = Event()

    @property
    def free(self) -> int:
        """How many more jobs to submit now."""
        return self._queued * self.workers - len(self._running)

    def submit(self, job: Job) -> None:
        """Put a job in the queue."""
        self._running[self._pool.submit(self._compute, job)] = job

    def next_done(self, timeout: float) -> list[Finished]:
        """Wait at most ``timeout`` seconds for a job to come back; return all that have."""
        done, _ = wait(self._running, timeout, FIRST_COMPLETED)
        return [found for future in done if (found := self._finished(future)) is not None]

    def overdue(self, limit: Callable[[Job], float]) -> list[Finished]:
        """Return none, since a thread cannot be ended; warn, once, of each job that takes longer than its limit."""
        for job, since in self.awaited().items():
            if since > (allowed := limit(job)) and job not in self._told:
                self._told.add(job)
                _log.warning(
                    "run: %s: at work for longer than the limit of %s; a thread that hangs cannot be ended: if it "
                    "does, stop the run, and start it again with --address ray, which ends processes that hang",
                    job,
                    format_seconds(allowed),
                )
        return []

    def awaited(self) -> dict[Job, float]:
        """Return the jobs that threads are computing, and for how many seconds: a thread cannot be stopped."""
        now = time.monotonic()
        return {job: now - self._begun.get(job, now) for future, job in self._running.items() if future.running()}

    def drain(self, at_most: float) -> list[Finished]:
        """Drop queued jobs and ask the others to stop; wait at most ``at_most`` seconds, and return what came back."""
        self._stop.set()
        self._running = {future: job for future, job in self._running.items() if not future.cancel()}
        wait(self._running, at_most)
        return self.next_done(0)

    def _compute(self, job: Job) -> Any:
        self._begun[job] = time.monotonic()
        return job.compute(self._stop.is_set)

    def _finished(self, future: Future[Any]) -> Finished | None:
        """Return the job of a future that is done, None where it has stopped as it was asked to.

        Raises
        ------
        RunError
            If the GPU has failed: until this process ends, whatever else it is asked fails too.
        """
        job = self._running.pop(future)
        self._begun.pop(job, None)
        self._told.discard(job)
        try:
            return Finished(job, future.result())
        except StoppedError as error:
            return None if self._stop.is_set() else Finished(job, None, error_line(error))
        except Exception as error:
            if get_backend(self.backend).is_fatal(error):
                raise RunError(
                    f"the GPU has failed ({error_line(error)}), and this process can use it no more; the same command "
                    "goes on where this one stopped"
                ) from error
            return Finished(job, None, error_line(error))
