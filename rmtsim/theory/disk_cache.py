"""A cache on disk for values of the theory that take seconds.

There is a file for each value in ``$RMTSIM_CACHE``, by default ``rmtsim`` in the user's cache directory; with
``RMTSIM_CACHE=`` (empty) nothing is kept. Each file holds the function and arguments, the value, and a checksum of all.
A file that is damaged, or belongs to other arguments or shapes, is ignored: the value is computed again. The directory
may be deleted at any time, and the theory works without it.
"""

from __future__ import annotations

import inspect
import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import scipy
from numpy.typing import NDArray

from rmtsim.files.durable_files import write_durably
from rmtsim.files.regular_files import open_regular
from rmtsim.text.json_text import parse_json

P = ParamSpec("P")
T = TypeVar("T")

#: Must change whenever a kept value changes by more than rounding; a test compares such values.
EDITION = 4

#: Most bytes of an entry; usual ones have a few hundred.
_MOST_BYTES = 1 << 16

#: Arguments of the values that are being computed, the innermost last.
_AT_WORK: list[Mapping[str, Any]] = []

#: Name of a field of the record → its shape.
Shapes = Mapping[str, tuple[int, ...]]


def kept_on_disk(record: Callable[..., T], shapes: Shapes) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep the values of a function of numbers in memory and on disk; returns a decorator.

    Parameters
    ----------
    record
        Makes the dataclass that the function returns from its fields, which are arrays of float64.
    shapes
        Their shapes.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        in_memory: dict[str, T] = {}
        signature = inspect.signature(function)

        @wraps(function)
        def remembering(*args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            question = _question(f"{function.__module__}.{function.__qualname__}", bound.arguments)
            if question not in in_memory:
                path = _path(question)
                found = _read(path, question, shapes)
                if found is None:
                    _AT_WORK.append(bound.arguments)
                    try:
                        in_memory[question] = function(*args, **kwargs)
                    finally:
                        _AT_WORK.remove(bound.arguments)  # other threads may have begun others
                    _write(path, question, in_memory[question])
                else:
                    in_memory[question] = record(**found)
            return in_memory[question]

        return remembering

    return decorate


def at_work() -> Mapping[str, Any]:
    """Return the arguments of the value that is being computed, by their names; nothing where none is."""
    return next(iter(_AT_WORK[-1:]), {})


def directory() -> Path | None:
    """Return the directory of the cache; None if nothing is to be kept, or no directory can be found."""
    chosen = os.environ.get("RMTSIM_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not root.is_absolute():  # not set, or to be ignored by its standard
        try:
            root = Path.home() / ".cache"
        except RuntimeError:  # no HOME, and no such user
            return None
    return root / "rmtsim" if root.is_absolute() else None


def _question(name: str, arguments: Mapping[str, Any]) -> str:
    """Return everything that a value depends on: the function, its arguments, and versions of the libraries."""
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in arguments.items()}
    by = {"edition": EDITION, "numpy": np.__version__, "scipy": scipy.__version__}
    return json.dumps([name, plain, by], sort_keys=True)


def _path(question: str) -> Path | None:
    folder = directory()
    return None if folder is None else folder / f"{_digest(question)}.json"


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _read(path: Path | None, question: str, shapes: Shapes) -> dict[str, NDArray[np.float64]] | None:
    """Return the fields of an entry, or None where it is missing or damaged."""
    if path is None:
        return None
    try:
        with open_regular(path) as file:
            entry = parse_json(file.read(_MOST_BYTES + 1), _MOST_BYTES)
        fields = entry["fields"]
        if entry != _entry(question, fields) or fields.keys() != shapes.keys():
            return None
        found = {name: _array(fields[name], shape) for name, shape in shapes.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # not there, or not what was written
        return None
    return found


def _write(path: Path | None, question: str, value: Any) -> None:
    fields = {name: _numbers(array) for name, array in asdict(value).items()}
    if path is None or any(number is not None and math.isinf(number) for v in fields.values() for number in v):
        return
    with suppress(OSError):  # a disk that is full or read-only: the value is valid all the same
        write_durably(path, json.dumps(_entry(question, fields)).encode(), path.parent)


def _entry(question: str, fields: Any) -> dict[str, Any]:
    return {"question": question, "fields": fields, "checksum": _digest(json.dumps([question, fields]))}


def _numbers(array: NDArray[np.float64] | float) -> list[float | None]:
    """Return the numbers of an array in order, None for NaN, which JSON does not have."""
    return [None if math.isnan(number) else float(number) for number in np.ravel(array)]


def _array(numbers: list[float | None], shape: tuple[int, ...]) -> NDArray[np.float64]:
    if not all(number is None or isinstance(number, float) for number in numbers):
        raise TypeError("not numbers")
    values = [math.nan if number is None else number for number in numbers]
    return np.array(values, dtype=np.float64).reshape(shape)
