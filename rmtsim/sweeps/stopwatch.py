"""A stopwatch that runs while somebody looks at it."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds between two looks that count at most: a driver that was stopped, or whose store was slow, has seen nothing.
_GAP = 5.0


class Stopwatch:
    """Seconds since the start, without those in which nobody looked.

    Parameters
    ----------
    clock
        The time in seconds; it never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._last, self._seconds = clock, clock(), 0.0

    def look(self) -> float:
        """Return the seconds."""
        now = self._clock()
        self._seconds += min(now - self._last, _GAP)
        self._last = now
        return self._seconds
