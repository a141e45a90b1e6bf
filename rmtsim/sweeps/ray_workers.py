"""Ray actors that compute jobs: one for each GPU, or for each CPU, which join and leave while a run goes on."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from rmtsim.arrays.backend import get_backend
from rmtsim.arrays.machine import usable_memory
from rmtsim.arrays.threads import cores, single_threaded_blas
from rmtsim.errors import InputError, RunError
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.sweeps.connection import check_head
from rmtsim.sweeps.jobs import Finished, Job, error_line, never
from rmtsim.sweeps.last_words import last_words
from rmtsim.version import __version__

_log = logging.getLogger(__name__)

#: Seconds between looks for nodes that have joined, and whether the head is there.
_LOOK_EVERY = 5.0

#: Seconds without any worker after which a message says so.
_SILENCE = 60.0

#: Starts of a worker that may end in its death, one after the other.
_STARTS = 5


@dataclass(eq=False)
class _Worker:
    """An actor as the driver sees it, after ``deaths`` others in its place that died while they started."""

    actor: Any
    deaths: int = 0
    ready: bool = False


class _Call(NamedTuple):
    """A call of an actor: of a job, or (None) to say that it has started."""

    worker: _Worker
    job: Job | None


class RayWorkers:
    """The executor on Ray.

    For an actor that dies another is started, wherever there is room for it; the jobs it had go to others at once,
    since that may take long. Another is started, too, for an actor on which a job raised an error. Actors that wait
    for room make a cluster with an autoscaler grow.

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

    Raises
    ------
    InputError
        If the cluster has no room for a single one and none was asked for.
    RunError
        Then and later, if no worker can start, or the head of the cluster is gone.
    """

    def __init__(self, ray: Any, workers: int | None, backend: str, queued: int) -> None:
        self._ray, self._queued = ray, queued
        resources = ray.cluster_resources()
        self.backend = backend if backend != "auto" else _found_backend(ray)
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
            runtime_env={"env_vars": _blas_settings()},
        )(_RemoteWorker)
        self._workers: list[_Worker] = []
        self._running: dict[Any, _Call] = {}
        self._places: deque[_Worker] = deque()  # where a job can go
        self._looked = -_LOOK_EVERY
        self._begun = time.monotonic()
        self._unfit = 0  # workers that could not start; another in their place could not either
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
        self._running[worker.actor.compute.remote(job)] = _Call(worker, job)

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
        calls = [self._running.pop(reference) for reference in done]
        return [f for call, value in zip(calls, values, strict=True) if (f := self._over(call, value)) is not None]

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

    def _over(self, call: _Call, value: Any) -> Finished | None:
        """Take note of a call that is over; return the job if it was the call of one."""
        worker, job = call
        raised = isinstance(value, self._ray.exceptions.RayTaskError)  # by the code on the worker, which is well
        lost = isinstance(value, self._ray.exceptions.RayError) and not raised
        if job is None:
            if raised:
                self._failed_start(worker, error_line(value.cause or value))
            elif lost:
                self._died(worker, value)
            else:
                self._started(worker, value)
            return None
        if lost or raised:
            if worker.ready:
                worker.ready = False
                self._workers.remove(worker)
                self._ray.kill(worker.actor)  # an error of a GPU may stay with its process, and eat up jobs
                self._start()
            if lost:
                return Finished(job, None, f"its worker is gone ({error_line(value)})", lost=True)
            return Finished(job, None, error_line(value.cause or value))
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

    def _start(self, deaths: int = 0) -> None:
        """Start a worker; it gets no jobs until it answers."""
        worker = _Worker(self._actor.remote(), deaths)
        self._workers.append(worker)
        self._running[worker.actor.hello.remote(self.backend)] = _Call(worker, None)

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
        self._workers.remove(worker)
        self._ray.kill(worker.actor)
        self._unfit += 1
        if not self._workers:
            raise RunError(f"no worker can start: {why}")
        if why not in self._reported:
            self._reported.add(why)
            _log.warning("run: a worker cannot start and is left out: %s", why)

    def _grow(self) -> None:
        """Now and then, see how many workers there is room for, and add those that are missing."""
        now = time.monotonic()
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
        room = self._asked or int(self._ray.cluster_resources().get(self._resource, 0))
        for _ in range(room - len(self._workers) - self._unfit):
            self._start()


def _found_backend(ray: Any) -> str:
    """Return CuPy if the cluster has GPUs and one of their nodes has it, else NumPy, and say why that is taken."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    # A node is asked, not a GPU of it: all may be in use, for as long as another sweep takes.
    node = next((node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0) >= 1), "")
    if not node:
        return "numpy"
    ask = ray.remote(num_cpus=0, max_retries=_STARTS, scheduling_strategy=On(node, soft=False))(_cupy_problem)
    reference = ask.remote()
    while not ray.wait([reference], timeout=_LOOK_EVERY)[0]:
        check_head()
        _log.info("run: waits for a node with GPUs to report whether it has CuPy; --backend numpy does without")
    try:
        problem = str(ray.get(reference))
    except ray.exceptions.RayError as error:
        problem = last_words(error)
    if problem:
        _log.warning("run: the cluster has GPUs, but %s there; takes NumPy, on its CPUs", problem)
    return "numpy" if problem else "cupy"


def _cupy_problem() -> str:
    return str(get_backend("cupy").problem() or "")


def _blas_settings() -> dict[str, str]:
    """Return the environment of a worker: one thread, and the kernel that this process has asked for."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kernel = os.environ.get("OPENBLAS_CORETYPE")
    return threads | ({"OPENBLAS_CORETYPE": kernel} if kernel else {})


class _RemoteWorker:
    """Runs on the cluster."""

    def hello(self, backend: str) -> dict[str, str]:
        """Load all that a job needs; return what this worker is. Raises InputError where the backend is not there."""
        draws = simulate_arrays(Point("linear", "ce", 2, 2, 2), 1, backend=backend)
        return {"version": __version__, "kernel": draws.blas}

    def compute(self, job: Job) -> Any:
        """Compute a job with a core's part of this machine's memory, until it is done: Ray ends the process to stop."""
        with single_threaded_blas():
            return job.within(usable_memory() / cores()).compute(never)
