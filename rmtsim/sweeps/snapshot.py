"""Where a running sweep stands: what progress shows and `--json` prints."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rmtsim.sweeps.batches import cost
from rmtsim.sweeps.state import PointState
from rmtsim.text.sizes import format_count, format_seconds, format_share
from rmtsim.text.words import counted

#: Seconds over which the speed is measured.
_SPEED_OVER = 60.0


@dataclass(frozen=True)
class OpenPoint:
    """A point that wants more draws: its precision so far, and the draws that its target will take."""

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
        """Say how far the point is."""
        reached = f"rse {format_share(self.rse)}" if math.isfinite(self.rse) else "no precision yet"
        draws = f"{format_count(self.draws)} of about {counted(self.expected_draws, 'draw')}"
        return f"{self.sizes}: {reached} → {self.target_rse:.2%}, {draws}"


@dataclass(frozen=True)
class Snapshot:
    """A moment of a run.

    Attributes
    ----------
    elapsed_s, eta_s
        Seconds since the start, and to the end as far as precision and speed so far tell (None: not yet).
    points, finished
        Points of the sweep, and those that want no more draws.
    draws
        Draws committed by this run.
    workers
        Workers at work.
    failed
        Batches that were given up.
    open
        The points that want more draws, most work left first.
    """

    sweep: str
    elapsed_s: float
    eta_s: float | None
    points: int
    finished: int
    draws: int
    draws_per_s: float
    workers: int
    failed: int
    open: list[OpenPoint]

    def __str__(self) -> str:
        """Say it in a line."""
        workers = f"{self.workers} worker{'' if self.workers == 1 else 's'}" if self.workers else "waiting for workers"
        failed = f", {self.failed} batches failed" if self.failed else ""
        to_go = f", about {format_seconds(self.eta_s)} to go" if self.eta_s and self.workers else ""
        pace = f"{self.draws_per_s:.1f}" if self.draws_per_s < 1000 else format_count(self.draws_per_s)
        return (
            f"{self.sweep}: {self.finished}/{self.points} points, {counted(self.draws, 'draw')}, {pace} draws/s, "
            f"{workers}{failed}{to_go}"
        )

    def document(self, at_most: int = 10) -> dict[str, Any]:
        """Return it as plain data, with ``at_most`` so many of the open points."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "open"}
        points = [
            {**point.__dict__, "rse": point.rse if math.isfinite(point.rse) else None} for point in self.open[:at_most]
        ]
        return {**named, "open": points}


def telling(points: Sequence[OpenPoint], count: int) -> list[OpenPoint]:
    """Choose the points that tell most of a run: half of them at work, the others the farthest from their target."""
    at_work = [point for point in points if point.at_work][: -(-count // 2)]
    measured = sorted(
        (point for point in points if point not in at_work and math.isfinite(point.distance)),
        key=lambda point: -point.distance,
    )
    rest = [point for point in points if point not in at_work and not math.isfinite(point.distance)]
    return [*at_work, *measured, *rest][:count]


class Watch:
    """Takes snapshots of the states of a run that starts now.

    Parameters
    ----------
    sweep
        The sweep's name.
    states
        Its points; they change as the run goes on.
    now
        The time, in seconds of any clock that only goes forward.
    """

    def __init__(self, sweep: str, states: list[PointState], now: float) -> None:
        self._sweep, self._states, self._start = sweep, states, now
        self._costs = [cost(state.point, state.layers, state.sampling.diagonal) for state in states]
        self._past = deque([(now, self._work())])

    def snapshot(self, draws: int, workers: int, failed: int, now: float) -> Snapshot:
        """Look at the states, after ``draws`` draws of this run and ``failed`` batches given up."""
        elapsed = now - self._start
        known = [state.expected_draws for state in self._states if math.isfinite(state.precision[0])]
        typical = sum(known) / len(known) if known else 0.0  # what points without a precision may take
        left = []
        for k, (state, price) in enumerate(zip(self._states, self._costs, strict=True)):
            if not state.finished:
                unknown = not math.isfinite(state.precision[0])
                expected = max(state.expected_draws, typical) if unknown else state.expected_draws
                left.append((max(0.0, expected - state.prefix) * price, k))
        self._past.append((now, self._work()))
        while len(self._past) > 2 and now - self._past[1][0] > _SPEED_OVER:
            self._past.popleft()
        (before, work_before), (_, work) = self._past[0], self._past[-1]
        done = work - work_before
        eta = sum(work for work, _ in left) * (now - before) / done if left and done > 0 else None
        return Snapshot(
            self._sweep,
            round(elapsed, 3),
            None if eta is None else round(eta, 1),
            len(self._states),
            len(self._states) - len(left),
            draws,
            round(draws / elapsed, 3) if elapsed > 0 else 0.0,
            workers,
            failed,
            [_open_point(self._states[k]) for _, k in sorted(left, key=lambda item: -item[0])],
        )

    def _work(self) -> float:
        return sum(state.prefix * price for state, price in zip(self._states, self._costs, strict=True))


def _open_point(state: PointState) -> OpenPoint:
    rse, worst = state.precision
    target = state.sampling.target_rse
    return OpenPoint(
        state.point.sizes, state.prefix, state.expected_draws, rse, target, worst, at_work=state.at_work > 0
    )
