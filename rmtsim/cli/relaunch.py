"""Restart of the process with a faster BLAS kernel, where OpenBLAS does not know the processor.

OpenBLAS takes an AVX2 kernel on processors that are newer than it, which halves the speed of products where there is
AVX-512. The kernel is chosen when the library is loaded, so the process has to start anew, with ``OPENBLAS_CORETYPE``
set; workers inherit it. Last digits differ between kernels; the store's metadata name the kernel of each shard.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rmtsim.arrays.threads import blas_kernel
from rmtsim.cli.signals import hold_signals

_VARIABLE, _AVX512_KERNEL = "OPENBLAS_CORETYPE", "SkylakeX"
_AVX512_FLAGS = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}
_AVX2_KERNELS = ("Haswell", "Zen")


def relaunch_with_faster_kernel() -> None:
    """Replace this process by one of the same command line and a faster kernel; return if there is none."""
    kernel = faster_kernel(_processor_flags(), blas_kernel())
    if kernel and _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = kernel
        hold_signals()  # one that comes just now is for the new process
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def faster_kernel(flags: set[str], libraries: str) -> str | None:
    """Return a faster kernel for a processor with these flags and libraries by `blas_kernel`; None if there is none."""
    openblas = [name for name in libraries.split(", ") if name.startswith("openblas")]
    slow = any(name.split()[-1] in _AVX2_KERNELS for name in openblas)
    return _AVX512_KERNEL if slow and flags >= _AVX512_FLAGS else None


def _processor_flags() -> set[str]:
    """Return the processor's features as Linux lists them; an empty set elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
