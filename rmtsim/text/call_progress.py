"""Progress of a long call, shown on stderr once it has taken some seconds: in a terminal, a notebook, or on request."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from rmtsim.text.output import in_place, presentable
from rmtsim.text.sizes import format_seconds

#: Seconds before anything is shown, and between two updates in place and as lines.
_AFTER, _EVERY, _LINE_EVERY = 3.0, 0.5, 5.0


class CallProgress:
    """A context manager that shows which part is done and how long the rest may take.

    Parameters
    ----------
    what, total, unit
        Name of the call, number of its parts, and what a part is called in the plural.
    after
        Seconds before anything is shown.
    show
        True: always, as lines where there is no terminal; False: never; None: in a terminal or a notebook.
    clock, stream
        The time in seconds, and the stream; by default a monotonic clock and stderr.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str,
        *,
        show: bool | None = None,
        after: float = _AFTER,
        clock: Callable[[], float] = time.monotonic,
        stream: TextIO | None = None,
    ) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._stream = sys.stderr if stream is None else stream
        self._in_place = in_place() or in_notebook(self._stream)
        self._shown = show or (show is None and self._in_place)
        self._clock, self._start, self._done, self._width = clock, clock(), 0, 0
        self._due = self._start + after
        self._doing, self._written = "", False
        self._pace = 0, 0.0  # parts done, and the seconds after which that was first seen

    def advance(self, done: int, doing: str = "") -> None:
        """Set the number of parts that are done, and what is being done now; show it if that is due."""
        self._done, self._doing = done, doing
        self.tick()

    def tick(self) -> None:
        """Show the progress if that is due; the call makes this call between its parts."""
        if not self._shown:
            return
        now = self._clock()
        if self._done != self._pace[0]:
            self._pace = self._done, now - self._start
        if now < self._due:
            return
        self._due = now + (_EVERY if self._in_place else _LINE_EVERY)
        self._write(self.text(now - self._start))

    def text(self, seconds: float) -> str:
        """Return the progress after some seconds as text."""
        text = f"{self._what}: {self._done:,} of {self._total:,} {self._unit}, {format_seconds(seconds)}"
        done, since = self._pace
        if 0 < done < self._total:  # counts down while a part takes its time: it is in what is left
            left = since * (self._total - done) / done - (seconds - since)
            text += f", about {format_seconds(left)} to go" if left > 0 else ""
        return f"{text}; {self._doing}" if self._doing else text

    def __enter__(self) -> CallProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:  # leaves no trace
            self._stream.write(f"\r{' ' * self._width}\r")
            self._stream.flush()

    @property
    def was_shown(self) -> bool:
        """Whether anything was shown."""
        return self._written

    def _write(self, text: str) -> None:
        text, self._written = presentable(text), True
        if self._in_place:
            self._stream.write(f"\r{text:<{self._width}}")
            self._width = max(self._width, len(text))
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def in_notebook(stream: TextIO) -> bool:
    """Whether the stream is that of a notebook's cell, which takes carriage returns as a terminal does."""
    return type(stream).__module__.partition(".")[0] == "ipykernel"
