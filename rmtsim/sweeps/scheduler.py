"""Which batch comes next, and what to do when one fails: no workers, files or clocks in here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from heapq import heappop, heappush
from typing import Any

from rmtsim.sweeps.batches import Batch, Result, cost
from rmtsim.sweeps.pace import Pace
from rmtsim.sweeps.resources import Resources
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.state import PointState

#: How often a batch is tried that fails by an error of its own, or because its worker is gone. Workers go for other
#: reasons too, but a batch that takes one after the other with it must not do so for ever.
ATTEMPTS, LOSSES = 3, 10


@dataclass(frozen=True)
class Failure:
    """A batch that was given up, after ``attempts`` attempts, with what it failed of."""

    batch: Batch
    reason: str
    attempts: int

    def __str__(self) -> str:
        return f"{self.batch} failed {self.attempts} times: {self.reason}"

    def document(self) -> dict[str, Any]:
        """Return it as plain data: the batch's parameters, and why it was given up."""
        batch = {**asdict(self.batch), "draws": [self.batch.draws.start, self.batch.draws.stop]}
        return {**batch, "attempts": self.attempts, "reason": self.reason, "message": str(self)}


class Scheduler:
    """Cuts what points are missing into batches, the costliest points first, until nothing is wanted.

    Attributes
    ----------
    states
        The points, with the draws that came back.
    failures
        Batches that were given up. Their points are left where they are; all others go on.
    in_flight
        Batches that were given out and did not come back.
    """

    def __init__(self, states: Sequence[PointState], spec: Spec, backend: str, resources: Resources) -> None:
        self.states = list(states)
        self.failures: list[Failure] = []
        self.in_flight = 0
        self._spec, self._backend, self._resources = spec, backend, resources
        self._index = {state.point: k for k, state in enumerate(self.states)}
        self._costs = [cost(state.point, spec.layers, spec.sampling.diagonal) for state in self.states]
        self._pace = Pace()
        self._again: deque[Batch] = deque()
        self._tries: Counter[tuple[Batch, bool]] = Counter()
        self._waiting: list[tuple[float, int, int, range]] = []  # heap: costliest points first, then in their order
        self._out = [0] * len(self.states)  # draws of each point that wait or are in flight
        self._work_left = 0.0
        for k in range(len(self.states)):
            self._want(k)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not (self._waiting or self._again or self.in_flight)

    def stored_layers(self, batch: Batch) -> dict[int, set[str]]:
        """Draw → its stored layers, of those draws of a batch of which some layers, not all, are stored."""
        return self.states[self._index[batch.point]].stored_layers(batch.draws)

    def next(self, places: int) -> Batch | None:
        """Return the next batch to compute, given how many ``places`` for batches there are; None where none waits."""
        if self._again:
            return self._given_out(self._again.popleft())
        if not self._waiting:
            return None
        minus_cost, k, _, draws = heappop(self._waiting)
        point = self.states[k].point
        size = self._pace.batch_draws(point, -minus_cost, self._work_left, places)
        cut = min(draws.start + size, draws.stop)
        if cut < draws.stop:
            heappush(self._waiting, (minus_cost, k, cut, range(cut, draws.stop)))
        self._work_left += minus_cost * (cut - draws.start)
        sampling = self._spec.sampling
        return self._given_out(
            Batch(
                point,
                range(draws.start, cut),
                self._spec.layers,
                sampling.seed,
                self._backend,
                sampling.dtype,
                sampling.diagonal,
                self._resources.threads,
                self._resources.memory,
            )
        )

    def _given_out(self, batch: Batch) -> Batch:
        self.in_flight += 1
        self.states[self._index[batch.point]].at_work += 1
        return batch

    def _came_back(self, batch: Batch) -> None:
        self.in_flight -= 1
        self.states[self._index[batch.point]].at_work -= 1

    def seconds(self, batch: Batch) -> float | None:
        """Return the time that a batch takes, as far as others tell; None before the first has come back."""
        if not self._pace.measured:
            return None
        return self._pace.seconds(batch.point, self._costs[self._index[batch.point]] * len(batch.draws))

    def done(self, batch: Batch, result: Result) -> None:
        """Count the draws of a batch; at a checkpoint, see whether its point wants more."""
        self._came_back(batch)
        self._forget(batch)
        k = self._index[batch.point]
        state = self.states[k]
        self._pace.measure(batch.point, self._costs[k] * len(batch.draws), result.seconds)
        state.forget_partial(batch.draws)
        state.add(batch.draws.start, result.simulated.values[:, :, :2])
        self._out[k] -= len(batch.draws)
        if not self._out[k]:
            self._want(k)

    def failed(self, batch: Batch, reason: str, *, lost: bool) -> Failure | None:
        """Give a batch out again, or give it up and say so; ``lost`` if its worker is gone."""
        self._came_back(batch)
        self._tries[batch, lost] += 1
        tries = self._tries[batch, lost]
        if tries < (LOSSES if lost else ATTEMPTS):
            if lost:  # ahead of the one lost before it, which was computed while it waited: should that one kill its
                self._again.appendleft(batch)  # workers, it does so alone
            else:
                self._again.append(batch)
            return None
        self._forget(batch)
        failure = Failure(batch, reason, tries)
        self.failures.append(failure)
        return failure

    def _forget(self, batch: Batch) -> None:
        for lost in (False, True):
            self._tries.pop((batch, lost), None)

    def _want(self, k: int) -> None:
        """Line up what a point is missing up to its next checkpoint."""
        state, price = self.states[k], self._costs[k]
        for draws in () if state.finished else state.missing():
            heappush(self._waiting, (-price, k, draws.start, draws))
            self._out[k] += len(draws)
            self._work_left += price * len(draws)
