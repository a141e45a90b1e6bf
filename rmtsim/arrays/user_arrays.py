"""Arrays of users as they are computed with: real numbers of one dtype, finite, of a size that can be held; labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import Array, Module, backend_of, namespace, to_numpy
from rmtsim.arrays.machine import usable_memory
from rmtsim.arrays.plain_arrays import first_place, plain
from rmtsim.errors import InputError
from rmtsim.text.sizes import format_bytes


def as_floats(given: Mapping[str, Any]) -> tuple[list[Array], str]:
    """Return arrays of real numbers as arrays of one module and of one dtype, in which they are computed with.

    Parameters
    ----------
    given
        What the user gave, by the names of the arguments.

    Returns
    -------
    arrays, dtype
        The arrays in their order, and ``"float32"`` or ``"float64"``: NumPy's promotion of all their dtypes, where
        half precision (float16, bfloat16) counts as float32, and whole numbers and booleans alone are float64.

    Raises
    ------
    InputError
        If something is not an array of real numbers, arrays lie in different memories, or one is larger than that.
    """
    arrays = {name: plain(value, name) for name, value in given.items()}
    first, *others = arrays
    xp = namespace(arrays[first])
    for name in others:
        if namespace(arrays[name]) is not xp:
            raise InputError(f"{name}: it belongs to another array module than {first}; give all from one")
    name = _common_dtype(arrays)
    dtype = getattr(xp, name)
    for argument, array in arrays.items():
        _check_memory(array, name, argument)
    return [array if array.dtype == dtype else xp.astype(array, dtype) for array in arrays.values()], name


def as_numbers(value: Any, name: str) -> npt.NDArray[np.float64]:
    """Return real numbers as a NumPy array of float64.

    Raises
    ------
    InputError
        If it is not an array of real numbers, or is too large for memory; NaN and infinity pass.
    """
    array = plain(value, name)
    _check_memory(array, "float64", name)
    return to_numpy(array).astype(np.float64, copy=False)


def as_labels(y: Any, shape: tuple[int, ...], n_classes: int, xp: Module) -> Array:
    """Return labels, whole numbers of any dtype, as an int64 array of xp.

    Raises
    ------
    InputError
        If they are not of the shape, or not whole numbers from 0 to n_classes − 1.
    """
    array = plain(y, "y", labels=True)
    wanted = f"give {tuple(shape)} whole numbers"
    if array.shape != tuple(shape):
        hint = ""
        if array.shape[:-1] == tuple(shape):
            hint = ", as numpy.asarray(y)[..., 0]" if array.shape[-1] == 1 else ", as y.argmax(axis=-1) of one-hot rows"
        elif array.shape == (1, *shape):
            hint = ", as numpy.ravel(y)"
        raise InputError(f"y: dtype {array.dtype}, shape {tuple(array.shape)} is not valid; {wanted}{hint}")
    own = namespace(array)
    if own.isdtype(array.dtype, "real floating"):
        check_finite(array, "y")
        if place := first_place(array != own.floor(array), own):
            raise InputError(
                f"y: dtype {array.dtype}, label {float(array[place])} at {list(place)} is not valid; {wanted}"
            )
    if not own.isdtype(array.dtype, "bool") and (place := first_place((array < 0) | (array >= n_classes), own)):
        raise InputError(
            f"y: a label lies outside 0 … {n_classes - 1}: {float(array[place]):.15g} at {list(place)}; there are "
            f"{n_classes} classes"
        )
    labels = own.astype(array, own.int64)
    return labels if own is xp else xp.asarray(to_numpy(labels))


def check_finite(array: Array, name: str) -> None:
    """Raise InputError, with the place, if the array holds NaN or infinity."""
    xp = namespace(array)
    if not xp.isdtype(array.dtype, "real floating") or bool(xp.all(finite := xp.isfinite(array))):
        return
    place = first_place(~finite, xp)
    word = "NaN" if bool(xp.isnan(array[place])) else f"{float(array[place])}"
    raise InputError(f"{name}: it holds {word} at {list(place)}; give finite numbers")


def _check_memory(array: Array, dtype: str, name: str) -> None:
    """Raise InputError if the numbers cannot be in memory: an array may repeat one number over any shape."""
    need = math.prod(array.shape) * np.dtype(dtype).itemsize
    if need > usable_memory() and not backend_of(namespace(array)).needs_gpu:
        raise InputError(
            f"{name}: shape {tuple(array.shape)} takes {format_bytes(need)} in {dtype}, more than the "
            f"{format_bytes(usable_memory())} that may be used; give a smaller array"
        )


def _common_dtype(arrays: Mapping[str, Array]) -> str:
    names = (str(array.dtype).rpartition(".")[2] for array in arrays.values())
    found = np.result_type(*("float32" if name == "float16" else name for name in names))
    return "float32" if found == np.float32 else "float64"
