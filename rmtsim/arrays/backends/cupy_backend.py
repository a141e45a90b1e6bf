"""CuPy on a GPU: kernels of our own, cuBLAS, and CuPy's pool (``rmtsim.arrays.gpu``, ``gpu_device``)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from rmtsim.arrays.backend import Array, Backend, Module, register_backend


class CuPyBackend(Backend):
    """CuPy, with native forms of all operations."""

    name = package = "cupy"
    stream = "philox4x32-1"
    needs_gpu = makes_normals = sums_pairs = takes_index_arrays = True

    def module(self) -> Module:
        """Return CuPy."""
        return _device().module()

    def problem(self) -> str | None:
        """Say why CuPy cannot compute here, or return None if it can."""
        return _device().problem()  # type: ignore[no-any-return]

    def to_numpy(self, array: Array) -> np.ndarray:
        """Copy an array to the host."""
        return np.asarray(self.module().asnumpy(array))

    def free_memory(self) -> float:
        """Bytes that can still be allocated on the device."""
        return _device().free_memory()  # type: ignore[no-any-return]

    def memory_limit(self, size: float) -> AbstractContextManager[None]:
        """Hold CuPy's memory pool to ``size`` bytes."""
        return _device().memory_limit(size)  # type: ignore[no-any-return]

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that the device has no memory left."""
        return bool(_device().is_out_of_memory(error))

    def release_memory(self) -> None:
        """Give the blocks that the memory pool keeps back to the device."""
        _device().release()

    def library(self) -> str:
        """Name cuBLAS, the device and the compilers, which the last digits depend on."""
        return _device().library()  # type: ignore[no-any-return]

    def devices(self) -> int:
        """Return how many GPUs this process sees."""
        return int(self.module().cuda.runtime.getDeviceCount())

    def capability(self) -> int:
        """Return the compute capability of the current device."""
        return int(_device().capability())

    def is_fatal(self, error: BaseException) -> bool:
        """Whether an error has left the device of no use to this process."""
        return bool(_device().is_fatal(error))

    def normals(self, names: Sequence[bytes], rows: range, columns: int, scale: float, dtype: str) -> Array:
        """Return rows of matrices of normals, made on the device by Philox."""
        return _gpu().normals(names, rows, columns, scale, dtype)

    def exponentials(self, L: Array, shift: Array | None) -> tuple[Array, Array, Array]:
        """Overwrite L with exp(L − shift); return it with its row sums and the row maxima of L."""
        shift = self.module().max(L, axis=-1, keepdims=True) if shift is None else shift
        return _gpu().exponentials(L, shift)  # type: ignore[no-any-return]

    def normal_cdf(self, A: Array) -> Array:
        """Return Φ of every entry, computed on the device."""
        return _gpu().normal_cdf(A)

    def diagonal_weights(self, E: Array, inverse: Array) -> tuple[Array, Array]:
        """Return Q and S by a kernel that reads E once."""
        return _gpu().diagonal_weights(E, inverse)  # type: ignore[no-any-return]

    def add_product(self, total: Array, A: Array, B: Array) -> Array:
        """Add A Bᵀ to ``total`` in place, by a kernel or by cuBLAS."""
        _gpu().add_product(total, A, B)
        return total

    def on_tensor_cores(self, samples: Array, n_classes: int) -> bool:
        """Whether tensor cores are asked for, for sums as large as these."""
        n = samples.shape[-2]
        return bool(_tensor_cores().used(samples.dtype.name, n, n, n_classes))

    def products(self, A: Array, B: Array) -> Array:
        """Return A Bᵀ, by a kernel or by cuBLAS."""
        return _gpu().products(A, B)

    def column_products(self, A: Array, B: Array, left: np.ndarray, right: np.ndarray, scale: np.ndarray) -> Array:
        """Return the products by a kernel."""
        return _gpu().column_products(A, B, left, right, scale)

    def pair_weights(self, K: Array) -> Array:
        """Overwrite K by a kernel."""
        return _gpu().pair_weights(K)

    def pair_sums(self, X: Array, E: Array, inverse: Array) -> Array:
        """Return the sums by a kernel that keeps products in registers."""
        return _tiles().pair_sums(X, E, inverse)

    def quadratic_sums(self, X: Array, A: Array, first: int) -> Array:
        """Return the sums by a kernel that keeps products in registers."""
        return _tiles().quadratic_sums(X, A, first)

    def chunk_sums(self) -> Any:
        """Return what sums over chunks of classes."""
        from rmtsim.arrays import gpu_chunks

        return gpu_chunks

    def fixed(self, array: np.ndarray) -> Array:
        """Return the array on the device, where it is kept."""
        from rmtsim.arrays.gpu_launch import fixed

        return fixed(array)

    def weighted_sum(self, K: Array, G: Array, left: Array, right: Array, power: int) -> Array:
        """Return the sum by a kernel, with products and sums in float64."""
        return _gpu().weighted_sum(K, G, left[..., 0], right[..., 0], power)


register_backend(CuPyBackend())


def _gpu() -> Any:
    from rmtsim.arrays import gpu

    return gpu


def _tiles() -> Any:
    from rmtsim.arrays import gpu_tiles

    return gpu_tiles


def _tensor_cores() -> Any:
    from rmtsim.arrays import tensor_cores

    return tensor_cores


def _device() -> Any:
    from rmtsim.arrays import gpu_device

    return gpu_device
