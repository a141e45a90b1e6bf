"""Ctrl-C, SIGTERM and SIGHUP as a question that the runner asks when it suits, not an exception in a commit."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from rmtsim.arrays.pool import PATIENCE
from rmtsim.text.words import number_of

#: SIGTERM is how schedulers and `ray job stop` ask; SIGHUP tells that the terminal is gone.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupts(tell: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether a signal asked to stop; the second one raises KeyboardInterrupt.

    ``tell`` is called when the first one comes, whatever the main thread is doing. Signals reach the main thread only;
    in another the function is always false.
    """
    came = threading.Event()

    def take(_number: int, _frame: FrameType | None) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()
        tell()

    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores SIGHUP
    before = {number: signal.signal(number, take) for number in heeded}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def waits(seconds_left: Sequence[float | None]) -> str:
    """Say what a run that is to stop waits for.

    Parameters
    ----------
    seconds_left
        For each batch that is being computed, the seconds that it will take yet, or None where that is not known.
    """
    again = "Ctrl-C or SIGTERM again leaves at once, with what is committed"
    if not seconds_left:
        return f"stops and commits what came in; {again}"
    known = [left for left in seconds_left if left is not None]
    how_long = f"about {max(1, math.ceil(max(known)))} s, " if len(known) == len(seconds_left) else ""
    return f"stops; waits for {number_of(len(seconds_left), 'batch')}, {how_long}at most {PATIENCE:.0f} s; {again}"
