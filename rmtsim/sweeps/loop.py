"""The one run loop: give jobs to workers, commit what comes back, and stop when asked; for draws and tables alike."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Protocol, cast

from rmtsim.arrays.pool import PATIENCE
from rmtsim.errors import GOES_ON, RunError
from rmtsim.store import Store
from rmtsim.store.withdraw import withdraw
from rmtsim.store.writer import Writer
from rmtsim.sweeps.audit import AuditedWorkers, DistrustedError
from rmtsim.sweeps.executors import LOCAL, open_executor
from rmtsim.sweeps.interrupts import interrupts, waits
from rmtsim.sweeps.jobs import Committer, Executor, Failure, Finished
from rmtsim.sweeps.progress import Progress
from rmtsim.sweeps.ray_workers import RayWorkers
from rmtsim.sweeps.scheduler import Scheduler
from rmtsim.text.words import number_of

_log = logging.getLogger(__name__)

#: Seconds between commits: what workers send in that time becomes one shard, and is all that a kill of the driver can
#: cost beside the jobs in flight.
COMMIT_EVERY = 1.0


class Work(Protocol):
    """What a run computes: the draws of a sweep, or the tables of an experiment.

    Attributes
    ----------
    name
        Name of the sweep or experiment.
    noun
        A job, in a word: ``"batch"`` or ``"table"``.
    queued
        Jobs that a worker of a cluster has at a time, the one at work included.
    """

    name: str
    noun: str
    queued: int

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders of the store that the run writes to."""
        ...

    @property
    def saves(self) -> bool:
        """Whether jobs save their state, so that a run which commits nothing has got on all the same."""
        ...

    def begin(self, store: Store, writer: Writer, backend: str) -> tuple[Scheduler[Any, Any], Committer]:
        """Look at the store again, now that it is ours to write to; return what is to be done and who commits it."""
        ...

    def progress(self, workers: int) -> Progress:
        """Return where the run stands."""
        ...


def run_work(
    work: Work,
    store: Store,
    *,
    address: str = LOCAL,
    backend: str = "auto",
    workers: int | None = None,
    time_limit: float = math.inf,
    fail_fast: bool = False,
    audit: float = 0.0,
    on_progress: Callable[[Progress], None] | None = None,
    on_message: Callable[[str], None] | None = None,
) -> str:
    """Compute all that is wanted as the store's one writer; return why it stopped before the end, or "".

    The arguments are those of `rmtsim.sweeps.runner.run`.
    """
    end = time.monotonic() + time_limit
    scheduler: Scheduler[Any, Any] | None = None

    def say(text: str) -> None:
        if on_message:
            on_message(text)
        else:
            _log.info("%s: %s", work.name, text)

    def farewell(why: str) -> None:
        left = []
        for job, since in executor.awaited().items():
            total = scheduler.seconds(job) if scheduler else None
            left.append(None if total is None else total - since)
        say(f"{why}: {waits(left, work.noun)}")

    with ExitStack() as opened:
        # The executor comes first: where no cluster answers, no store is left behind.
        executor = opened.enter_context(open_executor(address, workers, backend, work.queued))
        if audit:
            executor = AuditedWorkers(cast("RayWorkers", executor), audit)
        asked = opened.enter_context(interrupts(partial(farewell, "interrupted")))
        writer = opened.enter_context(store.writer(work.folders))
        scheduler, committer = work.begin(store, writer, executor.backend)

        def report() -> None:
            if on_progress:
                on_progress(work.progress(executor.workers))

        def stop() -> str:
            assert scheduler is not None
            if asked():
                return "interrupted"
            # Without the first results, a limit below the time that they take would end nothing. But where no worker
            # has taken a job by then, none may ever come.
            over = time.monotonic() - end
            got_on = committer.done > 0 or work.saves
            late = over >= 0 and (got_on or (over >= PATIENCE and not scheduler.in_flight))
            why = "failure" if scheduler.failures and fail_fast else "time limit" if late else ""
            if why:
                farewell(why)
            return why

        while True:
            try:
                stopped = drive(scheduler, executor, committer, stop, report)
                break
            except DistrustedError as found:
                done = committer.done - withdraw(store, writer, found.draws)
                if found.undecided:
                    raise RunError(found.undecided) from None
                executor.drain(0)  # what is in flight would come back to a scheduler that knows nothing of it
                scheduler, committer = work.begin(store, writer, executor.backend)
                committer.done = done
        if left := executor.awaited():
            say(f"{number_of(len(left), work.noun)} did not end in {PATIENCE:.0f} s, and will be made again")
    return stopped


def _never() -> str:
    return ""


def drive(
    scheduler: Scheduler[Any, Any],
    executor: Executor,
    committer: Committer,
    stop: Callable[[], str] = _never,
    report: Callable[[], None] = lambda: None,
) -> str:
    """Feed jobs and commit what comes back until nothing is wanted.

    Parameters
    ----------
    scheduler, executor, committer
        What comes next, who computes it, and where it goes.
    stop
        Called in every round. A text that is not empty stops the run with that reason: jobs in flight are dropped,
        except those that threads are computing, which get `PATIENCE` seconds, and what came back is committed.
    report
        Called about once a second, after a commit.

    Returns
    -------
    str
        Why it stopped before the end, or "".
    """

    def take(several: list[Finished]) -> None:
        for finished in several:
            if finished.result is None:
                scheduler.failed(finished.job, finished.reason, lost=finished.lost)
            else:
                committer.add(finished.job, finished.result)
                scheduler.done(finished.job, finished.result)

    reason, committed = "", -math.inf
    try:
        while not scheduler.idle and not (reason := stop()):
            while executor.free and (job := scheduler.next(executor.free + scheduler.in_flight)):
                executor.submit(job)
            take(executor.next_done(timeout=COMMIT_EVERY / 4))
            if time.monotonic() - committed >= COMMIT_EVERY:
                committer.commit()
                report()
                take(executor.overdue(scheduler.limit))
                committed = time.monotonic()
        committer.commit()
        take(executor.drain(PATIENCE))
    finally:
        committer.commit()
        report()
    return reason


def ending(failures: list[Failure], stopped: str, unfinished: bool, noun: str) -> str:
    """Return how a run ended before its work was done, as the end of a sentence; "" if it did not."""
    if failures:
        return f"; {number_of(len(failures), noun)} failed, the same command tries {_them(failures)} again"
    return f"; stopped ({stopped}): {GOES_ON}" if unfinished else ""


def _them(failures: list[Failure]) -> str:
    return "it" if len(failures) == 1 else "them"
