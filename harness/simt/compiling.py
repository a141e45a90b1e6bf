"""What CuPy compiles: a kernel of its own for each operation, with the dtypes of its arrays and how they lie."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np


class Kernel(NamedTuple):
    """A kernel that CuPy compiles, in about 0.3 s, when a process first needs it.

    Attributes
    ----------
    name
        The operation.
    dtypes
        Of the operands and the result; of a number the type.
    ndim
        The axes that are left when neighbouring ones are joined, as CuPy does, where no array has a gap between them.
    contiguous
        Whether each array is.
    """

    name: str
    dtypes: tuple[str, ...]
    ndim: int
    contiguous: tuple[bool, ...]

    @property
    def is_of_the_driver(self) -> bool:
        """Whether nothing is compiled: the driver copies bytes as they are, and fills memory with zeros."""
        as_it_is = self.name == "copy" and len(set(self.dtypes)) == 1 and len(self.contiguous) == 2
        return self.name == "zeros_like" or (as_it_is and all(self.contiguous))


def kernel_of(name: str, *operands: Any, result: np.ndarray) -> Kernel:
    """Return the kernel for operands, arrays of NumPy that stand for those on the device, or numbers, and a result."""
    dtypes = *(A.dtype.name if isinstance(A, np.ndarray) else type(A).__name__ for A in operands), result.dtype.name
    arrays = [A for A in operands if isinstance(A, np.ndarray)]
    if _by_entry(arrays, result.shape):
        views = [np.broadcast_to(A, result.shape) for A in (*arrays, result)]
        ndim = _ndim(views)
    else:  # a reduction, or one that takes entries: its arrays have axes of their own
        views = [*arrays, result]
        ndim = max(1 + (result.size > 1), *(_ndim([A]) for A in views))
    return Kernel(name, dtypes, ndim, tuple(A.flags.c_contiguous for A in views))


def _by_entry(arrays: list[np.ndarray], shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(*(A.shape for A in arrays), shape) == shape
    except ValueError:
        return False


def _ndim(arrays: list[np.ndarray]) -> int:
    """Return how many axes arrays of one shape have for CuPy (``_reduced_view_core`` in ``cupy/_core/_kernel.pyx``)."""
    scattered = [A for A in arrays if not A.flags.c_contiguous]
    shape = arrays[0].shape
    if not scattered or len(shape) == 2:
        return 1 if not scattered else 2
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    joined = sum(
        all(A.strides[axis] == shape[after] * A.strides[after] for A in scattered) for axis, after in pairwise(axes)
    )
    return len(axes) - joined
