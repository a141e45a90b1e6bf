"""From whatever a user gives as an array to a plain one: the one place where it is taken, or refused.

Taken are NumPy arrays and harmless subclasses of them (``np.matrix`` counts as the array of its entries), lists, pandas
tables, and all that offers DLPack or ``__array__`` on the CPU: PyTorch tensors, JAX arrays, polars, xarray, … Arrays of
CuPy stay where they are. What hides or lacks values, or holds no real numbers, is refused with the conversion to type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import Array, Module, native_module
from rmtsim.errors import InputError

#: Devices of DLPack whose memory the CPU reads: that of the CPU itself, and page-locked memory of CUDA and ROCm.
_HOST_DEVICES = (1, 3, 11)

#: What an array of real numbers can be made from, by the kind of its NumPy dtype.
_CONVERSIONS = {
    "c": "give real numbers, as {0}.real",
    "M": "give real numbers, as {0}.astype('int64')",
    "m": "give real numbers, as {0}.astype('int64')",
    "V": "give real numbers; raw bytes do not say what they hold (bfloat16 in a .npy file: save {0}.astype('float32'))",
}


def plain(value: Any, name: str, *, labels: bool = False) -> Array:
    """Return a user's numbers as a plain array: of CuPy or another native module if it is one, else of NumPy.

    Parameters
    ----------
    value, name
        The array, and the name of the argument, for messages.
    labels
        Whether these are class labels, for messages.

    Returns
    -------
    array
        Booleans, whole numbers, or floats of at most 64 bits, in the machine's byte order; no copy where none is
        needed.

    Raises
    ------
    InputError
        If it is not an array of real numbers, hides or lacks values, or lies in memory that the CPU does not read.
    """
    module = native_module(value)
    if module is not None and module is not np:
        if not module.isdtype(value.dtype, ("bool", "integral", "real floating")):
            raise InputError(f"{name}: dtype {value.dtype} is not valid; {_CONVERSIONS['c'].format(name)}")
        return value
    return _real(_on_host(value, name, labels), name, labels)


def _on_host(value: Any, name: str, labels: bool) -> npt.NDArray[Any]:
    """Return a NumPy array of what is given, of whatever dtype."""
    if isinstance(value, np.ndarray):
        if hasattr(value, "mask"):  # np.ma.MaskedArray, and others that follow it
            raise InputError(
                f"{name}: it is a masked array, whose hidden entries would count; give {name}.filled(VALUE), or leave "
                f"the masked samples out ({name}.compressed() where there is one axis)"
            )
        return np.asarray(value)
    if isinstance(value, list | tuple):
        try:
            return _stacked(value, name, labels)
        except RecursionError:  # a list that holds itself, or thousands of lists in each other
            raise InputError(f"{name}: lists are nested without end; give lists of numbers of one depth") from None
    if hasattr(value, "isna") and hasattr(value, "to_numpy"):
        return _from_pandas(value, name)
    for method in ("toarray", "todense"):
        if hasattr(value, method):
            raise InputError(f"{name}: {type(value).__name__} is sparse; give {name}.{method}()")
    if hasattr(value, "__dlpack__") or hasattr(value, "__array__"):
        return _exchanged(value, name)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind == "O" and not array.ndim:
        raise InputError(
            f"{name}: {type(value).__name__} is not an array; give an array, lists of numbers, a DataFrame or a tensor"
        )
    return array


def _real(array: npt.NDArray[Any], name: str, labels: bool) -> npt.NDArray[Any]:
    """Return it in a dtype that can be computed with, if it holds real numbers."""
    dtype = array.dtype
    if dtype.type.__module__ == "ml_dtypes" and "complex" not in dtype.name:
        return array.astype(np.float32)  # bfloat16, float8, int4, …: exact
    if dtype.names is not None:
        raise InputError(
            f"{name}: it is a structured array; give {name}[FIELD], or "
            f"numpy.lib.recfunctions.structured_to_unstructured({name})"
        )
    if dtype.kind == "f" and dtype.itemsize > 8:
        raise InputError(f"{name}: dtype {dtype} is not valid; give at most float64, as {name}.astype('float64')")
    if dtype.kind in "biuf":
        return array.astype(dtype.newbyteorder("="), copy=False)
    if labels and dtype.kind in "OUST":
        raise InputError(
            f"y: dtype {dtype}, shape {array.shape} is not valid; give whole numbers, as "
            "numpy.unique(y, return_inverse=True)[1]"
        )
    wanted = _CONVERSIONS.get(dtype.kind, "give real numbers, as numpy.asarray({0}, dtype='float64')").format(name)
    raise InputError(f"{name}: dtype {dtype} is not valid; {wanted}")


def _stacked(items: list[Any] | tuple[Any, ...], name: str, labels: bool) -> npt.NDArray[Any]:
    """Return nested lists of numbers or of arrays as one array."""
    parts = [
        item if isinstance(item, int | float | np.generic) else _part(item, f"{name}[{k}]", labels)
        for k, item in enumerate(items)
    ]
    try:
        return np.asarray(parts)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{name}: it is not an array of one shape; give lists of equal length at each depth"
            + (", (N,) whole numbers from 0 to C - 1" if labels else "")
        ) from None


def _part(item: Any, name: str, labels: bool) -> Any:
    if item is None or isinstance(item, str | bytes | complex):
        return item  # the message is then about the whole list
    if isinstance(item, list | tuple):
        return _stacked(item, name, labels)
    array = plain(item, name, labels=labels)
    return array if isinstance(array, np.ndarray) else _exchanged(array, name)


def _from_pandas(value: Any, name: str) -> npt.NDArray[Any]:
    """Return the values of a table, row by row as they stand, whatever its index."""
    missing = np.asarray(value.isna())
    if place := first_place(missing, np):
        raise InputError(
            f"{name}: a value is missing at {list(place)}; give {name}.dropna() (and the other arrays without those "
            f"rows), or {name}.fillna(VALUE)"
        )
    dtypes = list(value.dtypes) if missing.ndim == 2 else [value.dtype]
    kinds = [_numpy_dtype(dtype) for dtype in dtypes]
    other = next((k for k, kind in enumerate(kinds) if kind.kind not in "biufc"), None)
    if other is not None:
        column = f"column {value.columns[other]!r} of {name}" if missing.ndim == 2 else name
        raise InputError(
            f"{name}: dtype {dtypes[other]} is not valid; give {column} as numbers: .astype('float64'), or "
            "pandas.factorize(…)[0] for names"
        )
    return np.asarray(value.to_numpy(dtype=np.result_type(*kinds) if kinds else float))


def _numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """Return NumPy's dtype of the values of a pandas dtype; object if it has none."""
    for inner in ("numpy_dtype", "subtype"):  # nullable and Arrow's, sparse
        dtype = getattr(dtype, inner, dtype)
    if hasattr(dtype, "categories"):
        dtype = dtype.categories.dtype
    return dtype if isinstance(dtype, np.dtype) else np.dtype(object)


