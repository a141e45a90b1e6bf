"""Run a sweep: keep workers busy, commit what comes back, decide, until every point has its draws."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from rmtsim.backend import resolve
from rmtsim.store import Store, Writer
from sweeps.executors import LOCAL, OWN_RAY, Executor, default_workers, open_executor
from sweeps.shares import Share, share_out
from sweeps.spec import Spec
from sweeps.state import PointState, read_states
from sweeps.tasks import Task, tasks_for


class Observer(Protocol):
    """Sees a sweep go on; may show it."""

    def update(self, states: list[PointState], new_draws: int) -> None:
        """Take note of draws that were just committed."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    states: list[PointState]
    new_draws: int

    @property
    def limited(self) -> list[PointState]:
        """Points that used up max_draws above the target."""
        return [state for state in self.states if state.state == "limited"]


def run(
    spec: Spec,
    store: Store,
    *,
    address: str = "local",
    backend: str = "auto",
    workers: int | None = None,
    memory: float | None = None,
    observer: Observer | None = None,
) -> Outcome:
    """Run or resume a sweep until every point has reached its target or max_draws.

    A finished sweep touches no file. A killed one goes on where its last committed task ended.

    Raises
    ------
    InputError
        If the sweep cannot run here: no such backend, too little memory, a store with other draws.
    StoreError, TaskError
        If the store or a task fails; everything committed before is safe.
    """
    here = address in (LOCAL, OWN_RAY)
    if here:
        backend = resolve(backend)  # on a cluster the workers decide: its head may have no GPU
    states = read_states(spec, store, None if backend == "auto" else backend)
    if all(state.finished for state in states) and spec.document() in store.specs():
        return Outcome(states, 0)
    if here and backend == "numpy":
        share = share_out(spec, workers, default_workers(backend), memory)
    else:  # a GPU's memory, and that of other machines, is looked at where the draws are made
        share = Share(workers, 1, memory)
    # The executor comes first: where no cluster answers, no store is left behind.
    with open_executor(address, share.workers, backend) as executor, store.writer() as writer:
        states = read_states(spec, store, executor.backend)  # again: another writer may have been before us
        writer.save_spec(spec.name, spec.document())
        new_draws = _drive(executor, writer, states, spec, share, observer)
    return Outcome(states, new_draws)


def _drive(
    executor: Executor,
    writer: Writer,
    states: list[PointState],
    spec: Spec,
    share: Share,
    observer: Observer | None,
) -> int:
    """Feed tasks and commit rows until nothing is wanted; return how many draws were made."""
    by_id = {state.point.id: state for state in states}
    waiting = deque(_largest_first(states, spec, executor.backend, share))
    unfinished = Counter(task.point.id for task in waiting)  # tasks of a point, waiting or in flight
    in_flight = new_draws = 0
    while waiting or in_flight:
        while waiting and in_flight < executor.capacity:
            executor.submit(waiting.popleft())
            in_flight += 1
        for task, rows in executor.next_done(timeout=1.0):
            state = by_id[task.point.id]
            _commit(writer, rows, state, spec)
            in_flight -= 1
            new_draws += len(task.draws)
            unfinished[task.point.id] -= 1
            if not unfinished[task.point.id]:  # at a checkpoint
                more = list(tasks_for(state, spec, executor.backend, share))
                unfinished[task.point.id] = len(more)
                waiting.extend(more)
            if observer:
                observer.update(states, len(task.draws))
    return new_draws


def _largest_first(states: list[PointState], spec: Spec, backend: str, share: Share) -> list[Task]:
    """Return the tasks of all points, large points first, so that none is left alone at the end."""
    order = sorted(states, key=lambda state: state.point.n_samples**2 * state.point.n_classes, reverse=True)
    return [task for state in order for task in tasks_for(state, spec, backend, share)]


def _commit(writer: Writer, rows: pd.DataFrame, state: PointState, spec: Spec) -> None:
    """Store the rows that the store does not have yet, then count them."""
    stored = [layer in state.stored_layers(draw) for draw, layer in zip(rows["draw"], rows["layer"], strict=True)]
    fresh = rows[[not known for known in stored]]
    if len(fresh):
        writer.append(fresh, spec.document())
    state.add(rows)
