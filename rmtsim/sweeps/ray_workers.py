"""Ray actors that compute jobs: one for each GPU, or for each CPU, which join and leave while a run goes on."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rmtsim.arrays.backend import get_backend
from rmtsim.errors import InputError, RunError
from rmtsim.sweeps.cluster_backend import found_backend
from rmtsim.sweeps.connection import check_head
from rmtsim.sweeps.jobs import Finished, Job, Place, error_line
from rmtsim.sweeps.last_words import last_words
from rmtsim.sweeps.nodes import Nodes
from rmtsim.sweeps.remote_worker import RemoteWorker, blas_settings
from rmtsim.sweeps.stopwatch import Stopwatch
from rmtsim.text.sizes import format_seconds
from rmtsim.version import __version__

_log = logging.getLogger(__name__)

#: Seconds between looks for nodes that have joined, and whether the head is there.
_LOOK_EVERY = 5.0

#: Seconds without any worker after which a message says so.
_SILENCE = 60.0

#: Workers, one started in the place of the other, that may die while they start, or hang before they give a result.
_STARTS = 5

#: Seconds that a worker may take from the first sign of life of its process until it has loaded all that jobs need.
_STARTING = 600.0


@dataclass(eq=False)
class _Worker:
    """An actor as the driver sees it.

    Attributes
    ----------
    deaths, hangs
        How many before it, in its place, died while they started or hung, one after the other.
    place
        Where its process is; None while it waits for room.
    ready
        Whether it takes jobs.
    calls, since
        What it was called for and has not answered, in the order in which it computes; when it began the first.
    """

    actor: Any
    deaths: int = 0
    hangs: int = 0
    place: Place | None = None
    ready: bool = False
    calls: deque[Any] = field(default_factory=deque)
    since: float = 0.0


class _Call(NamedTuple):
    """A call of an actor: of a job, or (None) to say where it is and that it has started."""

    worker: _Worker
    job: Job | None


class RayWorkers:
    """The executor on Ray.

    For an actor that dies another is started, wherever there is room for it; the jobs it had go to others at once,
    since that may take long. Another is started, too, for an actor on which a job raised an error, and for one that
    hangs, which is ended. Where actors cannot start no others are, until the node is gone from the cluster. Actors
    that wait for room make a cluster with an autoscaler grow.

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
        self._ray, self._queued, self._clock = ray, queued, clock
        resources = ray.cluster_resources()
        self.backend = backend if backend != "auto" else found_backend(ray)
        self._asked = workers
        gpu = get_backend(self.backend).needs_gpu
        self._resource = "GPU" if gpu else "CPU"
        if not workers and resources.get(self._resource, 0) < 1:
            raise InputError(
                f"--backend: {self.backend} needs a {self._resource} and the cluster has none; wait until a worker "
                "has joined, ask for --workers so that one does, or choose another backend"
            )
        self._actor = ray.remote(
            num_cpus=0 if gpu else 1,
            num_gpus=1 if gpu else 0,
            max_restarts=0,  # Ray would start for ever, without a word, one that dies whenever it starts
            max_task_retries=0,  # a job goes to another worker rather than wait for this one
            runtime_env={"env_vars": blas_settings()},
        )(RemoteWorker)
        self._workers: list[_Worker] = []
        self._running: dict[Any, _Call] = {}
        self._places: deque[_Worker] = deque()  # where a job can go
        self._nodes = Nodes(self._resource)
        self._watch = Stopwatch(clock)
        self._looked, self._begun = -math.inf, clock()
        self._kernels: list[str] = []  # of BLAS
        self._reported: set[str] = set()
        self._announce_wait(resources)
        self._grow()

    @property
    def workers(self) -> int:
        """Workers that are at work now."""
        return sum(worker.ready for worker in self._workers)

    @property
    def free(self) -> int:
        """How many more jobs to submit now."""
        while self._places and not self._places[0].ready:
            self._places.popleft()
        return len(self._places)

    def submit(self, job: Job) -> None:
        """Give a job to the worker that has waited longest."""
        if not self.free:
            raise RuntimeError("no worker has a place free")
        worker = self._places.popleft()
        self._call(worker, worker.actor.compute.remote(job), job)

    def next_done(self, timeout: float) -> list[Finished]:
        """Wait at most ``timeout`` seconds for a job to come back; return all that have."""
        self._grow()
        if not self._running:
            time.sleep(timeout)
            return []
        references = list(self._running)
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
        now, found = self._watch.look(), []
        for worker in [worker for worker in self._workers if worker.calls and worker.place is not None]:
            job = self._running[worker.calls[0]].job
            allowed = _STARTING if job is None else limit(job)
            if now - worker.since > allowed:
                found += self._end_hung(worker, job, allowed)
        return found

    def _end_hung(self, worker: _Worker, job: Job | None, allowed: float) -> list[Finished]:
        """End a worker that hangs, and start another; return its jobs."""
        time_over = f"its limit of {format_seconds(allowed)}"
        if job is None:
            self._failed_start(worker, f"it loads what jobs need for longer than {time_over}")
            return []
        lost = self._end(worker)
        _log.warning(
            "run: the worker on %s hangs and is ended; %s took longer there than %s, and %s given to others",
            worker.place,
            job,
            time_over,
            "is" if len(lost) == 1 else "they and what waited behind them are",
        )
        if worker.hangs + 1 < _STARTS:
            self._start(hangs=worker.hangs + 1)
        else:
            self._unfit(worker, f"{_STARTS} workers hung one after the other")
        why = f"on {worker.place} it took longer than {time_over}"
        return [Finished(job, None, why), *(Finished(other, None, "its worker hung", lost=True) for other in lost[1:])]

    def _end(self, worker: _Worker) -> list[Job]:
        """End a worker; return the jobs that it had, in order. Whatever it may still answer is not waited for."""
        worker.ready = False
        self._workers.remove(worker)
        self._ray.kill(worker.actor)
        calls = [self._running.pop(reference) for reference in worker.calls]
        worker.calls.clear()
        return [call.job for call in calls if call.job is not None]

    def awaited(self) -> dict[Job, float]:
        """Return none: Ray ends what is being computed with the actors."""
        return {}

    def drain(self, at_most: float) -> list[Finished]:
        """Drop everything."""
        return []

    def _value(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return error

    def _call(self, worker: _Worker, reference: Any, job: Job | None) -> None:
        """Take note of a call."""
        if not worker.calls:
            worker.since = self._watch.look()
        worker.calls.append(reference)
        self._running[reference] = _Call(worker, job)

    def _over(self, reference: Any, value: Any) -> Finished | None:
        """Take note of a call that is over; return the job if it was the call of one."""
        if reference not in self._running:  # its worker was ended meanwhile
            return None
        worker, job = self._running.pop(reference)
        worker.calls.remove(reference)
        worker.since = self._watch.look()
        raised = isinstance(value, self._ray.exceptions.RayTaskError)  # by the code on the worker, which is well
        lost = isinstance(value, self._ray.exceptions.RayError) and not raised
        if job is None:
            if raised:
                self._failed_start(worker, error_line(value.cause or value))
            elif lost:
                self._died(worker, value)
            elif worker.place is None:
                self._arrived(worker, value)
            else:
                self._started(worker, value)
            return None
        if lost or raised:
            if worker.ready:  # it may have failed at the job before this one
                worker.ready = False
                self._workers.remove(worker)
                self._ray.kill(worker.actor)  # an error of a GPU may stay with its process, and eat up jobs
                self._start()
            if lost:
                return Finished(job, None, f"its worker is gone ({error_line(value)})", lost=True)
            return Finished(job, None, error_line(value.cause or value))
        worker.hangs = 0
        if worker.ready:
            self._places.append(worker)
        return Finished(job, value)

    def _announce_wait(self, resources: dict[str, float]) -> None:
        """Log that the run waits if the cluster has no room for a worker now."""
        if self._ray.available_resources().get(self._resource, 0) >= 1:
            return
        there = resources.get(self._resource, 0)
        used = f"all {there:.0f} {self._resource}s of the cluster are in use"
        _log.info("run: waits for workers: %s", used if there else f"the cluster has no {self._resource}")

    def _start(self, deaths: int = 0, hangs: int = 0) -> None:
        """Start a worker; it gets no jobs until it answers."""
        worker = _Worker(self._actor.options(**self._nodes.options()).remote(), deaths, hangs)
        self._workers.append(worker)
        self._call(worker, worker.actor.place.remote(), None)

    def _arrived(self, worker: _Worker, place: Place) -> None:
        """Let a worker load what jobs need, unless it has come to a node that it should not be on."""
        worker.place = place
        if not self._nodes.is_open(place.node):  # it was started before that was known
            self._end(worker)
            self._looked = -math.inf
            return
        self._call(worker, worker.actor.hello.remote(self.backend), None)

    def _died(self, worker: _Worker, error: BaseException) -> None:
        """Start another for one that died while it started, unless too many have in its place, or its code is wrong."""
        deaths, why = worker.deaths + 1, last_words(error)
        if "creation task" in str(error) or deaths >= _STARTS:
            again = "" if deaths == 1 else f"{deaths} died one after the other while they started, "
            self._failed_start(worker, again + why)
            return
        self._workers.remove(worker)
        self._start(deaths)

    def _started(self, worker: _Worker, about: dict[str, str]) -> None:
        if about["version"] != __version__:
            wrong = f"it has rmtsim {about['version']}, this is {__version__}; install the same on all nodes"
            self._failed_start(worker, wrong)
            return
        if about["kernel"] not in self._kernels:
            self._kernels.append(about["kernel"])
            if len(self._kernels) > 1:
                kernels = " and ".join(self._kernels)
                _log.warning("run: workers have BLAS kernels %s, whose last digits differ", kernels)
        worker.ready = True
        worker.deaths = 0
        self._places.extend([worker] * self._queued)

    def _failed_start(self, worker: _Worker, why: str) -> None:
        """Do without a worker that cannot start; raise RunError if no other is left that may."""
        self._end(worker)
        self._unfit(worker, why)

    def _unfit(self, worker: _Worker, why: str) -> None:
        """Start no other in the place of a worker, until its node is replaced."""
        self._nodes.could_not_start(worker.place.node if worker.place else self._node_of(worker))
        if not self._workers and not (self._nodes.places and self._nodes.room(self._asked) > 0):
            raise RunError(f"no worker can start: {why}")
        if why not in self._reported:
            self._reported.add(why)
            where = f" on {worker.place}" if worker.place else ""
            _log.warning("run: a worker%s cannot start, and its place is left out: %s", where, why)

    def _node_of(self, worker: _Worker) -> str:
        """Return the node on which a worker died before it could say so; "" if that is not to be had."""
        with suppress(Exception):  # Ray has no public way to ask, and none at all by ray://
            from ray._private.state import actors

            return str(actors(worker.actor._actor_id.hex())["Address"]["NodeID"])
        return ""

    def _grow(self) -> None:
        """Now and then, see how many workers there is room for, and add those that are missing."""
        now = self._clock()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        check_head()
        if not self._kernels and now - self._begun > _SILENCE and self._workers:
            self._begun = math.inf
            _log.warning(
                "run: no worker has answered for %.0f s; if the cluster has room for one, its processes end "
                "before they get to rmtsim: see Ray's logs, and PYTHONPATH",
                _SILENCE,
            )
        self._nodes.look(self._ray.nodes())
        for _ in range(self._nodes.room(self._asked) - len(self._workers)):
            self._start()
