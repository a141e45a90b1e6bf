"""What this machine has: memory, and speed where it matters."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from functools import cache
from pathlib import Path

import numpy as np

from rmtsim.arrays.limits import address_space, memory_limit
from rmtsim.arrays.threads import single_threaded_blas

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h


@cache
def total_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or what the limits of its job leave of them."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(limit for limit in (total, memory_limit(), address_space()) if limit is not None)


@cache
def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def usable_memory() -> int:
    """Bytes of memory that draws may use where nothing else is said: the system keeps a tenth."""
    return total_memory() * 9 // 10


@cache
def keep_freed_memory() -> None:
    """Have the C library keep up to 1 GiB of freed memory, rather than hand large arrays back at once.

    The system clears every page before it gives it out again; for arrays of a few MiB that come and go with every
    chunk, this took a fifth of the time of a draw. This sets glibc's limits; with another C library it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**25)  # the most that glibc takes
        mallopt(_M_TRIM_THRESHOLD, 2**30)
        if address_space() is not None:
            mallopt(_M_ARENA_MAX, 1)  # each takes 64 MiB of address space, or more


@cache
def flops_per_second(dtype: str) -> float:
    """Measure the speed of a matrix product on one core, in about 50 ms, once in a process."""
    A = np.random.default_rng(0).standard_normal((768, 768)).astype(dtype)
    with single_threaded_blas():
        A @ A  # the first product also warms the core up
        best = min(_seconds(A) for _ in range(3))
    return float(2 * A.shape[0] ** 3 / best)


def _seconds(A: np.ndarray) -> float:
    start = time.perf_counter()
    A @ A
    return time.perf_counter() - start