def _exchanged(value: Any, name: str) -> npt.NDArray[Any]:
    """Return what another library holds, through DLPack or ``__array__``."""
    wanted = f"give {name}.detach().cpu()"
    if getattr(value, "requires_grad", False):
        raise InputError(f"{name}: {type(value).__name__} requires a gradient, which is not followed here; {wanted}")
    is_jax = any(kind.__module__.partition(".")[0] in ("jax", "jaxlib") for kind in type(value).__mro__)
    reason = "it has no numbers that NumPy can read"
    try:
        if hasattr(value, "__dlpack_device__") and not is_jax:  # JAX copies from its devices by itself
            if int(value.__dlpack_device__()[0]) not in _HOST_DEVICES:
                raise InputError(
                    f"{name}: {type(value).__name__} lies in a device's memory; {wanted} (CuPy: give X, W, V all from "
                    f"CuPy, or {name}.get())"
                )
            try:
                return np.from_dlpack(value)
            except (BufferError, RuntimeError, TypeError, ValueError, AttributeError):
                pass  # as with bfloat16, which NumPy's DLPack does not know
        if hasattr(value, "__array__"):
            array = value.__array__()
            if isinstance(array, np.ndarray):  # may be a masked one, which np.asarray would uncover
                return _on_host(array, name, False)
            reason = "its __array__ gives no array"
    except InputError:
        raise
    except Exception as error:  # whatever another library raises
        reason = str(error).partition("\n")[0] or type(error).__name__
    if callable(getattr(value, "float", None)):  # PyTorch's bfloat16
        wider = value.float()
        if wider is not value and getattr(wider, "dtype", None) != getattr(value, "dtype", None):
            return _exchanged(wider, name)
    raise InputError(f"{name}: {type(value).__name__} cannot be read ({reason}); give numpy.asarray({name})")


def first_place(where: Array, xp: Module) -> tuple[int, ...]:
    """Return the place of the first True, or (); an array without axes has no places."""
    if not where.ndim or not bool(xp.any(where)):
        return ()
    index = int(xp.argmax(xp.reshape(xp.astype(where, xp.int8), (-1,))))
    return tuple(int(i) for i in np.unravel_index(index, where.shape))
