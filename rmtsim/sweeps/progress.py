"""Where a run stands: the record that every commit makes, for a display, a callable of the user's, and ``--json``."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rmtsim.sweeps.jobs import Failure
from rmtsim.sweeps.state import PointState
from rmtsim.sweeps.stopping import aim
from rmtsim.text.sizes import format_count, format_seconds, format_share
from rmtsim.text.words import number_of

#: Seconds over which the speed is measured.
SPEED_OVER = 60.0


@dataclass(frozen=True)
class OpenPoint:
    """A point that wants more draws: its precision so far, that at which it may end, and the draws that this takes."""

    sizes: str
    draws: int
    expected_draws: int
    rse: float
    target_rse: float
    worst: str
    at_work: bool

    @property
    def distance(self) -> float:
        """How many times the precision is worse than the target; infinite where there is none yet."""
        return self.rse / self.target_rse

    def __str__(self) -> str:
        """Return the precision, its target and the draws, in a phrase."""
        if self.rse <= self.target_rse:
            draws = f"{format_count(self.draws)} of {number_of(self.expected_draws, 'draw')}"
            reached = f"rse {format_share(self.rse)} ≤ {format_share(self.target_rse)}"
            return f"{self.sizes}: {reached}, which its next checkpoint is to confirm, {draws}"
        reached = f"rse {format_share(self.rse)}" if math.isfinite(self.rse) else "no precision yet"
        draws = f"{format_count(self.draws)} of about {number_of(self.expected_draws, 'draw')}"
        return f"{self.sizes}: {reached} → {format_share(self.target_rse)}, {draws}"


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a commit.

    Attributes
    ----------
    name
        Name of the sweep or experiment.
    unit
        What is committed: ``"draw"`` or ``"table"``.
    done
        Draws or tables that this run has committed.
    finished, total
        Points that want no more draws, of all points of the sweep; or tables that the store has, of all tables of the
        experiment.
    workers
        Workers that are at work.
    failures
        Batches of draws, or tables, that were given up.
    elapsed
        Seconds since the start.
    to_go
        Seconds to the end, extrapolated from precision and speed; None where nothing is known yet.
    open_points
        The points that want more draws, those with most work left first. Empty for tables.
    in_flight
        Batches or tables that were given to workers and did not come back.
    worst_rse
        The largest relative standard error of any point; None where none has one yet, and for tables.
    waiting
        Seconds for which no worker has been at work; 0 where one is.

    Examples
    --------
    >>> import tempfile
    >>> import rmtsim
    >>> point, seen = rmtsim.Point("linear", "mse", n_classes=3, dim=4, n_samples=8), []
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = rmtsim.run(point, folder, workers=1, sampling={"max_draws": 16}, on_progress=seen.append)
    >>> seen[-1].done, seen[-1].finished, seen[-1].total
    (16, 1, 1)
    """

    name: str
    unit: str
    done: int
    finished: int
    total: int
    workers: int
    failures: tuple[Failure, ...] = ()
    elapsed: float = 0.0
    to_go: float | None = None
    open_points: tuple[OpenPoint, ...] = ()
    in_flight: int = 0
    worst_rse: float | None = None
    waiting: float = 0.0

    @property
    def per_second(self) -> float:
        """Draws or tables that were committed per second."""
        return self.done / self.elapsed if self.elapsed > 0 else 0.0

    def __str__(self) -> str:
        """Return it in a line."""
        waits = f"waiting for workers{f' for {format_seconds(self.waiting)}' if self.waiting >= 1 else ''}"
        workers = number_of(self.workers, "worker") if self.workers else waits
        failed = f", {number_of(len(self.failures), self._job)} failed" if self.failures else ""
        to_go = f", about {format_seconds(self.to_go)} to go" if self.to_go and self.workers else ""
        if self.unit == "table":
            return f"{self.name}: {self.finished}/{self.total} tables, {workers}{failed}{to_go}"
        pace = f"{self.per_second:.1f}" if self.per_second < 1000 else format_count(self.per_second)
        return (
            f"{self.name}: {self.finished}/{self.total} points, {number_of(self.done, 'draw')}, {pace} draws/s, "
            f"{workers}{failed}{to_go}"
        )

    @property
    def _job(self) -> str:
        return "batch" if self.unit == "draw" else self.unit

    def document(self, at_most: int = 10) -> dict[str, Any]:
        """Return it as plain data.

        Parameters
        ----------
        at_most
            Number of open points in it, at most.
        """
        named = {
            "elapsed_s": round(self.elapsed, 3),
            "eta_s": None if self.to_go is None else round(self.to_go, 1),
            "finished": self.finished,
            "workers": self.workers,
            "failed": len(self.failures),
            "in_flight": self.in_flight,
        }
        if self.unit == "table":
            return {"experiment": self.name, **named, "tables": self.total, "new_tables": self.done}
        points = [
            {**asdict(point), "rse": point.rse if math.isfinite(point.rse) else None}
            for point in self.open_points[:at_most]
        ]
        per_second = round(self.per_second, 3)
        return {
            "sweep": self.name,
            **named,
            "points": self.total,
            "draws": self.done,
            "draws_per_s": per_second,
            "worst_rse": self.worst_rse,
            "open": points,
        }


