"""The arrays of the emulated CuPy: those of NumPy, with CuPy's refusals.

CuPy never turns an array into one of NumPy by itself, nor computes with one of NumPy.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.simt.memory import POOL, Allocation, Guarded


class ndarray:  # noqa: N801  # CuPy's name
    """An array on the device: one of NumPy, and the allocation that it lies in."""

    __module__ = "cupy"
    __array_ufunc__ = None  # NumPy's arrays leave operators to this class, which refuses them
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray, allocation: Allocation) -> None:
        self._host, self._allocation = host, allocation

    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    dtype = property(lambda self: self._host.dtype)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    device = property(lambda self: "<CUDA Device 0>")

    @property
    def flags(self) -> SimpleNamespace:
        flags = self._host.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    @property
    def T(self) -> ndarray:  # noqa: N802
        return like(self._host.T, self)

    @property
    def mT(self) -> ndarray:  # noqa: N802
        return like(self._host.mT, self)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[k] for k in range(len(self)))

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __repr__(self) -> str:
        return f"cupy.{self._host!r}"

    def __getitem__(self, key: Any) -> ndarray:
        return wrapped(np.asarray(self._host[_index(key)]), self, by="getitem")

    def __setitem__(self, key: Any, value: Any) -> None:
        POOL.counts.launch("copy", host(value), result=np.asarray(self._host[_index(key)]))
        self._host[_index(key)] = host(value)

    def get(self) -> np.ndarray:
        POOL.counts.waits += 1
        POOL.counts.downloaded += self.nbytes
        return np.array(self._host)

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.get()) and POOL.computes  # of what is not computed, nothing is said to be so

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __index__(self) -> int:
        return operator.index(self.get())

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        return wrapped(self._host.astype(dtype, copy=copy), self, by="copy")

    def copy(self) -> ndarray:
        return wrapped(self._host.copy(), self, by="copy")

    def fill(self, value: Any) -> None:
        self[...] = value

    def ravel(self) -> ndarray:
        return wrapped(self._host.ravel(), self, by="copy")

    def reshape(self, *shape: Any) -> ndarray:
        return wrapped(self._host.reshape(*shape), self, by="copy")

    def sum(self, axis: Any = None, keepdims: bool = False) -> ndarray:
        return wrapped(np.asarray(self._host.sum(axis=axis, keepdims=keepdims)), self, by="sum")

    def guards_hold(self) -> bool:
        """Whether nothing was written outside of the allocation, where that can be told."""
        return not isinstance(self._allocation, Guarded) or self._allocation.check()


def host(value: Any) -> Any:
    """Return what NumPy computes with for an operand; raise TypeError where CuPy takes none of its kind."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, (int, float, bool, np.generic)):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def like(view: np.ndarray, array: ndarray) -> ndarray:
    """Return a view of an array."""
    return ndarray(view, array._allocation)


def wrapped(result: np.ndarray, *operands: Any, by: str) -> ndarray:
    """Return a result of NumPy: a view of an operand as one of it, else a new array, made by a launch of a kernel."""
    for operand in operands:
        if isinstance(operand, ndarray) and np.may_share_memory(result, operand._host):
            return like(result, operand)
    if result.size:
        given = [_seen(operand) for operand in operands if not isinstance(operand, _NO_OPERAND)]
        POOL.counts.launch(by, *given, result=result)
    return ndarray(result, Allocation(result.nbytes))


#: What arguments of functions may be beside operands: shapes, axes, lists of arrays and dtypes.
_NO_OPERAND = (tuple, list, type(None), type, np.dtype, str)


def _seen(operand: Any) -> Any:
    return operand._host if isinstance(operand, ndarray) else operand


def allocated(shape: Any, dtype: Any, order: str = "C") -> ndarray:
    """Return a new array that nothing has been written to."""
    allocation = Guarded(shape, dtype, order)
    return ndarray(allocation.array, allocation)


def _index(key: Any) -> Any:
    return tuple(map(_index, key)) if isinstance(key, tuple) else key._host if isinstance(key, ndarray) else key


def _as_batched(product: np.ndarray, a: ndarray, b: ndarray) -> np.ndarray:
    """Return a product as CuPy makes it with more axes than two: of contiguous copies, by a batched call of cuBLAS.

    Which kernel cuBLAS takes, and so how it rounds, may depend on how many products there are; here it does.
    """
    if product.ndim <= 2:
        return product
    for array in (a, b):
        if not array.flags.c_contiguous:
            POOL.counts.launch("copy", array._host, result=np.ascontiguousarray(array._host))
    count = product.size // max(1, product.shape[-1] * product.shape[-2])
    return np.asarray(product * product.dtype.type(1 + count % 5 * np.finfo(product.dtype).eps))


def _add_operators() -> None:
    def unary(name: str) -> Any:
        return lambda self: wrapped(getattr(self._host, f"__{name}__")(), self, by=name)

    def binary(kernel: str, name: str) -> Any:
        def compute(self: ndarray, other: Any) -> ndarray:
            found = np.asarray(getattr(self._host, name)(host(other)))
            if name == "__matmul__":  # by cuBLAS, which is compiled
                if found.size:
                    POOL.counts.add_launch(self._host, host(other), found)
                return ndarray(_as_batched(found, self, other), Allocation(found.nbytes))
            return wrapped(found, self, other, by=kernel)

        return compute

    def in_place(kernel: str, name: str) -> Any:
        def compute(self: ndarray, other: Any) -> ndarray:
            POOL.counts.launch(kernel, self._host, host(other), result=self._host)
            getattr(self._host, name)(host(other))
            return self

        return compute

    for name in ("neg", "abs", "invert"):
        setattr(ndarray, f"__{name}__", unary(name))
    for name in ("lt", "gt", "le", "ge", "eq", "ne"):
        setattr(ndarray, f"__{name}__", binary(name, f"__{name}__"))
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
        setattr(ndarray, f"__{name}__", binary(name, f"__{name}__"))
        setattr(ndarray, f"__r{name}__", binary(name, f"__r{name}__"))
        setattr(ndarray, f"__i{name}__", in_place(name, f"__i{name}__"))


_add_operators()
