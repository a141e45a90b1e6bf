"""Ctrl-C, SIGTERM and SIGHUP as a question that the runner asks when it suits, not an exception in a commit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: SIGTERM is how schedulers and `ray job stop` ask; SIGHUP tells that the terminal is gone.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether a signal asked to stop; the second one raises KeyboardInterrupt.

    Signals reach the main thread only; in another the function is always false.
    """
    came = threading.Event()

    def take(_number: int, _frame: FrameType | None) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()

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
