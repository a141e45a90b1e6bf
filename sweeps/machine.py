"""What this machine has: memory, and speed where it matters."""

from __future__ import annotations

import os
import time

import numpy as np

from rmtsim.threads import single_threaded_blas


def total_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its control group's if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max") as file:
            return min(total, int(file.read()))
    except (OSError, ValueError):  # no control group, or no limit in it ("max")
        return total


def flops_per_second(dtype: str) -> float:
    """Measure the speed of a matrix product on one core, in about 50 ms."""
    A = np.random.default_rng(0).standard_normal((768, 768)).astype(dtype)
    with single_threaded_blas():
        A @ A  # the first product also warms the core up
        best = min(_seconds(A) for _ in range(3))
    return float(2 * A.shape[0] ** 3 / best)


def _seconds(A: np.ndarray) -> float:
    start = time.perf_counter()
    A @ A
    return time.perf_counter() - start
