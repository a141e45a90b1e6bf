"""Control of threads: BLAS is held to one for bitwise reproducible results; a team of our own uses all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from threading import Lock
from typing import Any, Generic, TypeVar

from rmtsim.arrays.limits import processor_limit
from rmtsim.arrays.pool import Pool

Item = TypeVar("Item")
Result = TypeVar("Result")

_lock = Lock()
_inside = 0  # how many contexts are open, over all threads: the limit is the process's, not a thread's
_limit: Any = None


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread: sums are then split the same way everywhere, so results agree to the bit.

    May be entered from several threads at once; the first in sets the limit and the last out lifts it. Without
    threadpoolctl, on a bare host, BLAS keeps its threads and the last digits may differ.
    """
    global _inside, _limit
    if find_spec("threadpoolctl") is None:
        yield
        return
    with _lock:
        if _inside == 0:
            _limit = _threadpools().limit(limits=1, user_api="blas")
            _limit.__enter__()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.__exit__(None, None, None)
                _limit = None


@cache
def _threadpools() -> Any:
    import scipy.linalg.blas  # noqa: F401  # NumPy and SciPy bring a BLAS each; both must be loaded to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@cache
def blas_kernel() -> str:
    """Return library, version and kernel of all BLAS that are loaded, such as "openblas 0.3.30 SkylakeX"."""
    if find_spec("threadpoolctl") is None:
        return "unknown"
    found = [library for library in _threadpools().info() if library["user_api"] == "blas"]
    libraries = {" ".join(str(lib.get(key)) for key in ("internal_api", "version", "architecture")) for lib in found}
    return ", ".join(sorted(libraries)) or "unknown"


@cache
def cores() -> int:
    """Return the number of cores that this process may keep busy: those that it may run on, within its job's quota."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(there, processor_limit() or there))


class ThreadTeam:
    """Threads that share the pieces of one draw, the caller's among them; a context manager.

    NumPy and BLAS let go of the interpreter lock, so plain threads compute at the same time. Every piece is computed
    by one thread in one way, so results do not depend on their number. ``tick``, if given, is called now and then.
    """

    def __init__(self, threads: int, tick: Callable[[], None] | None = None) -> None:
        self.threads, self._tick = threads, tick
        self._helpers = Pool(threads - 1) if threads > 1 else None

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Apply ``function`` to every item and return the results in order; if one fails, all have ended before."""
        if self._tick is not None:
            self._tick()
        items = list(items)
        if self._helpers is None or not self._helpers.threads or len(items) < 2:
            return list(map(function, items))
        shared = _Shared(function, items)
        for _ in range(min(self._helpers.threads, len(items) - 1)):
            self._helpers.submit(shared.work)
        shared.work()
        return shared.results()

    def __enter__(self) -> ThreadTeam:
        return self

    def __exit__(self, *_: object) -> None:
        if self._helpers is not None:
            self._helpers.close()


class _Shared(Generic[Item, Result]):
    """Pieces that several threads take one after the other, until none is left."""

    def __init__(self, function: Callable[[Item], Result], items: list[Item]) -> None:
        self._function, self._items = function, items
        self._futures: list[Future[Result]] = [Future() for _ in items]
        self._next = count()  # which gives each number once, whatever threads ask

    def work(self) -> None:
        while (place := next(self._next)) < len(self._items):
            try:
                result = self._function(self._items[place])
            except BaseException as error:
                self._futures[place].set_exception(error)
                while not isinstance(error, Exception) and (place := next(self._next)) < len(self._items):
                    self._futures[place].set_exception(error)  # Ctrl-C, in the caller's thread: no more pieces begin
            else:
                self._futures[place].set_result(result)

    def results(self) -> list[Result]:
        wait(self._futures)
        return [future.result() for future in self._futures]


#: A team of the caller's thread alone.
ONE_THREAD = ThreadTeam(1)
