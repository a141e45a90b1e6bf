"""Run a sweep: keep workers busy, commit what comes back, decide, until every point has its draws."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import resolve
from rmtsim.arrays.pool import PATIENCE
from rmtsim.sampling.schema import SimulatedDraws, table_of
from rmtsim.store import Store
from rmtsim.store.compact import MANY, compact_with
from rmtsim.store.writer import Writer
from rmtsim.sweeps.executor import Executor, Finished
from rmtsim.sweeps.executors import OWN_RAY, THIS_MACHINE, open_executor
from rmtsim.sweeps.interrupts import interrupts, waits
from rmtsim.sweeps.progress import Progress, SweepWatch
from rmtsim.sweeps.resources import Resources, allocate
from rmtsim.sweeps.scheduler import Failure, Scheduler
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.state import PointState, read_states
from rmtsim.sweeps.thread_workers import default_workers
from rmtsim.text.sizes import format_share
from rmtsim.text.words import number_of

_log = logging.getLogger(__name__)

#: Seconds between commits: what workers send in that time becomes one shard, and is all that a kill of the driver can
#: cost beside the batches in flight.
COMMIT_EVERY = 1.0

#: Points that an outcome shows in a notebook.
_SHOWN_POINTS = 20


@dataclass(frozen=True, repr=False)
class Outcome:
    """How a run ended, and where every point stands.

    Attributes
    ----------
    states
        The points of the sweep, each with its draws, precision and state.
    new_draws
        Draws that the run has committed.
    failures
        Batches that failed for good.
    stopped
        Why the run stopped before its end: "interrupted", "time limit", "failure", or "".
    """

    states: list[PointState]
    new_draws: int
    failures: list[Failure] = field(default_factory=list)
    stopped: str = ""

    @property
    def limited(self) -> list[PointState]:
        """Points that used up max_draws above the target."""
        return [state for state in self.states if state.state == "limited"]

    @property
    def unfinished(self) -> list[PointState]:
        """Points that want more draws."""
        return [state for state in self.states if not state.finished]

    def __repr__(self) -> str:
        return f"Outcome({self})"

    def _repr_html_(self) -> str:
        """Return the sentence, and a table of the points."""
        head = "".join(f"<th>{name}</th>" for name in ("point", "state", "draws", "rse", "target"))
        rows = "".join(
            f"<tr><td>{state.point.sizes}</td><td>{state.state}</td><td>{state.prefix}</td>"
            f"<td>{format_share(state.precision[0]) if math.isfinite(state.precision[0]) else ''}</td>"
            f"<td>{state.sampling.target_rse:.2%}</td></tr>"
            for state in self.states[:_SHOWN_POINTS]
        )
        more = len(self.states) - _SHOWN_POINTS
        note = f"<p>… and {number_of(more, 'point')} more</p>" if more > 0 else ""
        return f"<p><b>Outcome</b>: {escape(str(self))}</p><table><tr>{head}</tr>{rows}</table>{note}"

    def __str__(self) -> str:
        """Say it in a sentence."""
        made = f"{number_of(self.new_draws, 'new draw')}" if self.new_draws or self.unfinished else "nothing to do"
        done = len(self.states) - len(self.limited) - len(self.unfinished)
        text = f"{made}; {done} of {len(self.states)} points done"
        if self.limited:
            text += f", {len(self.limited)} used up max_draws above target_rse (see rmtsim status)"
        if self.failures:
            text += f"; {len(self.failures)} batches failed, the same command tries them again"
        elif self.unfinished:
            text += f"; stopped ({self.stopped}): what was committed is safe, the same command goes on"
        return text

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "complete": not (self.limited or self.unfinished),
            "new_draws": self.new_draws,
            "points": len(self.states),
            "done": len(self.states) - len(self.limited) - len(self.unfinished),
            "limited": len(self.limited),
            "unfinished": len(self.unfinished),
            "stopped": self.stopped,
            "failures": [failure.document() for failure in self.failures],
        }


def run(
    spec: Spec,
    store: Store,
    *,
    address: str = "local",
    backend: str = "auto",
    workers: int | None = None,
    memory: float | None = None,
    time_limit: float = math.inf,
    fail_fast: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_message: Callable[[str], None] | None = None,
) -> Outcome:
    """Run or resume a sweep until every point has reached its target or max_draws.

    A finished sweep touches no file. One that was killed or interrupted goes on where its last commit ended, and ends
    with the same rows.

    Parameters
    ----------
    spec, store
        The sweep, and where its draws go.
    address, backend, workers, memory
        Where to compute, with what, how many batches at a time, and bytes for all of them (on a cluster, for each).
    time_limit
        Seconds after which to stop. Batches that threads are computing are then waited for, for `PATIENCE` seconds at
        most; others in flight are dropped. The first ones are always computed, so that a run that is repeated comes
        to its end.
    fail_fast
        Stop at the first batch that is given up. By default all others go on.
    on_progress
        Called with a `rmtsim.sweeps.progress.Progress` after every commit, about once a second.
    on_message
        Called with a sentence on what the run waits for, or leaves undone; by default it is logged.

    Raises
    ------
    InputError
        If the sweep cannot run here: no such backend, too little memory, a store with other draws.
    RunError
        If the store fails; everything committed before is safe.
    """
    here = address in THIS_MACHINE
    if here:
        backend = resolve(backend)  # on a cluster the workers decide: its head may have no GPU
    states = read_states(spec, store, None if backend == "auto" else backend)
    if all(state.finished for state in states) and spec.document() in store.specs():
        return Outcome(states, 0)
    if here and backend == "numpy":
        resources = allocate(spec, workers, default_workers(backend), memory, processes=address == OWN_RAY)
    else:  # a GPU's memory, and that of other machines, is looked at where the draws are made
        resources = Resources(workers, 1, memory)
    end = time.monotonic() + time_limit
    scheduler: Scheduler | None = None

    def say(text: str) -> None:
        if on_message:
            on_message(text)
        else:
            _log.info("%s: %s", spec.name, text)

    def farewell(why: str) -> None:
        awaited = executor.awaited()
        expected = [(since, scheduler.seconds(batch) if scheduler else None) for batch, since in awaited.items()]
        say(f"{why}: {waits([None if total is None else total - since for since, total in expected])}")

    # The executor comes first: where no cluster answers, no store is left behind.
    with (
        open_executor(address, resources.workers, backend) as executor,
        interrupts(partial(farewell, "interrupted")) as asked,
        store.writer() as writer,
    ):
        states = read_states(spec, store, executor.backend)  # again: another writer may have been before us
        writer.save_spec(spec.name, spec.document())
        scheduler = Scheduler(states, spec, executor.backend, resources)
        committer = Committer(writer, spec.document())

        watch = SweepWatch(spec.name, states) if on_progress else None

        def report() -> None:
            if on_progress and watch:
                on_progress(watch.progress(committer.draws, executor.workers, scheduler.failures))

        def stop() -> str:
            if asked():
                return "interrupted"
            # Without the first draws, a limit below the time that they take would end nothing; but none may ever come.
            over = time.monotonic() - end
            late = over >= 0 and (committer.draws > 0 or (over >= PATIENCE and not scheduler.in_flight))
            why = "failure" if scheduler.failures and fail_fast else "time limit" if late else ""
            if why:
                farewell(why)
            return why

        stopped = drive(scheduler, executor, committer, stop, report)
        if left := executor.awaited():
            say(f"{number_of(len(left), 'batch')} did not end in {PATIENCE:.0f} s, and will be made again")
    return Outcome(states, committer.draws, scheduler.failures, stopped)


class Committer:
    """Gathers results, and commits them about once a second as one shard; many small shards become a large one.

    Attributes
    ----------
    draws
        Draws that were committed.
    """

    def __init__(self, writer: Writer, document: Mapping[str, Any]) -> None:
        self.draws = 0
        self._writer, self._document = writer, document
        self._simulated: list[SimulatedDraws] = []
        self._stored: list[dict[int, set[str]]] = []
        self._last = -math.inf
        self._until_compaction = MANY - len(writer.loose())

    def add(self, simulated: SimulatedDraws, stored: dict[int, set[str]]) -> None:
        """Take in draws, but for layers in ``stored``, which the store has; they are done only when committed."""
        self._simulated.append(simulated)
        self._stored.append(stored)

    @property
    def due(self) -> bool:
        """Whether the last commit was not just now."""
        return time.monotonic() - self._last >= COMMIT_EVERY

    def commit(self) -> None:
        """Put what was gathered on the disk. What fails, or is interrupted, is not tried again: it may be there."""
        simulated, stored = self._simulated, self._stored
        self._simulated, self._stored = [], []
        if simulated:
            rows = table_of(simulated)
            if any(stored):
                rows = rows.filter(np.concatenate([_fresh(*pair) for pair in zip(simulated, stored, strict=True)]))
            self._writer.append(rows, self._document)
            self.draws += sum(len(one.draws) for one in simulated)
            self._until_compaction -= 1
            if self._until_compaction <= 0:
                compact_with(self._writer)
                self._until_compaction = MANY
        self._last = time.monotonic()


def _fresh(simulated: SimulatedDraws, stored: dict[int, set[str]]) -> npt.NDArray[np.bool_]:
    """Return which rows of simulated draws, by draw, then layer, the store does not have."""
    return np.array([layer not in stored.get(draw, ()) for draw in simulated.draws for layer in simulated.layers])


def drive(
    scheduler: Scheduler,
    executor: Executor,
    committer: Committer,
    stop: Callable[[], str] = str,
    report: Callable[[], None] = lambda: None,
) -> str:
    """Feed batches and commit what comes back until nothing is wanted.

    Parameters
    ----------
    scheduler, executor, committer
        What comes next, who computes it, and where it goes.
    stop
        Returns why to stop before the end, or "". What is in flight is then dropped, but for what threads are
        computing, who cannot be stopped, and get `PATIENCE` seconds; what came back is committed.
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
                scheduler.failed(finished.batch, finished.reason, lost=finished.lost)
            else:
                committer.add(finished.result.simulated, scheduler.stored_layers(finished.batch))
                scheduler.done(finished.batch, finished.result)

    reason = ""
    try:
        while not scheduler.idle and not (reason := stop()):
            while executor.free and (batch := scheduler.next(executor.free + scheduler.in_flight)):
                executor.submit(batch)
            take(executor.next_done(timeout=COMMIT_EVERY / 4))
            if committer.due:
                committer.commit()
                report()
        committer.commit()
        take(executor.drain(PATIENCE))
    finally:
        committer.commit()
        report()
    return reason
