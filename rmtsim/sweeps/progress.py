"""Progress on stderr: a live table in a terminal, a plain line every few seconds elsewhere, or JSON lines."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rmtsim.sweeps.scheduler import Failure
from rmtsim.sweeps.snapshot import Snapshot, Watch, telling
from rmtsim.sweeps.state import PointState
from rmtsim.text.output import in_place, presentable, presentable_json, write_line
from rmtsim.text.sizes import format_count, format_share

_PLAIN_EVERY = 5.0

#: Batches that failed of which the reason is told; there may be thousands.
_FAILURES = 10

#: Open points that the live table shows.
_ROWS = 8


class ProgressDisplay:
    """Shows precision, draws per second, workers and the time to go; a context manager and the runner's observer."""

    def __init__(self, sweep: str, *, as_json: bool = False) -> None:
        self._sweep, self._as_json = sweep, as_json
        self._watch: Watch | None = None
        self._shown = time.monotonic()
        self._told = 0  # failures
        self._console = Console(stderr=True, force_terminal=in_place())
        self._live = (
            Live(Text(presentable(f"{sweep}: starting")), console=self._console, transient=True, auto_refresh=False)
            if in_place() and not as_json
            else None
        )

    def __enter__(self) -> ProgressDisplay:
        if self._live:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, states: list[PointState], draws: int, workers: int, failures: list[Failure]) -> None:
        """Tell of batches that were given up, and show where the sweep stands, if that is due."""
        now = time.monotonic()
        self._watch = self._watch or Watch(self._sweep, states, now)
        self._tell(failures)
        if self._live is None and now - self._shown < (1.0 if self._as_json else _PLAIN_EVERY):
            return
        self._shown = now
        snapshot = self._watch.snapshot(draws, workers, len(failures), now)
        if self._live:
            self._live.update(_table(snapshot, max(1, min(_ROWS, self._console.height - 5))), refresh=True)
        elif self._as_json:
            _write_json(snapshot.document())
        else:
            hardest = f"; {snapshot.open[0]}" if snapshot.open else ""
            _write(f"{snapshot}{hardest}")

    def say(self, text: str) -> None:
        """Tell of something that is no progress."""
        if self._as_json:
            _write_json({"message": text})
        else:
            _write(f"{self._sweep}: {text}")

    def _tell(self, failures: list[Failure]) -> None:
        for failure in failures[self._told : _FAILURES]:
            if self._as_json:
                _write_json({"failure": failure.document()})
            else:
                _write(f"{self._sweep}: {failure}")
        self._told = len(failures)


def _write(text: str) -> None:
    write_line(presentable(text), sys.stderr)


def _write_json(document: Any) -> None:
    write_line(presentable_json(document, indent=None), sys.stderr)


def _table(snapshot: Snapshot, rows: int) -> Group:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("at work (›), and farthest", no_wrap=True)
    for name in ("rse", "target", "draws"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = telling(snapshot.open, rows)
    for point in shown:
        rse = format_share(point.rse) if math.isfinite(point.rse) else "-"
        table.add_row(
            Text(presentable(f"{'›' if point.at_work else ' '} {point.sizes}")),
            rse,
            f"{point.target_rse:.2%}",
            f"{format_count(point.draws)} of about {format_count(point.expected_draws)}",
        )
    parts: list[Text | Table] = [Text(presentable(snapshot)), *([table] if shown else [])]
    if more := len(snapshot.open) - len(shown):
        new = sum(not point.draws for point in snapshot.open) - sum(not point.draws for point in shown)
        parts.append(Text(f"… and {more} more, {new} of them without draws"))
    return Group(*parts)
