"""Signals that ask a run to stop: the loop looks for them between its steps, so that none interrupts a commit."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from rmtsim.arrays.pool import PATIENCE
from rmtsim.text.words import number_of

#: Ctrl-C; SIGTERM, which schedulers and `ray job stop` send; and SIGHUP, sent when the terminal is gone.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupts(announce: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether a signal asked to stop; a second signal raises KeyboardInterrupt.

    ``announce`` is called when the first signal comes, whatever the main thread is doing. Signals reach the main thread
    only; in another thread the function always returns false.
    """
    came = threading.Event()

    def take(_number: int, _frame: FrameType | None) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()
        announce()

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


def waits(seconds_left: Sequence[float | None], noun: str = "batch") -> str:
    """Return what a run that is to stop waits for, as a sentence.

    Parameters
    ----------
    seconds_left
        For each job that is being computed, the seconds that it will take yet, or None where that is not known.
    noun
        A job, in a word.
    """
    again = "Ctrl-C or SIGTERM again leaves at once, with what is committed"
    if not seconds_left:
        return f"stops and commits what came in; {again}"
    known = [left for left in seconds_left if left is not None]
    how_long = f"about {max(1, math.ceil(max(known)))} s, " if len(known) == len(seconds_left) else ""
    return f"stops; waits for {number_of(len(seconds_left), noun)}, {how_long}at most {PATIENCE:.0f} s; {again}"
