"""A thousand workers that compute nothing: the real scheduler, runner and store against a clock that skips the waiting.

The clock shows the real time that the driver takes, plus the time that it would have waited for the workers. So a sweep
of hours is over in minutes, and workers stand idle in it exactly where a driver of this speed would leave them so.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from rmtsim.kernels.cost import diagonal_classes
from rmtsim.sampling.schema import SimulatedDraws
from rmtsim.sweeps.batches import Batch, Result
from rmtsim.sweeps.jobs import Finished
from rmtsim.sweeps.runner import SweepWork

#: Seconds that the fake kernel takes for a draw, up to a lognormal factor for each batch: about what d = 1024 takes.
SECONDS_PER_DRAW = 0.1
_SPREAD = 0.2


class SimulatedWorkers:
    """The executor: ``workers`` workers; with each batch, one dies with a probability of ``loss``.

    Attributes
    ----------
    busy
        Seconds that all workers together have computed.
    batches
        Batches that came back.
    """

    backend = "numpy"

    def __init__(self, workers: int, loss: float = 0.0, timer: Callable[[], float] = time.perf_counter) -> None:
        self.workers, self.busy, self.batches = workers, 0.0, 0
        self._loss, self._timer = loss, timer
        self._rng = np.random.default_rng(0)
        self._ends = [0.0] * workers  # when each worker is through with what it has
        self._places = deque(list(range(workers)) * SweepWork.queued)
        self._running: list[tuple[float, int, int, Batch, float]] = []  # heap: end, order, worker, batch, seconds
        self._order = 0
        self._ahead = -timer()  # what the clock is ahead of the timer

    def clock(self) -> float:
        """Seconds since the start: the driver's own, and those that it would have waited."""
        return self._timer() + self._ahead

    @property
    def free(self) -> int:
        """How many more batches to submit now."""
        return len(self._places)

    def submit(self, batch: Batch) -> None:
        """Put a batch at the end of a worker's queue."""
        worker = self._places.popleft()
        seconds = len(batch.draws) * SECONDS_PER_DRAW * math.exp(_SPREAD * self._rng.standard_normal())
        self._ends[worker] = max(self.clock(), self._ends[worker]) + seconds
        self._order += 1
        heappush(self._running, (self._ends[worker], self._order, worker, batch, seconds))

    def next_done(self, timeout: float) -> list[Finished]:
        """Skip to when a batch comes back, or over ``timeout``; return all that have."""
        if self._running:
            self._ahead += min(timeout, max(0.0, self._running[0][0] - self.clock()))
        found = []
        now = self.clock()
        while self._running and self._running[0][0] <= now:
            _, _, worker, batch, seconds = heappop(self._running)
            self._places.append(worker)
            self.busy += seconds
            if self._rng.random() < self._loss:
                found.append(Finished(batch, None, "its worker is gone", lost=True))
            else:
                self.batches += 1
                found.append(Finished(batch, _result(batch, seconds)))
        self._ahead -= self.clock() - now  # that was the work of the workers, not of the driver
        return found

    def overdue(self, limit: Callable[[Batch], float]) -> list[Finished]:
        """Return none: none hangs."""
        return []

    def awaited(self) -> dict[Batch, float]:
        """Return none."""
        return {}

    def drain(self, at_most: float) -> list[Finished]:
        """Drop everything."""
        return []


@contextmanager
def on_the_clock(workers: SimulatedWorkers) -> Iterator[None]:
    """Have the runner read the clock of the workers, and make batches of a second."""
    with (
        patch("rmtsim.sweeps.loop.time", SimpleNamespace(monotonic=workers.clock)),
        patch("rmtsim.sweeps.pace.TARGET_SECONDS", 1.0),
    ):
        yield


def _result(batch: Batch, seconds: float) -> Result:
    """Values that are a pure function of point and draw, about 1, scattered by a tenth."""
    draws = np.arange(batch.draws.start, batch.draws.stop, dtype=np.uint64)
    values = np.zeros((len(draws), len(batch.layers), 4))
    for k in range(2 * len(batch.layers)):
        key = np.uint64(int(batch.point.id[:12], 16) + k)
        values[:, k // 2, k % 2] = 0.8 + 0.4 * _uniform(draws + (key << np.uint64(32)))
    classes = diagonal_classes(batch.point, batch.diagonal)
    simulated = SimulatedDraws(
        batch.point, batch.draws, batch.layers, batch.seed, "numpy", batch.dtype, classes, "none", values
    )
    return Result(simulated, seconds)


def _uniform(counters: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Hash counters to (0, 1), by SplitMix64."""
    x = counters * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))) / 2.0**64
