"""The screen of a watch on stdout: in place in a terminal, elsewhere a plain line a look, or lines of JSON."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rmtsim.model.point import format_sizes
from rmtsim.sweeps.watch import Look, Spent, core_hours, format_hours
from rmtsim.text.output import in_place, presentable, presentable_json, write_line
from rmtsim.text.sizes import format_count, format_seconds, format_share
from rmtsim.text.tables import records

#: Most points that the screen shows.
_ROWS = 12

#: Columns of the table of points.
_ALL = ("sweep", "model", "loss", "state", "rse", "target", "draws", "left", "share left")

#: Those that are left out: the first of these that makes the table narrow enough.
_LEFT_OUT: tuple[tuple[str, ...], ...] = (
    (),
    ("sweep", "model", "loss", "state", "left"),
    ("sweep", "model", "loss", "state", "left", "target"),
    ("sweep", "model", "loss", "state", "left", "target", "draws"),
)

#: Columns of words.
_WORDS = ("sweep", "model", "loss", "state")

#: More columns than any table takes.
_ROOM = 10_000


class WatchDisplay:
    """Shows looks at a store on stdout; a context manager. The last look stays there.

    Parameters
    ----------
    where, every
        The store, and the seconds between two looks, as they are shown.
    as_json
        Write each look as a line of JSON.
    """

    def __init__(self, where: str, every: float, *, as_json: bool = False) -> None:
        self._where, self._every, self._as_json = where, every, as_json
        terminal = not as_json and in_place(sys.stdout)
        self._console = Console(file=sys.stdout, force_terminal=True) if terminal else None
        self._live = Live(Text(""), console=self._console, auto_refresh=False) if self._console else None
        self._last: Look | None = None

    def __enter__(self) -> WatchDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            if self._last:
                self._live.update(self._screen(self._last, goes_on=False))
            self._live.stop()

    def show(self, look: Look) -> None:
        """Show a look."""
        self._last = look
        if self._live:
            self._live.update(self._screen(look, goes_on=not look.finished), refresh=True)
        elif self._as_json:
            write_line(presentable_json(look.document(), indent=None), sys.stdout)
        else:
            hardest = [f"most is left at {_sentence(row)}" for row in records(look.open_points.head(1))]
            clock = time.strftime("%H:%M:%S", time.localtime(look.time))
            write_line(presentable("; ".join((f"{clock} {look}", *hardest))), sys.stdout)

    def _screen(self, look: Look, goes_on: bool) -> Group:
        assert self._console is not None
        clock = time.strftime("%H:%M:%S", time.localtime(look.time))
        lines = [look.share_done, look.pace, core_hours(look.points), look.end]
        foot = f"{clock}, again every {format_seconds(self._every)}; Ctrl-C ends the watch, not the sweep"
        head = Text(presentable(self._where), style="bold", no_wrap=True, overflow="ellipsis")
        parts: list[Text | Table] = [head, *(Text(presentable(line)) for line in lines)]
        if len(look.open_points):
            text = len(self._console.render_lines(Group(*parts, Text(foot))))  # on a narrow terminal lines are wrapped
            rows = max(1, min(_ROWS, self._console.height - text - 4))
            parts += [Text(""), self._table(look, rows)]
            if (more := len(look.open_points) - rows) > 0:
                parts.append(Text(f"… and {format_count(more)} more"))
        return Group(*parts, Text(foot if goes_on else clock, style="dim"))

    def _table(self, look: Look, rows: int) -> Table:
        """Return the points with most left, with as many columns as the terminal has room for."""
        assert self._console is not None
        for left_out in _LEFT_OUT:
            table = _table(look, rows, [name for name in _ALL if name not in left_out])
            if _width(self._console, table) <= self._console.width:
                break
        return table


def _width(console: Console, table: Table) -> int:
    """Return the columns that a table takes if there is room."""
    return Measurement.get(console, console.options.update(width=_ROOM), table).maximum


def _table(look: Look, rows: int, columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("point")  # the one that is cut where the terminal is too narrow for all else
    for name in columns:
        table.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=True)
    left = Spent.of(look.points).left
    for row in records(look.open_points.head(rows)):
        cells = _cells(row, left)
        point = Text(presentable(_sizes(row)), no_wrap=True, overflow="ellipsis")
        table.add_row(point, *(Text(presentable(cells[name])) for name in columns))
    return table


def _cells(row: dict[str, Any], left: float | None) -> dict[str, str]:
    """Return the cells of a point by the names of their columns."""
    seconds = row["core_seconds_left"]
    return {
        **{name: row[name] for name in _WORDS},
        "rse": "-" if row["rse"] is None else format_share(row["rse"]),
        "target": format_share(row["target_rse"]),
        "draws": _draws(row),
        "left": "-" if seconds is None else format_hours(seconds),
        "share left": f"{seconds / left:.0%}" if left and seconds is not None else "-",
    }


def _sizes(row: dict[str, Any]) -> str:
    return format_sizes(row["n_classes"], row["dim"], row["n_samples"], row["width"])


def _draws(row: dict[str, Any]) -> str:
    return f"{format_count(row['draws'])} of about {format_count(math.ceil(row['draws'] + row['draws_left']))}"


def _sentence(row: dict[str, Any]) -> str:
    reached = "no precision yet" if row["rse"] is None else f"rse {format_share(row['rse'])}"
    return f"{_sizes(row)}: {reached}, target {format_share(row['target_rse'])}, {_draws(row)} draws"
