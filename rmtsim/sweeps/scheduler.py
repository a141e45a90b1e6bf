"""Which job comes next, and what to do when one fails: no workers, files or clocks in here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Generic, TypeVar

from rmtsim.sweeps.batches import Batch, Result
from rmtsim.sweeps.jobs import Failure, Job
from rmtsim.sweeps.pace import Pace
from rmtsim.sweeps.resources import Resources
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.state import PointState

#: How often a job is tried that fails by an error of its own, or because its worker is gone. Workers go for other
#: reasons too, but a job that takes one after the other with it must not do so for ever.
ATTEMPTS, LOSSES = 3, 10

#: How many times the seconds that a job should take, to judge by the others, it may take before its worker counts as
#: one that hangs; and how many times that before the first has come back.
SLACK, UNMEASURED = 50.0, 20.0

J = TypeVar("J", bound=Job)
R = TypeVar("R")


class Scheduler(ABC, Generic[J, R]):
    """Gives out jobs until none is wanted, and gives those that fail out again.

    Attributes
    ----------
    failures
        Jobs that were given up; all others go on.
    in_flight
        Jobs that were given out and did not come back.
    patience
        Seconds that any job may take before its worker counts as one that hangs.
    """

    patience = 300.0

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.in_flight = 0
        self._again: deque[J] = deque()
        self._tries: Counter[tuple[J, bool]] = Counter()

    @property
    @abstractmethod
    def waiting(self) -> bool:
        """Whether jobs wait that were never given out."""

    @abstractmethod
    def _take(self, places: int) -> J:
        """Return the next job of those that wait, given how many ``places`` for jobs there are."""

    @abstractmethod
    def seconds(self, job: J) -> float | None:
        """Return the time that a job takes, to judge by the others; None before the first has come back."""

    def limit(self, job: J) -> float:
        """Return the seconds that a job may take before its worker counts as one that hangs.

        It is far above the time that the job takes to judge by the others, so that slow machines and first uses of a
        kernel are within it. A job that was tried in vain gets twice as long each time: should all workers be slow at
        it, it is done all the same.
        """
        expected = self.seconds(job)
        return math.inf if expected is None else self._generous(job, SLACK * expected)

    def _generous(self, job: J, seconds: float) -> float:
        return float(max(self.patience, seconds) * 2 ** self._tries[job, False])

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not (self.waiting or self._again or self.in_flight)

    def next(self, places: int) -> J | None:
        """Return the next job to compute, given how many ``places`` for jobs there are; None where none waits."""
        if not (self._again or self.waiting):
            return None
        job = self._again.popleft() if self._again else self._take(places)
        self._given_out(job)
        return job

    def done(self, job: J, result: R) -> None:
        """Take note that a job has come back with its result."""
        self._came_back(job)
        self._forget(job)

    def failed(self, job: J, reason: str, *, lost: bool) -> Failure | None:
        """Give a job out again, or give it up and return that; ``lost`` if its worker is gone."""
        self._came_back(job)
        self._tries[job, lost] += 1
        tries = self._tries[job, lost]
        if tries < (LOSSES if lost else ATTEMPTS):
            if lost:  # ahead of the one lost before it, which was computed while it waited: should that one kill its
                self._again.appendleft(job)  # workers, it does so alone
            else:
                self._again.append(job)
            return None
        self._forget(job)
        failure = Failure(job, reason, tries)
        self.failures.append(failure)
        return failure

    def _given_out(self, job: J) -> None:
        self.in_flight += 1

    def _came_back(self, job: J) -> None:
        self.in_flight -= 1

    def _forget(self, job: J) -> None:
        for lost in (False, True):
            self._tries.pop((job, lost), None)


class DrawScheduler(Scheduler[Batch, Result]):
    """Cuts the draws that points are missing into batches, the costliest points first, until nothing is wanted.

    Points whose batches were given up stay where they are.

    Attributes
    ----------
    states
        The points, with the draws that came back.
    """

    def __init__(self, states: Sequence[PointState], spec: Spec, backend: str, resources: Resources) -> None:
        super().__init__()
        self.states = list(states)
        self._spec, self._backend, self._resources = spec, backend, resources
        self._index = {state.point: k for k, state in enumerate(self.states)}
        self._costs = [spec.sampling.cost(state.point, spec.layers) for state in self.states]
        self._pace = Pace()
        self._waiting: list[tuple[float, int, int, range]] = []  # heap: costliest points first, then in their order
        self._out = [0] * len(self.states)  # draws of each point that wait or are in flight
        self._work_left = 0.0
        for k in range(len(self.states)):
            self._want(k)

    @property
    def waiting(self) -> bool:
        """Whether draws wait that were never given out."""
        return bool(self._waiting)

    def stored_layers(self, batch: Batch) -> dict[int, set[str]]:
        """Draw → its stored layers, for those draws of a batch that have some of their layers stored, not all."""
        return self.states[self._index[batch.point]].stored_layers(batch.draws)

    def _take(self, places: int) -> Batch:
        minus_cost, k, _, draws = heappop(self._waiting)
        point = self.states[k].point
        size = self._pace.batch_draws(point, -minus_cost, self._work_left, places)
        cut = min(draws.start + size, draws.stop)
        if cut < draws.stop:
            heappush(self._waiting, (minus_cost, k, cut, range(cut, draws.stop)))
        self._work_left += minus_cost * (cut - draws.start)
        sampling = self._spec.sampling
        return Batch(
            point,
            range(draws.start, cut),
            self._spec.layers,
            sampling.seed,
            self._backend,
            sampling.dtype,
            sampling.diagonal,
            self._resources.threads,
            self._resources.memory,
            sampling.weights(point, self._spec.layers),
        )

    def _given_out(self, job: Batch) -> None:
        super()._given_out(job)
        self.states[self._index[job.point]].at_work += 1

    def _came_back(self, job: Batch) -> None:
        super()._came_back(job)
        self.states[self._index[job.point]].at_work -= 1

    def seconds(self, job: Batch) -> float | None:
        """Return the time that a batch takes, to judge by the others; None before the first has come back."""
        if not self._pace.measured:
            return None
        return self._expected(job)

    def limit(self, job: Batch) -> float:
        """Return the seconds that a batch may take before its worker counts as one that hangs; see `Scheduler.limit`.

        Before the first batch has come back the speed is that which a slow core is taken to have.
        """
        return self._generous(job, SLACK * self._expected(job) * (1 if self._pace.measured else UNMEASURED))

    def _expected(self, job: Batch) -> float:
        return self._pace.seconds(job.point, self._costs[self._index[job.point]] * len(job.draws))

    def done(self, job: Batch, result: Result) -> None:
        """Count the draws of a batch; at a checkpoint, see whether its point wants more."""
        super().done(job, result)
        k = self._index[job.point]
        state = self.states[k]
        self._pace.measure(job.point, self._costs[k] * len(job.draws), result.seconds)
        state.forget_partial(job.draws)
        state.add(job.draws.start, result.simulated.values[:, :, :2])
        self._out[k] -= len(job.draws)
        if not self._out[k]:
            self._want(k)

    def _want(self, k: int) -> None:
        """Line up what a point is missing up to its next checkpoint."""
        state, price = self.states[k], self._costs[k]
        for draws in () if state.finished else state.missing():
            heappush(self._waiting, (-price, k, draws.start, draws))
            self._out[k] += len(draws)
            self._work_left += price * len(draws)
