"""The emulated CuPy under its own name: what ``import cupy`` finds while `emulated` lasts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from harness.simt import functions
from harness.simt.arrays import ndarray, wrapped
from harness.simt.kernels import KernelError, Kernels
from harness.simt.memory import POOL, OutOfMemoryError, Pool
from rmtsim.arrays import gpu_device, gpu_launch
from rmtsim.arrays.backend import array_module
from rmtsim.kernels.doubts import NotedDoubts

#: Bytes of the device that cuBLAS takes for a handle.
_HANDLE = 40 * 2**20

#: What the emulated device is.
_PROPERTIES = {"name": b"emulated", "major": 9, "minor": 0, "multiProcessorCount": 132}

#: What cuBLAS calls its errors.
_STATUS = {
    1: "CUBLAS_STATUS_NOT_INITIALIZED",
    3: "CUBLAS_STATUS_ALLOC_FAILED",
    13: "CUBLAS_STATUS_EXECUTION_FAILED",
    14: "CUBLAS_STATUS_INTERNAL_ERROR",
}


class CUBLASError(RuntimeError):
    """An error of cuBLAS."""

    def __init__(self, status: int) -> None:
        super().__init__(_STATUS[status])
        self.status = status


class Device:
    """The only device."""

    id, compute_capability = 0, "90"

    def __init__(self, number: int = 0) -> None:
        self.id = number

    @property
    def mem_info(self) -> tuple[int, int]:
        """Free bytes, and all."""
        return POOL.free_on_device, POOL.capacity

    def synchronize(self) -> None:
        """Wait."""
        POOL.counts.waits += 1


class RawModule:
    """Kernels of a source, which are compiled when the first of them is asked for."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        if not all(isinstance(option, str) for option in options):
            raise TypeError("options are text")
        self._code = code

    def get_function(self, name: str) -> Any:
        """Return a kernel."""
        kernels = _kernels(self._code)
        kernels.parameters(name)

        def launch(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
            if not all(isinstance(sizes, tuple) for sizes in (grid, block, arguments)):
                raise TypeError("grid, block and arguments are tuples")
            given = list(map(_argument, arguments))
            POOL.counts.add_launch(*given)
            kernels.launch(name, grid, block, given, POOL.computes)
            if not all(a.guards_hold() for a in arguments if isinstance(a, ndarray)):
                raise KernelError(f"{name} wrote outside of an array")

        return launch


def _argument(given: Any) -> Any:
    """Return what a kernel is launched with; NumPy's arrays of one element go by value, and no others."""
    if isinstance(given, np.ndarray):
        if given.size != 1:
            raise TypeError(f"You are trying to pass a numpy.ndarray of shape {given.shape} as a kernel parameter.")
        return given.reshape(())[()]
    return given._host if isinstance(given, ndarray) else given


_state: dict[str, Any] = {}


def _kernels(source: str) -> Kernels:
    made: dict[str, Kernels] = _state["kernels"]
    if source not in made:
        made[source] = Kernels(source, _state["folder"])
    made[source].seed = _state["seed"]
    return made[source]


def _handle() -> int:
    """Return the handle of cuBLAS, which a device without memory cannot make."""
    if not _state["handle"]:
        if POOL.free_on_device < _HANDLE:
            raise CUBLASError(1)
        POOL.others += _HANDLE
        _state["handle"] = 1
    return int(_state["handle"])


def _with_handle(function: Any) -> Any:
    def compute(*arguments: Any, **options: Any) -> Any:
        _handle()
        return function(*arguments, **options)

    return compute


def _cupy() -> dict[str, ModuleType]:
    """Return the modules of CuPy by their names."""
    cuda = SimpleNamespace(
        is_available=lambda: True,
        Device=Device,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        device=SimpleNamespace(get_cublas_handle=_handle),
        cublas=SimpleNamespace(getVersion=lambda handle: 130100, CUBLASError=CUBLASError),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        runtime=SimpleNamespace(
            getDeviceProperties=lambda number: _PROPERTIES, getDevice=lambda: 0, getDeviceCount=lambda: 1
        ),
    )
    contents = {
        "cupy": functions.functions()
        | {"ndarray": ndarray, "RawModule": RawModule, "cuda": cuda, "__version__": "14.2.0"}
        | {"get_default_memory_pool": lambda: POOL},
        "cupy.cublas": {name: _with_handle(function) for name, function in vars(functions.cublas).items()},
        "cupyx": {},
        "cupyx.scipy": {},
        "cupyx.scipy.special": {"ndtr": _ndtr},
    }
    modules = {name: ModuleType(name) for name in contents}
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, None)
        module.__path__ = []
        vars(module).update(contents[name])
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(modules[parent], last, module)
    return modules


def _ndtr(a: ndarray) -> ndarray:
    from scipy.special import ndtr

    return wrapped(np.asarray(ndtr(a._host)), a, by="ndtr")


@contextmanager
def emulated(folder: Path | None = None, seed: int = 0) -> Iterator[Pool]:
    """Put the emulated CuPy in the place of CuPy; give its pool, with what it counts.

    Parameters
    ----------
    folder
        Where compiled kernels are kept; by default `rmtsim`'s own cache has them (`kernels.kept_in`).
    seed
        Of the order in which threads run.
    """
    POOL.reset()
    _state.update(kernels={}, folder=folder, seed=seed, handle=0)
    modules = _cupy()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    _forget()
    try:
        yield POOL
    finally:
        _forget()
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


@contextmanager
def nothing_computed() -> Iterator[None]:
    """Compute nothing within `emulated`, which then takes draws of any size: launches are checked and counted.

    Numbers mean nothing, no condition on an array is true, and no draw is in doubt: what is asked of the GPU is what
    ordinary draws ask.
    """
    fetch = NotedDoubts.fetch

    def without_doubt(*given: Any) -> Any:
        found = fetch(*given)[0]
        return found, np.zeros(len(found[0]), dtype=bool)

    assert array_module("cupy")  # which itself computes
    POOL.computes = False
    try:
        with patch.object(NotedDoubts, "fetch", without_doubt), np.errstate(all="ignore"):
            yield
    finally:
        POOL.computes = True


def _forget() -> None:
    """Clear what is kept of a device."""
    for kept in (gpu_launch._module, gpu_launch._kernel, gpu_launch._fixed, gpu_device._computes, gpu_device._library):
        kept.cache_clear()
