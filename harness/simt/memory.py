"""What the emulated device holds and does: CuPy's pool of memory, and counts of launches, waits and transfers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.simt.compiling import Kernel, kernel_of

#: Bytes on either side of an array that nothing may write to, and what stands there.
_GUARD, _MARK = 64, 0xA5

#: CuPy rounds sizes up to a multiple of this.
_UNIT = 512


class OutOfMemoryError(MemoryError):
    """CuPy's: the pool's limit or the device has no room for an allocation."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")


@dataclass
class Counts:
    """What was asked of the device, as CuPy 14 does it.

    Attributes
    ----------
    launches
        Kernels, those of CuPy and cuBLAS included.
    waits
        Times that the host waited for the device.
    uploaded, downloaded
        Bytes that went from the host to the device, and back.
    touched
        Bytes of the arrays that launches read and write, each array once a launch.
    kernels
        The launches among them of kernels that CuPy compiles.
    """

    launches: int = 0
    waits: int = 0
    uploaded: int = 0
    downloaded: int = 0
    touched: int = 0
    kernels: Counter[Kernel] = field(default_factory=Counter)

    def add_launch(self, *arguments: Any) -> None:
        """Count a launch of a kernel that is compiled with others, for its arguments."""
        self.launches += 1
        self.touched += sum(A.nbytes for A in arguments if isinstance(A, np.ndarray))

    def launch(self, name: str, *operands: Any, result: np.ndarray) -> None:
        """Count a launch of a kernel of CuPy's, for operands and a result as NumPy has them."""
        self.add_launch(*operands, result)
        kernel = kernel_of(name, *operands, result=result)
        if not kernel.is_of_the_driver:
            self.kernels[kernel] += 1

    def clear(self) -> None:
        """Begin at 0 again."""
        self.launches = self.waits = self.uploaded = self.downloaded = self.touched = 0
        self.kernels.clear()


class Pool:
    """CuPy's memory pool: all bytes that it has taken from the device count against its limit.

    Attributes
    ----------
    capacity
        Bytes of the device.
    others
        Bytes of it that are not the pool's.
    most_used
        The most bytes that were used at a time.
    computes
        Whether kernels and products are run; else they are but checked and counted (`cupy_module.nothing_computed`).
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the past; arrays that are still alive must not be used any more."""
        self.capacity, self.others, self.most_used, self.computes = 8 * 2**30, 0, 0, True
        self._limit = self._used = self._kept = 0
        self.counts = Counts()

    def take(self, size: int) -> int:
        """Allocate; return the bytes that this takes."""
        size = -(-size // _UNIT) * _UNIT
        if size > self._kept:
            room = min(self._limit or self.capacity, self.capacity - self.others)
            if self._used + self._kept + size > room:
                self._kept = 0
            if self._used + size > room:
                raise OutOfMemoryError(size, self._used, self._limit)
        else:
            self._kept -= size
        self._used += size
        self.most_used = max(self.most_used, self._used)
        return size

    def give_back(self, size: int) -> None:
        """Keep the bytes of an array that is gone for the next ones."""
        self._used -= size
        self._kept += size

    @property
    def free_on_device(self) -> int:
        """Bytes that neither the pool nor others have."""
        return self.capacity - self.others - self._used - self._kept

    # CuPy's names

    def get_limit(self) -> int:
        return self._limit

    def set_limit(self, size: float | None = None) -> None:
        self._limit = int(size or 0)

    def free_all_blocks(self) -> None:
        self._kept = 0

    def free_bytes(self) -> int:
        return self._kept

    def used_bytes(self) -> int:
        return self._used

    def total_bytes(self) -> int:
        return self._used + self._kept


POOL = Pool()


class Allocation:
    """Bytes of the pool, which go back to it when no array has them any more."""

    def __init__(self, size: int) -> None:
        self._counts = POOL.counts  # of the run of the emulator that this belongs to
        self._size = POOL.take(size)

    def __del__(self) -> None:
        if getattr(self, "_size", 0) and self._counts is POOL.counts:
            POOL.give_back(self._size)


class Guarded(Allocation):
    """An allocation of NaN between guards: what a kernel reads before it is written, or writes outside, is noticed."""

    def __init__(self, shape: Any, dtype: Any, order: str = "C") -> None:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        super().__init__(size)
        # Zeros that nobody touches take no memory of the host.
        self._bytes = (
            np.full(size + 2 * _GUARD, 0xFF, dtype=np.uint8)
            if POOL.computes
            else np.zeros(size + 2 * _GUARD, dtype=np.uint8)
        )
        self._bytes[:_GUARD] = self._bytes[_GUARD + size :] = _MARK
        self.array = self._bytes[_GUARD : _GUARD + size].view(dtype).reshape(shape, order=order)

    def check(self) -> bool:
        """Whether the guards are as they were."""
        return bool((self._bytes[:_GUARD] == _MARK).all() and (self._bytes[-_GUARD:] == _MARK).all())
