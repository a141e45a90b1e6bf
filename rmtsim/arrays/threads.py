"""Threads: of BLAS one each, where results must agree to the bit; of our own as many as there are cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any, TypeVar

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
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Team:
    """Threads that share the pieces of one draw; a context manager.

    NumPy and BLAS let go of the interpreter lock, so plain threads compute at the same time. Every piece is computed
    by one thread in one way, so results do not depend on their number.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rmtsim-tile") if threads > 1 else None

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Apply ``function`` to every item and return the results in order; if one fails, all have ended before."""
        if self._pool is None:
            return list(map(function, items))
        futures = [self._pool.submit(function, item) for item in items]
        wait(futures)
        return [future.result() for future in futures]

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()


#: No threads but the caller's.
ALONE = Team(1)
