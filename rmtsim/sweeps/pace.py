"""The number of draws in a batch: it is chosen so that a batch takes a few seconds, as measured."""

from __future__ import annotations

from rmtsim.model.point import Point

#: Seconds that a batch should take: little is lost at a kill, and the driver has little to do.
TARGET_SECONDS = 2.0

#: Shortest time of a batch where little work is left, so that all workers have some of it.
_LEAST_SECONDS = 0.25

#: Seconds of the first batch of a point, at the speed of other points, which may be far from its own.
_PROBE_SECONDS = 0.1

#: Weight of a new measurement in the running mean.
_WEIGHT = 0.3

#: Work a second of a core, until it is measured.
_FIRST_SPEED = 2e10


class Pace:
    """Speed of draws, in work (see `rmtsim.sweeps.batches.cost`) a second, measured point by point."""

    def __init__(self) -> None:
        self._speed = _FIRST_SPEED
        self.measured = False  # anything
        self._of_point: dict[Point, float] = {}

    def measure(self, point: Point, work: float, seconds: float) -> None:
        """Record that ``work`` at ``point`` took ``seconds``."""
        speed = work / max(seconds, 1e-6)
        before = self._of_point.get(point)
        self._of_point[point] = speed if before is None else before + _WEIGHT * (speed - before)
        self._speed = self._speed + _WEIGHT * (speed - self._speed) if self.measured else speed
        self.measured = True

    def seconds(self, point: Point, work: float) -> float:
        """Return the seconds that ``work`` at ``point`` takes a worker, at the speed of other points if it is new."""
        return work / self._of_point.get(point, self._speed)

    def batch_draws(self, point: Point, cost: float, work_left: float, places: int) -> int:
        """Return the number of draws of the next batch.

        Parameters
        ----------
        point, cost
            The point, and the work of one of its draws.
        work_left
            Work of all points that is not given out yet.
        places
            Number of batches that are computed or queued at a time.
        """
        share = work_left / self._speed / max(1, places)
        seconds = min(TARGET_SECONDS, max(_LEAST_SECONDS, share)) if point in self._of_point else _PROBE_SECONDS
        return max(1, round(seconds / self.seconds(point, cost)))
