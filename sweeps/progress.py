"""Progress on stderr: a live line in a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from sweeps.state import PointState
from sweeps.tasks import cost

_PLAIN_EVERY = 5.0


class ProgressDisplay:
    """Shows points done, draws per second and the time to go; a context manager and the runner's observer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start = self._shown = time.monotonic()
        self._draws, self._done_work = 0, 0.0
        self._remaining: float | None = None
        self._live: Progress | None = None
        console = Console(stderr=True)
        if console.is_terminal:
            self._live = Progress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"),
                console=console, transient=True,
            )  # fmt: skip
            self._bar = self._live.add_task(name, total=None, note="starting")

    def __enter__(self) -> ProgressDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, states: list[PointState], new_draws: int) -> None:
        """Take note of draws that were committed and show where the sweep stands."""
        now = time.monotonic()
        self._draws += new_draws
        remaining = sum(
            max(0, state.expected_draws - state.prefix) * cost(state.point, state.layers, state.sampling.diagonal)
            for state in states
        )
        if self._remaining is not None:
            self._done_work += max(0.0, self._remaining - remaining)
        self._remaining = remaining
        finished = sum(state.finished for state in states)
        note = f"{finished}/{len(states)} points, {self._draws / (now - self._start):.1f} draws/s"
        if self._done_work > 0 and remaining > 0:
            note += f", about {_clock(remaining * (now - self._start) / self._done_work)} to go"
        if self._live:
            self._live.update(self._bar, completed=finished, total=len(states), note=note)
        elif now - self._shown > _PLAIN_EVERY:
            self._shown = now
            print(f"{self._name}: {note}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
