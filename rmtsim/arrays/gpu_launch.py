"""How the kernels of our own are launched: compiled by NVRTC when one is first used, and found by name and dtype."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

Array = Any  # an array of CuPy

_TYPES = {"float32": "float", "float64": "double"}


def launch(name: str, dtype: str, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
    """Run the instance of a kernel for ``dtype``; numbers among the arguments are NumPy's, of the kernel's widths."""
    if all(grid):  # no blocks: nothing to do
        _kernel(f"{name}_{_TYPES[dtype]}")(grid, block, arguments)


def source(*names: str) -> str:
    """Return the text of all kernels but those on tensor cores, or of the files of these names."""
    folder = files("rmtsim.arrays")
    names = names or ("kernels", "tiles", "cross", "chunks")
    return "\n".join(folder.joinpath(f"{name}.cu").read_text("utf-8") for name in names)


@cache
def _kernel(name: str) -> Any:
    # Kernels on tensor cores take seconds to compile, and few ask for them.
    module = _module("tensor") if name.startswith("tensor_") else _module()
    return module.get_function(name)  # the object that is returned compiles for any device on its first use there


@cache
def _module(*names: str) -> Any:
    import cupy

    return cupy.RawModule(code=source(*names), options=("--std=c++17",))


def contiguous(A: Array, dtype: Any) -> Array:
    """Return A, or a copy that is contiguous and of the dtype where it is not."""
    import cupy

    return cupy.ascontiguousarray(A, dtype=dtype)


def check_contiguous(A: Array) -> None:
    """Raise ValueError where an array that is written to has gaps."""
    if not A.flags.c_contiguous:
        raise ValueError("an array that is written to must be contiguous")


def fixed(array: np.ndarray) -> Array:
    """Return on the device what never changes, such as indices: it is sent there once, and kept."""
    import cupy

    return _fixed(cupy.cuda.Device().id, str(array.dtype), array.shape, array.tobytes())


@lru_cache(maxsize=64)
def _fixed(device: int, dtype: str, shape: tuple[int, ...], data: bytes) -> Array:
    import cupy

    found = cupy.asarray(np.frombuffer(data, dtype=dtype).reshape(shape))
    cupy.cuda.Device().synchronize()  # other streams may use it, too
    return found
