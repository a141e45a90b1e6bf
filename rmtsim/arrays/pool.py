"""A pool of threads that cannot hang where memory or threads are short, and that does not hold up a process's end."""

from __future__ import annotations

import traceback
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Lock, Semaphore
from typing import Any, TypeVar

Result = TypeVar("Result")

#: Seconds for which calls at work are waited for once a run is to stop. Schedulers send SIGKILL 30 s after SIGTERM.
PATIENCE = 25.0

#: Seconds after which a thread that has not begun counts as one that was not given.
_BEGIN = 5.0

_at_work = 0  # threads of all pools that are in a call
_guard = Lock()


def threads_at_work() -> int:
    """Return how many threads of pools are in the midst of a call."""
    return _at_work


@contextmanager
def _counted() -> Iterator[None]:
    global _at_work
    with _guard:
        _at_work += 1
    try:
        yield
    finally:
        with _guard:
            _at_work -= 1


class Pool:
    """Threads that take calls in the order in which they come; a context manager.

    ``threading.Thread.start`` waits for a sign of life, for ever if memory runs out in the thread's first steps, and
    ``ThreadPoolExecutor`` starts threads as calls come, when memory may be used up. These threads start at once; what
    the system does not give is done without, and where it gives none, ``submit`` computes. They end with the process.

    Parameters
    ----------
    threads
        How many to ask for.

    Attributes
    ----------
    threads
        How many the system gave.
    """

    def __init__(self, threads: int) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._alive = Semaphore(0)
        asked = sum(self._start() for _ in range(threads))
        self.threads = sum(self._alive.acquire(timeout=_BEGIN) for _ in range(asked))

    def _start(self) -> bool:
        try:
            start_new_thread(self._work, ())
        except (RuntimeError, MemoryError):  # "can't start new thread"
            return False
        return True

    def _work(self) -> None:
        self._alive.release()
        while (call := self._calls.get()) is not None:
            with _counted():
                call()
            del call  # what it holds is not to wait for the next one

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have a thread call the function; return what will hold its result."""
        future: Future[Result] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = function(*arguments)
            except BaseException as error:
                traceback.clear_frames(error.__traceback__)  # the arrays of what failed
                future.set_exception(error)
                if not self.threads and not isinstance(error, Exception):
                    raise  # Ctrl-C, in the caller's own thread
            else:
                future.set_result(result)

        if self.threads:
            self._calls.put(call)
        else:
            call()
        return future

    def close(self) -> None:
        """Drop the calls that wait; threads at work end after their own."""
        while True:
            try:
                self._calls.get_nowait()
            except Empty:
                break
        for _ in range(self.threads):
            self._calls.put(None)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
