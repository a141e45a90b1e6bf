"""The GPU as a device, through CuPy: whether it computes here, what it is, and its memory."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from rmtsim.arrays import gpu, philox, tensor_cores
from rmtsim.errors import InputError

#: Bytes of the device that draws leave to what does not allocate through CuPy's pool: workspaces of cuBLAS, modules of
#: kernels, stacks. Of a small device, a share.
_KEPT_BACK, _SHARE_KEPT_BACK = 512 * 2**20, 16

#: Codes of CUDA's errors after which a process can use its device no more: memory errors, illegal accesses and
#: instructions, failed launches and timeouts (CUDA Runtime API, cudaError_t).
_FATAL = {214, 219, 220, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999}
_OF_CUDA = ("CUDARuntimeError", "CUDADriverError")

#: Codes with which cuBLAS fails, among other reasons, on a device that CUDA can use no more (cublasStatus_t).
_PERHAPS_FATAL = {1, 13, 14}

#: The file of NVIDIA's driver, where it is loaded.
_DRIVER = Path("/dev/nvidiactl")

_lock = Lock()
_limits: list[int] = []  # of all that hold the pool now, over all threads: its limit is the process's
_before = _held = 0  # the pool's limit before the first of them, and the bytes that were used then


def module() -> Any:
    """Return CuPy.

    Raises
    ------
    InputError
        If its products are set to TF32, which drops 13 of the 23 bits of their inputs.
    """
    if "cupy" not in sys.modules:
        _set_cache_folder()
    import cupy

    # CuPy reads this at the first product of matrices in float32; cublas.gemm and cublas.syrk never use TF32.
    if os.environ.get("CUPY_TF32", "0") != "0":
        raise InputError("CUPY_TF32: with it products of float32 err by 1e-3; start without it")
    return cupy


def problem() -> str | None:
    """Say why CuPy cannot compute here, or return None if it can: a product and a kernel of our own are tried."""
    if find_spec("cupy") is None:
        return "CuPy is not installed (pip install '.[cuda13]' or '.[cuda12]')"
    try:
        cupy = module()
        if not cupy.cuda.is_available():
            return "CuPy found no GPU"
        if not _computes(cupy.cuda.Device().id):
            return "the GPU that CuPy found computes wrong numbers"
    except Exception as error:  # CuPy raises many kinds for a broken driver, and each means "no GPU"
        reason = str(error).splitlines() or [type(error).__name__]
        return reason[0] if isinstance(error, InputError) else f"CuPy found no working GPU ({reason[0]})"
    return None


def unused() -> str:
    """Return why CuPy cannot compute with a GPU of NVIDIA that this machine has; "" if it can, or there is none."""
    return (problem() or "") if _DRIVER.exists() else ""


@cache
def _computes(device: int) -> bool:
    """Whether cuBLAS and our kernels, which are loaded by this, give right numbers on the current device."""
    import cupy
    from cupy import cublas

    identity, A = bytes(16), np.asarray([[1.0, 2.0], [3.0, 5.0]])
    total, factor = cupy.zeros((2, 2), dtype=np.float64), cupy.asarray(A)
    cublas.gemm("N", "T", factor, cupy.asarray(A), out=total, beta=1.0)
    normals = cupy.asnumpy(gpu.normals([identity], range(2), 3, 1.0, "float64"))
    right = np.allclose(normals.ravel(), philox.normals(identity, 0, 6), rtol=1e-12)
    return right and bool((cupy.asnumpy(total) == A @ A.T).all())


def library() -> str:
    """Name all that the last digits depend on: cuBLAS, the device, and the compilers of the other kernels.

    cuBLAS promises the same bits for one version, architecture and number of SMs alone.
    """
    name = _library(module().cuda.Device().id)
    return f"{name}, {tensor_cores.NAME}" if tensor_cores.wanted() else name


def capability() -> int:
    """Return the compute capability of the current device, such as 90."""
    about = module().cuda.runtime.getDeviceProperties(module().cuda.Device().id)
    return 10 * int(about["major"]) + int(about["minor"])


@cache
def _library(device: int) -> str:
    cupy = module()
    version = cupy.cuda.cublas.getVersion(cupy.cuda.device.get_cublas_handle())
    about = cupy.cuda.runtime.getDeviceProperties(device)
    own = os.environ.get("CUPY_ACCELERATORS")  # what makes CuPy's own sums, if not what does by default
    return (
        f"cuBLAS {version} sm_{about['major']}{about['minor']} {about['multiProcessorCount']} SMs "
        f"CuPy {cupy.__version__} NVRTC {'.'.join(map(str, cupy.cuda.nvrtc.getVersion()))}"
        + (f" accelerators {own or 'none'}" if own is not None else "")
    )


@contextmanager
def memory_limit(size: float) -> Iterator[None]:
    """Hold what is allocated inside to ``size`` bytes more than is held now; more raises out of memory.

    May be entered from several threads at once: then it holds all of them to the sum of their sizes.

    Raises
    ------
    OutOfMemoryError
        CuPy's, also where there is no memory for this thread's handle of cuBLAS.
    """
    global _before, _held
    _make_ready(module())  # a handle is no part of what is held to the limit
    pool = module().get_default_memory_pool()
    with _lock:
        if not _limits:
            _before = int(pool.get_limit())
            pool.free_all_blocks()  # blocks kept from before would count
            _held = int(pool.used_bytes())
        _limits.append(int(size))
        _set_limit(pool)
    try:
        yield
    finally:
        with _lock:
            _limits.remove(int(size))
            _set_limit(pool)


def _set_limit(pool: Any) -> None:
    ours = _held + sum(_limits)  # the pool counts all that it has, whoever asked for it
    pool.set_limit(size=(min(ours, _before) if _before else ours) if _limits else _before)


def free_memory() -> int:
    """Bytes that draws may still allocate: free on the device or kept by the pool, and within the caller's limit."""
    cupy = module()
    _make_ready(cupy)
    pool = cupy.get_default_memory_pool()
    free, total = cupy.cuda.Device().mem_info
    room = int(free) + int(pool.free_bytes()) - min(_KEPT_BACK, int(total) // _SHARE_KEPT_BACK)
    with _lock:
        limit = _before if _limits else int(pool.get_limit())  # 0: none
    return max(0, min(room, limit - int(pool.used_bytes())) if limit else room)


def _make_ready(cupy: Any) -> None:
    """Have this thread's handle of cuBLAS and our kernels in memory, before what is left is measured.

    Raises
    ------
    OutOfMemoryError
        CuPy's, if there is no memory for a handle, for which cuBLAS has no error of its own.
    """
    pool = cupy.get_default_memory_pool()
    if not _has_handle(cupy):
        pool.free_all_blocks()
        if not _has_handle(cupy):
            raise cupy.cuda.memory.OutOfMemoryError(0, int(pool.total_bytes()), 0)
    _computes(cupy.cuda.Device().id)


def _has_handle(cupy: Any) -> bool:
    """Whether this thread has a handle of cuBLAS, which is made if it has none."""
    try:
        cupy.cuda.device.get_cublas_handle()
    except Exception as error:
        if (type(error).__name__, getattr(error, "status", None)) != ("CUBLASError", 1):
            raise
        return False
    return True


def release() -> None:
    """Give the blocks that the memory pool keeps back to the device."""
    module().get_default_memory_pool().free_all_blocks()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device has no memory left, so that a smaller chunk may do."""
    if isinstance(error, module().cuda.memory.OutOfMemoryError):
        return True
    # From CUDA, for modules and stacks, and from cuBLAS, for its workspace: they do not allocate through the pool.
    codes = {**dict.fromkeys(_OF_CUDA, 2), "CUBLASError": 3}
    return codes.get(type(error).__name__) == getattr(error, "status", -1)


def is_fatal(error: BaseException) -> bool:
    """Whether an error has left the device of no use to this process: CUDA then fails whatever is asked of it."""
    if type(error).__name__ == "CUBLASError" and getattr(error, "status", None) in _PERHAPS_FATAL:
        try:
            module().cuda.Device().synchronize()
        except Exception as found:  # what CUDA itself says
            error = found
    return type(error).__name__ in _OF_CUDA and getattr(error, "status", None) in _FATAL


def _set_cache_folder() -> None:
    """Choose where CuPy keeps compiled kernels, if nobody has and its own choice cannot be written to.

    Without a folder, not even its import succeeds.
    """
    usual = os.path.expanduser("~/.cupy/kernel_cache")  # with its ~ where nobody knows a HOME
    if os.environ.get("CUPY_CACHE_DIR") or (usual[0] != "~" and _writable(Path(usual))):
        return
    own = Path(tempfile.gettempdir(), f"rmtsim-cupy-{os.getuid()}")
    # Kernels are code: none are loaded from a folder that others can write to.
    safe = (
        _writable(own) and own.stat().st_uid == os.getuid() and not own.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )
    os.environ["CUPY_CACHE_DIR"] = str(own) if safe else tempfile.mkdtemp(prefix="rmtsim-cupy-")


def _writable(folder: Path) -> bool:
    """Whether files can be written to a folder, which is made if it is not there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
