"""The actors of a run on Ray: they are started, wait for room, load what jobs need, are replaced, and are ended."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from rmtsim.arrays.backend import get_backend
from rmtsim.errors import InputError, RunError
from rmtsim.sweeps.cluster_backend import found_backend
from rmtsim.sweeps.connection import check_head
from rmtsim.sweeps.jobs import Job, Place
from rmtsim.sweeps.last_words import last_words
from rmtsim.sweeps.nodes import Nodes
from rmtsim.sweeps.remote_worker import RemoteWorker, worker_environment
from rmtsim.sweeps.stopwatch import Stopwatch
from rmtsim.version import __version__

_log = logging.getLogger(__name__)

#: Seconds between looks for nodes that have joined, and whether the head is there.
_LOOK_EVERY = 5.0

#: Seconds without any worker after which a message says so.
_SILENCE = 60.0

#: Workers, one started in the place of the other, that may die while they start, or hang before they give a result.
_STARTS = 5

#: Seconds that a worker may take from the first sign of life of its process until it has loaded all that jobs need.
STARTING = 600.0


@dataclass(eq=False)
class Worker:
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


class Call(NamedTuple):
    """A call of an actor: of a job, whose result may not be ``wanted`` any more, or (None) of what it does to start."""

    worker: Worker
    job: Job | None
    wanted: bool = True


class Crew:
    """Actors, one for each GPU or CPU, with what they were called for.

    For one that dies another is started, wherever there is room for it. Where actors cannot start no others are, until
    the node is gone from the cluster. Actors that wait for room make a cluster with an autoscaler grow.

    Parameters are those of `rmtsim.sweeps.ray_workers.RayWorkers`; it raises the same errors.

    Attributes
    ----------
    backend
        What computes, ``"numpy"`` or ``"cupy"``.
    there, calls, nodes
        The actors, those that wait for room included; their calls, by the reference of Ray; the nodes.
    """

    def __init__(
        self, ray: Any, workers: int | None, backend: str, queued: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.ray, self._queued, self._clock = ray, queued, clock
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
            runtime_env={"env_vars": worker_environment()},
        )(RemoteWorker)
        self.there: list[Worker] = []
        self.calls: dict[Any, Call] = {}
        self.places: deque[Worker] = deque()  # where a job can go
        self.nodes = Nodes(self._resource)
        self.watch = Stopwatch(clock)
        self._looked, self._begun = -math.inf, clock()
        self._kernels: list[str] = []  # of BLAS
        self._reported: set[str] = set()
        self._deserted = False
        self._announce_wait(resources)
        self.grow()

    def call(self, worker: Worker, reference: Any, job: Job | None) -> None:
        """Take note of a call."""
        if not worker.calls:
            worker.since = self.watch.look()
        worker.calls.append(reference)
        self.calls[reference] = Call(worker, job)

    def start(self, deaths: int = 0, hangs: int = 0) -> None:
        """Start an actor; it gets no jobs until it answers."""
        worker = Worker(self._actor.options(**self.nodes.options()).remote(), deaths, hangs)
        self.there.append(worker)
        self.call(worker, worker.actor.place.remote(), None)

    def end(self, worker: Worker) -> list[Job]:
        """End an actor; return the jobs that it had, in order. Whatever it may still answer is not waited for."""
        self.let_go(worker)
        calls = [self.calls.pop(reference) for reference in worker.calls]
        worker.calls.clear()
        return [call.job for call in calls if call.job is not None and call.wanted]

    def let_go(self, worker: Worker) -> None:
        """End an actor; what it was called for comes back, as an error where it was not done."""
        worker.ready = False
        self.there.remove(worker)
        self.ray.kill(worker.actor)

    def leave_out(self, place: Place, *, node: bool) -> None:
        """End the actor at a place, or all of its ``node``, for good."""
        if node:
            self.nodes.leave_out(place.node)
        else:
            self.nodes.could_not_start(place.node)
        for worker in list(self.there):
            if worker.place is not None and (worker.place == place or (node and worker.place.node == place.node)):
                self.end(worker)
        self._looked = -math.inf

    def replace(self, worker: Worker) -> None:
        """Start another for an actor that hung and is ended, unless too many have in its place."""
        if worker.hangs + 1 < _STARTS:
            self.start(hangs=worker.hangs + 1)
        else:
            self._unfit(worker, f"{_STARTS} workers hung one after the other")

    def answered(self, worker: Worker, answer: Any) -> None:
        """Take note of what an actor has said that starts: where it is, then what it is."""
        if worker.place is None:
            self._arrived(worker, answer)
        else:
            self._started(worker, answer)

    def died(self, worker: Worker, error: BaseException) -> None:
        """Start another for one that died while it started, unless too many have in its place, or its code is wrong."""
        deaths, why = worker.deaths + 1, last_words(error)
        if "creation task" in str(error) or deaths >= _STARTS:
            again = "" if deaths == 1 else f"{deaths} died one after the other while they started, "
            self.failed_start(worker, again + why)
            return
        self.there.remove(worker)
        self.start(deaths)

    def failed_start(self, worker: Worker, why: str) -> None:
        """Do without an actor that cannot start; raise RunError if no other is left that may."""
        self.end(worker)
        self._unfit(worker, why)

    def grow(self) -> None:
        """Now and then, see how many actors there is room for, and add those that are missing."""
        now = self._clock()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        check_head()
        if not self._kernels and now - self._begun > _SILENCE and self.there:
            self._begun = math.inf
            _log.warning(
                "run: no worker has answered for %.0f s; if the cluster has room for one, its processes end "
                "before they get to rmtsim: see Ray's logs, and PYTHONPATH",
                _SILENCE,
            )
        self.nodes.look(self.ray.nodes())
        for _ in range(self.nodes.room(self._asked) - len(self.there)):
            self.start()
        if not self.there and not self._deserted:
            _log.warning("run: no node is left that workers may be on; the run waits until one joins")
        self._deserted = not self.there

    def _arrived(self, worker: Worker, place: Place) -> None:
        """Let an actor load what jobs need, unless it has come to a node that it should not be on."""
        worker.place = place
        if not self.nodes.is_open(place.node):  # it was started before that was known
            self.end(worker)
            self._looked = -math.inf
            return
        self.call(worker, worker.actor.hello.remote(self.backend), None)

    def _started(self, worker: Worker, about: dict[str, str]) -> None:
        if about["version"] != __version__:
            wrong = f"it has rmtsim {about['version']}, this is {__version__}; install the same on all nodes"
            self.failed_start(worker, wrong)
            return
        if about["kernel"] not in self._kernels:
            self._kernels.append(about["kernel"])
            if len(self._kernels) > 1:
                kernels = " and ".join(self._kernels)
                _log.warning("run: workers have BLAS kernels %s, whose last digits differ", kernels)
        assert worker.place is not None
        worker.place = replace(worker.place, machine=about["machine"])
        worker.ready = True
        worker.deaths = 0
        self.places.extend([worker] * self._queued)

    def _unfit(self, worker: Worker, why: str) -> None:
        """Start no other in the place of an actor, until its node is replaced."""
        self.nodes.could_not_start(worker.place.node if worker.place else self._node_of(worker))
        if not self.there and not (self.nodes.places and self.nodes.room(self._asked) > 0):
            raise RunError(f"no worker can start: {why}")
        if why not in self._reported:
            self._reported.add(why)
            where = f" on {worker.place}" if worker.place else ""
            _log.warning("run: a worker%s cannot start, and its place is left out: %s", where, why)

    def _node_of(self, worker: Worker) -> str:
        """Return the node on which an actor died before it could say so; "" if that is not to be had."""
        with suppress(Exception):  # Ray has no public way to ask, and none at all by ray://
            from ray._private.state import actors

            return str(actors(worker.actor._actor_id.hex())["Address"]["NodeID"])
        return ""

    def _announce_wait(self, resources: dict[str, float]) -> None:
        """Log that the run waits if the cluster has no room for an actor now."""
        if self.ray.available_resources().get(self._resource, 0) >= 1:
            return
        there = resources.get(self._resource, 0)
        used = f"all {there:.0f} {self._resource}s of the cluster are in use"
        _log.info("run: waits for workers: %s", used if there else f"the cluster has no {self._resource}")
