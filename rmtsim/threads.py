"""BLAS threads: one, where results must agree to the bit or the products are small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any

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
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
