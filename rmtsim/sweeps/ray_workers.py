"""Ray actors that compute jobs: one for each GPU, or for each CPU, which join and leave while a run goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from rmtsim.sweeps.crew import STARTING, Call, Crew, Worker
from rmtsim.sweeps.jobs import Finished, Job, Place, error_line
from rmtsim.sweeps.remote_worker import machine, place_here
from rmtsim.text.sizes import format_seconds

_log = logging.getLogger(__name__)


class RayWorkers:
    """The executor on Ray.

    The jobs that an actor had which dies go to others at once, since to start another may take long. Another is
    started, too, for an actor on which a job raised an error, and for one that hangs, which is ended.

    Parameters
    ----------
    ray
        The module, connected.
    workers
        How many actors, even if there is no room for them yet; by default as many as there is room for at any time.
    backend
        ``"numpy"``, ``"cupy"``, or ``"auto"`` for what the cluster has.
    queued
        How many jobs an actor has at a time, the one at work included.
    clock
        The time in seconds; it never goes back.

    Raises
    ------
    InputError
        If the cluster has no room for a single one and none was asked for.
    RunError
        Then and later, if no worker can start, or the head of the cluster is gone.
    """

    def __init__(
        self, ray: Any, workers: int | None, backend: str, queued: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ray, self._crew = ray, Crew(ray, workers, backend, queued, clock)
        self.backend = self._crew.backend

    @property
    def workers(self) -> int:
        """Workers that are at work now."""
        return sum(worker.ready for worker in self._crew.there)

    @property
    def free(self) -> int:
        """How many more jobs to submit now."""
        places = self._crew.places
        while places and not places[0].ready:
            places.popleft()
        return len(places)

    def seconds(self) -> float:
        """Return the seconds since the start, without those in which nobody looked."""
        return self._crew.watch.look()

    def submit(self, job: Job) -> None:
        """Give a job to the worker that has waited longest."""
        if not self.free:
            raise RuntimeError("no worker has a place free")
        self._give(self._crew.places.popleft(), job)

    def next_done(self, timeout: float) -> list[Finished]:
        """Wait at most ``timeout`` seconds for a job to come back; return all that have."""
        self._crew.grow()
        if not self._crew.calls:
            time.sleep(timeout)
            return []
        references = list(self._crew.calls)
        if not self._ray.wait(references, num_returns=1, timeout=timeout)[0]:
            return []
        done, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        try:
            values = self._ray.get(done)
        except self._ray.exceptions.RayError:  # one of them failed: look at each
            values = [self._value(reference) for reference in done]
        several = zip(done, values, strict=True)
        return [f for reference, value in several if (f := self._over(reference, value)) is not None]

    def overdue(self, limit: Callable[[Job], float]) -> list[Finished]:
        """End the workers that have computed a job for longer than ``limit`` of it, in seconds; return their jobs.

        What a job computes on a worker that is ended is never looked at.
        """
        now, found = self._crew.watch.look(), []
        for worker in [worker for worker in self._crew.there if worker.calls and worker.place is not None]:
            call = self._crew.calls[worker.calls[0]]
            allowed = STARTING if call.job is None else limit(call.job)
            if now - worker.since > allowed:
                found += self._end_hung(call, allowed)
        return found

    def _end_hung(self, call: Call, allowed: float) -> list[Finished]:
        """End a worker that hangs, and start another; return its jobs."""
        worker, job, _ = call
        time_over = f"its limit of {format_seconds(allowed)}"
        if job is None:
            self._crew.failed_start(worker, f"it loads what jobs need for longer than {time_over}")
            return []
        _log.warning(
            "run: the worker on %s hangs and is ended; %s took longer there than %s, and %s given to others",
            worker.place,
            job,
            time_over,
            "is" if len(worker.calls) == 1 else "they and what waited behind them are",
        )
        lost = self._crew.end(worker)
        self._crew.replace(worker)
        why = {job: Finished(job, None, f"on {worker.place} it took longer than {time_over}")}
        return [why.get(one) or Finished(one, None, "its worker hung", lost=True) for one in lost]

    def awaited(self) -> dict[Job, float]:
        """Return none: Ray ends what is being computed with the actors."""
        return {}

    def drain(self, at_most: float) -> list[Finished]:
        """Drop everything: what is being computed is not looked at."""
        for reference, call in self._crew.calls.items():
            self._crew.calls[reference] = call._replace(wanted=False)
        return []

    def nodes(self) -> set[str]:
        """Return the nodes that have workers at work."""
        return {worker.place.node for worker in self._crew.there if worker.ready and worker.place}

    def here(self) -> Place:
        """Return where this process is."""
        return place_here(self._ray.get_runtime_context().get_node_id(), machine=machine(self.backend))

    def submit_apart(self, job: Job, places: Sequence[Place]) -> bool | None:
        """Give a job to a worker on none of the nodes of ``places``, or at least at none of them, once one has room.

        Returns
        -------
        bool or None
            Whether one had room; None where there is no such worker.
        """
        nodes = {place.node for place in places}
        ready = [worker for worker in self._crew.there if worker.ready and worker.place not in places]
        apart = [worker for worker in ready if worker.place and worker.place.node not in nodes] or ready
        for worker in self._crew.places:
            if worker in apart:
                self._crew.places.remove(worker)
                self._give(worker, job)
                return True
        return False if apart else None

    def leave_out(self, place: Place, *, node: bool) -> None:
        """End the worker at a place, or all of its ``node``, for good; what they had is dropped."""
        self._crew.leave_out(place, node=node)

    def _give(self, worker: Worker, job: Job) -> None:
        self._crew.call(worker, worker.actor.compute.remote(job), job)

    def _value(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return error

    def _over(self, reference: Any, value: Any) -> Finished | None:
        """Take note of a call that is over; return the job if it was the call of one."""
        if reference not in self._crew.calls:  # its worker was ended meanwhile
            return None
        worker, job, wanted = self._crew.calls.pop(reference)
        worker.calls.remove(reference)
        worker.since = self._crew.watch.look()
        raised = isinstance(value, self._ray.exceptions.RayTaskError)  # by the code on the worker, which is well
        lost = isinstance(value, self._ray.exceptions.RayError) and not raised
        if job is None:
            if raised:
                self._crew.failed_start(worker, error_line(value.cause or value))
            elif lost:
                self._crew.died(worker, value)
            else:
                self._crew.answered(worker, value)
            return None
        if lost or raised:
            if worker.ready:  # it may have failed at the job before this one
                self._crew.let_go(worker)  # an error of a GPU may stay with its process, and eat up jobs
                self._crew.start()
            why = f"its worker is gone ({error_line(value)})" if lost else error_line(value.cause or value)
            return Finished(job, None, why, lost) if wanted else None
        worker.hangs = 0
        if worker.ready:
            self._crew.places.append(worker)
        return Finished(job, value, place=worker.place) if wanted else None
