"""How many draws make a batch: seconds of work, by measurement."""

from __future__ import annotations

from rmtsim.model.point import Point

#: A batch should take so many seconds: little is lost at a kill, and the driver has little to do.
TARGET_SECONDS = 2.0

#: But where little work is left, batches get shorter, down to this, so that all workers have some of it.
_LEAST_SECONDS = 0.25

#: Seconds of work for batches of a point that was not measured, at the speed of others: that guess may be far off.
_PROBE_SECONDS = 0.1

#: Weight of a new measurement; the rest is that of the ones before.
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
        """Take note that so much work at ``point`` took so many seconds."""
        speed = work / max(seconds, 1e-6)
        before = self._of_point.get(point)
        self._of_point[point] = speed if before is None else before + _WEIGHT * (speed - before)
        self._speed = self._speed + _WEIGHT * (speed - self._speed) if self.measured else speed
        self.measured = True

    def seconds(self, point: Point, work: float) -> float:
        """Time that work at ``point`` takes a worker; of a point not met yet, as of the others."""
        return work / self._of_point.get(point, self._speed)

    def batch_draws(self, point: Point, cost: float, work_left: float, places: int) -> int:
        """Draws for the next batch.

        Parameters
        ----------
        point, cost
            Whose draws, and the work of one.
        work_left
            Work that waits, of all points.
        places
            Batches that are computed or queued at a time.
        """
        share = work_left / self._speed / max(1, places)
        seconds = min(TARGET_SECONDS, max(_LEAST_SECONDS, share)) if point in self._of_point else _PROBE_SECONDS
        return max(1, round(seconds / self.seconds(point, cost)))