def most_telling(points: Sequence[OpenPoint], count: int) -> list[OpenPoint]:
    """Choose ``count`` points to show: up to half of them at work, then those farthest from their target."""
    at_work = [point for point in points if point.at_work][: -(-count // 2)]
    measured = sorted(
        (point for point in points if point not in at_work and math.isfinite(point.distance)),
        key=lambda point: -point.distance,
    )
    rest = [point for point in points if point not in at_work and not math.isfinite(point.distance)]
    return [*at_work, *measured, *rest][:count]


def draws_left(states: Sequence[PointState]) -> list[float]:
    """Return how many draws each point of a sweep will get yet, as extrapolated from its precision.

    Points without a precision may take what others take on average.
    """
    known = [state.expected_draws for state in states if math.isfinite(state.precision[0])]
    typical = sum(known) / len(known) if known else 0.0
    left = []
    for state in states:
        known_here = math.isfinite(state.precision[0])
        expected = state.expected_draws if known_here else max(state.expected_draws, typical)
        left.append(0.0 if state.finished else max(0.0, expected - state.prefix))
    return left


class Absence:
    """Measures for how long no worker has been at work, by how many were at each look; it begins at ``now``."""

    def __init__(self, now: float) -> None:
        self._since = now

    def seconds(self, workers: int, now: float) -> float:
        """Return the seconds since the last look that found a worker, or since the beginning."""
        if workers:
            self._since = now
        return now - self._since


class SweepWatch:
    """Measures the progress of a sweep from now on.

    Parameters
    ----------
    name
        The sweep's name.
    states
        Its points; they change as the run goes on.
    clock
        The time in seconds; it never goes back.
    since
        When its run began by the clock, if not now.
    """

    def __init__(
        self,
        name: str,
        states: list[PointState],
        clock: Callable[[], float] = time.monotonic,
        since: float | None = None,
    ) -> None:
        self._name, self._states, self._clock = name, states, clock
        now = clock()
        self.start = now if since is None else since
        self._absence = Absence(now)
        self._costs = [state.sampling.cost(state.point, state.layers) for state in states]
        self._past = deque([(now, self._work())])

    def progress(self, draws: int, workers: int, failures: Sequence[Failure], in_flight: int = 0) -> Progress:
        """Return where the sweep stands, after ``draws`` new draws of this run."""
        now = self._clock()
        more = zip(self._states, draws_left(self._states), self._costs, strict=True)
        left = [(draws_to_go * price, k) for k, (state, draws_to_go, price) in enumerate(more) if not state.finished]
        self._past.append((now, self._work()))
        while len(self._past) > 2 and now - self._past[1][0] > SPEED_OVER:
            self._past.popleft()
        (before, work_before), (_, work) = self._past[0], self._past[-1]
        done = work - work_before
        open_points = tuple(_open_point(self._states[k]) for _, k in sorted(left, key=lambda item: -item[0]))
        errors = [point.rse for point in open_points]
        errors += [state.precision[0] for state in self._states if state.finished]
        return Progress(
            self._name,
            "draw",
            draws,
            len(self._states) - len(left),
            len(self._states),
            workers,
            tuple(failures),
            now - self.start,
            sum(work for work, _ in left) * (now - before) / done if left and done > 0 else None,
            open_points,
            in_flight,
            max(filter(math.isfinite, errors), default=None),
            self._absence.seconds(workers, now),
        )

    def _work(self) -> float:
        return sum(state.prefix * price for state, price in zip(self._states, self._costs, strict=True))


def _open_point(state: PointState) -> OpenPoint:
    rse, worst = state.precision
    draws, expected, working = state.prefix, state.expected_draws, state.at_work > 0
    return OpenPoint(state.point.sizes, draws, expected, rse, aim(state.sampling), worst, at_work=working)
