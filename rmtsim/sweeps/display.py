"""Progress on stderr: a live table in a terminal, a plain line every few seconds elsewhere, or JSON lines."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rmtsim.sweeps.jobs import Failure
from rmtsim.sweeps.progress import OpenPoint, Progress, most_telling
from rmtsim.text.output import in_place, presentable, presentable_json, write_line
from rmtsim.text.sizes import format_count, format_share

#: Seconds between two plain lines, and between two lines of JSON.
_PLAIN_EVERY, _JSON_EVERY = 5.0, 1.0

#: At most this many failures are shown with their reasons; there may be thousands.
_FAILURES = 10

#: Open points that the live table shows.
_ROWS = 8


class ProgressDisplay:
    """Shows the progress of a run on stderr; a context manager, whose `update` takes every record of the run."""

    def __init__(self, name: str, *, as_json: bool = False) -> None:
        self._name, self._as_json = name, as_json
        self._shown = time.monotonic()
        self._failures = 0  # those that were shown
        self._console = Console(stderr=True, force_terminal=in_place())
        self._live = (
            Live(Text(presentable(f"{name}: starting")), console=self._console, transient=True, auto_refresh=False)
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

    def update(self, progress: Progress) -> None:
        """Show what was given up since the last record, and where the run stands if that is due."""
        now = time.monotonic()
        self._show_failures(progress.failures)
        if self._live is None and now - self._shown < (_JSON_EVERY if self._as_json else _PLAIN_EVERY):
            return
        self._shown = now
        if self._live:
            self._live.update(_table(progress, max(1, min(_ROWS, self._console.height - 5))), refresh=True)
        elif self._as_json:
            _write_json(progress.document())
        else:
            hardest = f"; {progress.open_points[0]}" if progress.open_points else ""
            _write(f"{progress}{hardest}")

    def say(self, text: str) -> None:
        """Show a message that is not progress."""
        if self._as_json:
            _write_json({"message": text})
        else:
            _write(f"{self._name}: {text}")

    def _show_failures(self, failures: Sequence[Failure]) -> None:
        for failure in failures[self._failures : _FAILURES]:
            if self._as_json:
                _write_json({"failure": failure.document()})
            else:
                _write(f"{self._name}: {failure}")
        self._failures = len(failures)


def _write(text: str) -> None:
    write_line(presentable(text), sys.stderr)


def _write_json(document: Any) -> None:
    write_line(presentable_json(document, indent=None), sys.stderr)


def _expected(point: OpenPoint) -> str:
    """Return the draws that a point will have: about how many, or those of the checkpoint that decides."""
    count = format_count(point.expected_draws)
    return f"{count} (checkpoint)" if point.rse <= point.target_rse else f"about {count}"


def _table(progress: Progress, rows: int) -> Group:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("at work (›), and farthest", no_wrap=True)
    for name in ("rse", "target", "draws"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = most_telling(progress.open_points, rows)
    for point in shown:
        rse = format_share(point.rse) if math.isfinite(point.rse) else "-"
        table.add_row(
            Text(presentable(f"{'›' if point.at_work else ' '} {point.sizes}")),
            rse,
            format_share(point.target_rse),
            f"{format_count(point.draws)} of {_expected(point)}",
        )
    parts: list[Text | Table] = [Text(presentable(progress)), *([table] if shown else [])]
    if more := len(progress.open_points) - len(shown):
        new = sum(not point.draws for point in progress.open_points) - sum(not point.draws for point in shown)
        parts.append(Text(f"… and {more} more, {new} of them without draws"))
    return Group(*parts)
