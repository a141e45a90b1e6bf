"""Where a running sweep stands: what progress shows and `--json` prints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rmtsim.memory import sizes
from sweeps.batches import cost
from sweeps.state import PointState


@dataclass(frozen=True)
class OpenPoint:
    """A point that wants more draws: its precision so far, and the draws that its target will take."""

    sizes: str
    draws: int
    expected_draws: int
    rse: float
    target_rse: float
    worst: str

    def __str__(self) -> str:
        """Say how far the point is."""
        reached = f"rse {self.rse:.2%}" if math.isfinite(self.rse) else "no precision yet"
        return f"{self.sizes}: {reached} → {self.target_rse:.2%}, {self.draws} of about {self.expected_draws} draws"


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
    open: list[OpenPoint]

    def __str__(self) -> str:
        """Say it in a line."""
        many = "" if self.workers == 1 else "s"
        line = (
            f"{self.sweep}: {self.finished}/{self.points} points, {self.draws} draws, {self.draws_per_s:.1f} draws/s, "
            f"{self.workers} worker{many}"
        )
        return line + (f", about {clock(self.eta_s)} to go" if self.eta_s else "")

    def document(self, at_most: int = 10) -> dict[str, Any]:
        """Return it as plain data, with ``at_most`` so many of the open points."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "open"}
        points = [
            {**point.__dict__, "rse": point.rse if math.isfinite(point.rse) else None} for point in self.open[:at_most]
        ]
        return {**named, "open": points}


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
        self._work_before = self._work()

    def snapshot(self, draws: int, workers: int, now: float) -> Snapshot:
        """Look at the states, after ``draws`` draws of this run."""
        elapsed = now - self._start
        left = [
            (max(0, state.expected_draws - state.prefix) * price, k)
            for k, (state, price) in enumerate(zip(self._states, self._costs, strict=True))
            if not state.finished
        ]
        done = self._work() - self._work_before
        eta = sum(work for work, _ in left) * elapsed / done if left and done > 0 else None
        return Snapshot(
            self._sweep,
            round(elapsed, 3),
            None if eta is None else round(eta, 1),
            len(self._states),
            len(self._states) - len(left),
            draws,
            round(draws / elapsed, 3) if elapsed > 0 else 0.0,
            workers,
            [_open_point(self._states[k]) for _, k in sorted(left, key=lambda item: -item[0])],
        )

    def _work(self) -> float:
        return sum(state.prefix * price for state, price in zip(self._states, self._costs, strict=True))


def _open_point(state: PointState) -> OpenPoint:
    rse, worst = state.precision
    return OpenPoint(sizes(state.point), state.prefix, state.expected_draws, rse, state.sampling.target_rse, worst)


def clock(seconds: float) -> str:
    """Return a time as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
