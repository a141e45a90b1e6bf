"""Array backends, chosen by name or by the arrays at hand.

A backend is an array module ``xp`` that is passed along: ``numpy``, ``cupy``, or any other module that
follows the array API standard (the tests run the kernels under ``array_api_strict``).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from rmtsim.errors import InputError

Array = Any  # an array of numpy, cupy or another array-API module
Module = Any  # such a module

#: The backends to choose from; ``"auto"`` stands for CuPy where it finds a GPU, and NumPy elsewhere.
BackendName: TypeAlias = Literal["auto", "numpy", "cupy"]
BACKENDS: tuple[BackendName, ...] = get_args(BackendName)

#: Precisions of the arithmetic.
DtypeName: TypeAlias = Literal["float32", "float64"]
DTYPES: tuple[DtypeName, ...] = get_args(DtypeName)


def array_module(name: str) -> Module:
    """Return the array module of the backend ``name`` (``"numpy"`` or ``"cupy"``).

    Raises
    ------
    InputError
        If the name is unknown, or if CuPy is asked for and does not find a working GPU.
    """
    if name == "numpy":
        return np
    if name == "cupy":
        problem = native_gpu().problem()
        if problem:
            raise InputError(f"backend: 'cupy' was asked for, but {problem}; choose numpy or auto")
        return native_gpu().module()
    raise InputError(f"backend: {name!r} is not known; choose one of {', '.join(BACKENDS)}")


def resolve(name: str) -> str:
    """Turn ``"auto"`` into ``"cupy"`` where a GPU answers and ``"numpy"`` elsewhere; check other names."""
    if name == "auto":
        return "numpy" if native_gpu().problem() else "cupy"
    array_module(name)
    return name


def namespace(array: Array, name: str = "arrays") -> Module:
    """Return the array module that ``array`` belongs to; raise InputError, with its name, if it is no array."""
    if isinstance(array, np.ndarray):
        return np
    if type(array).__module__.partition(".")[0] == "cupy":  # CuPy 14 has no __array_namespace__
        return native_gpu().module()
    try:
        return array.__array_namespace__()
    except AttributeError:
        raise InputError(f"{name}: {type(array).__name__} is no array; give NumPy, CuPy or array-API arrays") from None


def native_module(array: Any) -> Module | None:
    """Return the array module that ``array`` is computed with as it is, or None: then it is to become NumPy's.

    These are NumPy, CuPy and the standard's own reference module: kernels write into arrays, which JAX's, for one, do
    not allow.
    """
    if isinstance(array, np.ndarray):
        return np
    root = type(array).__module__.partition(".")[0]
    return namespace(array) if root in ("cupy", "array_api_strict") and hasattr(array, "dtype") else None


def is_cupy(xp: Module) -> bool:
    """Whether the array module is CuPy."""
    return bool(xp.__name__ == "cupy")


def native_gpu() -> Any:
    """Return ``rmtsim.arrays.gpu``, which is loaded when it is first wanted."""
    from rmtsim.arrays import gpu

    return gpu


def to_numpy(array: Array) -> np.ndarray:
    """Copy ``array`` to the host."""
    if type(array).__module__.partition(".")[0] == "cupy":
        return np.asarray(native_gpu().module().asnumpy(array))
    return np.asarray(array)


def inner(A: Array, B: Array, xp: Module) -> Array:
    """Return the Frobenius product ⟨A, B⟩ over the last two axes, in float64.

    A row is summed in the arrays' own precision, the rows in float64: in float32 the error stays near that of
    one row. The order of the sums depends on the last two axes alone, so a draw's value has the same
    bits in a batch of any size.
    """
    return xp.sum(xp.astype(row_dots(A, B, xp), xp.float64), axis=-1)


def row_dots(A: Array, B: Array, xp: Module) -> Array:
    """Return Σ A∘B over the last axis."""
    return xp.vecdot(A, B) if hasattr(xp, "vecdot") else xp.sum(A * B, axis=-1)  # CuPy 14 has no vecdot
