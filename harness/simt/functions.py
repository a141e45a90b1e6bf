"""The functions of the emulated CuPy: those of NumPy, over its arrays; and cuBLAS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.simt.arrays import allocated, host, ndarray, wrapped
from harness.simt.memory import POOL

#: Functions of arrays that CuPy has under the same name, with the same arguments. What is missing here is missing
#: there, such as vecdot, or is not used.
_SAME = """
    exp log log1p sqrt abs tanh isfinite isnan maximum minimum where clip sum mean max min any all argmax argmin prod
    take take_along_axis concat concatenate stack reshape permute_dims moveaxis swapaxes broadcast_to expand_dims
    squeeze tril triu diagonal trace tensordot zeros_like ones_like full_like sign argsort sort cumsum count_nonzero
"""

_CONSTANTS = "float32 float64 int8 int32 int64 uint8 uint32 bool_ bool nan inf pi newaxis isdtype dtype"


def functions() -> dict[str, Any]:
    """Return the names of the module."""
    named: dict[str, Any] = {name: _same(name) for name in _SAME.split()}
    named |= {name: getattr(np, name) for name in _CONSTANTS.split()}
    named |= {name: _made(name) for name in ("zeros", "ones", "full", "eye", "arange", "linspace")}
    named |= {
        name: globals()[name] for name in ("asarray", "asnumpy", "empty", "astype", "nonzero", "matmul", "copyto")
    }
    return named | {"array": asarray, "empty_like": empty_like, "ascontiguousarray": ascontiguousarray}


def _same(name: str) -> Any:
    function = getattr(np, name)

    def compute(*arguments: Any, **options: Any) -> ndarray:
        given = [
            list(map(host, a)) if isinstance(a, (list, tuple)) and name in _LISTS else _operand(a) for a in arguments
        ]
        if name in _LISTS:
            one = _in_one_launch(given[0])
            POOL.counts.launches += 0 if one else len(given[0]) - 1  # a copy of each
            POOL.counts.uploaded += 8 * len(given[0]) * (2 + given[0][0].ndim) if one else 0
            POOL.counts.touched += sum(part.nbytes for part in given[0])
        return wrapped(np.asarray(function(*given, **options)), *arguments, by=name)

    return compute


_LISTS = ("concat", "concatenate", "stack")


def _in_one_launch(parts: list[np.ndarray]) -> bool:
    """Whether CuPy joins arrays by one kernel, whose addresses, sizes and strides it sends to the device (14.2).

    That is ``_concatenate`` in ``cupy/_core/_routines_manipulation.pyx``.
    """
    size = sum(part.nbytes for part in parts)
    return len(parts) > 8 and len({part.dtype for part in parts}) == 1 and size < 2**21 * len(parts)


def _operand(argument: Any) -> Any:
    """Return an argument for NumPy: an operand, or a shape or axes."""
    plain = isinstance(argument, (tuple, list, type(None), type, np.dtype, str))
    return argument if plain else host(argument)


def _made(name: str) -> Any:
    def make(*arguments: Any, **options: Any) -> ndarray:
        made = getattr(np, name)(*map(_operand, arguments), **options)
        array = allocated(made.shape, made.dtype)
        if made.size:
            number = made.flat[0].item()
            kernel = {"zeros": "zeros_like", "full": "copy", "ones": "copy"}.get(name, name)
            POOL.counts.launch(kernel, number, result=made)
        array._host[...] = made
        return array

    return make


def empty(shape: Any, dtype: Any = np.float64, order: str = "C") -> ndarray:
    return allocated(shape, dtype, order)


def empty_like(a: ndarray) -> ndarray:
    return allocated(a.shape, a.dtype)


def asarray(x: Any, dtype: Any = None) -> ndarray:
    if isinstance(x, ndarray):
        return x if dtype is None or x.dtype == dtype else x.astype(dtype)
    given = np.asarray(x, dtype=dtype)
    array = allocated(given.shape, given.dtype)
    array._host[...] = given
    POOL.counts.uploaded += given.nbytes
    return array


def asnumpy(a: ndarray) -> np.ndarray:
    return a.get()


def astype(x: ndarray, dtype: Any, /, *, copy: bool = True) -> ndarray:
    if not isinstance(x, ndarray):
        raise TypeError(f"Input should be a CuPy array. It is a {type(x)} instead.")
    return x.astype(dtype, copy=copy)


def ascontiguousarray(a: ndarray, dtype: Any = None) -> ndarray:
    return wrapped(np.ascontiguousarray(host(a), dtype=dtype).reshape(a.shape), a, by="copy")


def copyto(to: ndarray, a: ndarray) -> None:
    to[...] = a


def nonzero(a: ndarray) -> tuple[ndarray, ...]:
    POOL.counts.waits += 1  # for their number
    return tuple(wrapped(found, a, by="nonzero") for found in np.nonzero(host(a)))


def matmul(a: Any, b: Any) -> Any:
    return a @ b


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the product of two matrices as cuBLAS rounds it: a test may put another GPU in its place."""
    return np.asarray(left @ right)


def gemm(
    trans_a: str, trans_b: str, a: ndarray, b: ndarray, out: ndarray, alpha: float = 1, beta: float = 0
) -> ndarray:
    """Write alpha op(a) op(b) + beta out to ``out``, as ``cupy.cublas.gemm`` does."""
    left, right = (A._host.T if trans == "T" else A._host for A, trans in ((a, trans_a), (b, trans_b)))
    assert a.ndim == b.ndim == out.ndim == 2
    assert a.dtype == b.dtype == out.dtype
    assert out.shape == (left.shape[0], right.shape[1])
    POOL.counts.add_launch(left, right, out._host)
    if POOL.computes:
        _write(product(left, right), out, alpha, beta, np.True_)
    return out


def syrk(trans: str, a: ndarray, out: ndarray, alpha: float = 1, beta: float = 0, lower: bool = False) -> ndarray:
    """Write one triangle of alpha op(a) op(a)ᵀ + beta out, with the diagonal, as ``cupy.cublas.syrk`` does."""
    left = a._host.T if trans == "T" else a._host
    assert a.ndim == out.ndim == 2
    assert a.dtype == out.dtype
    assert out.shape == (len(left), len(left))
    POOL.counts.add_launch(left, out._host)
    if POOL.computes:
        triangle = np.tri(len(left), dtype=bool)
        _write(product(left, left.T), out, alpha, beta, triangle if lower else triangle.T)
    return out


def _write(made: np.ndarray, out: ndarray, alpha: float, beta: float, where: Any) -> None:
    before = beta * out._host if beta else 0  # cuBLAS does not read it otherwise
    np.copyto(out._host, alpha * made + before, where=where)


cublas = SimpleNamespace(gemm=gemm, syrk=syrk)
