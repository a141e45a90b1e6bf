"""Checks of single values that a user gives: one of some names, a whole number in a range."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np

from rmtsim.errors import InputError
from rmtsim.text.words import abridge, did_you_mean

Choice = TypeVar("Choice", bound=str)

#: The upper bound of every size: element counts then fit into an int64, and typing errors are found.
MAX_SIZE = 10**9


def is_several(value: Any) -> bool:
    """Whether a value holds several: a text and an array without axes do not, though Python calls them iterable."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes) and getattr(value, "ndim", 1) != 0


def check_choice(name: str, value: Any, choices: Iterable[Choice]) -> Choice:
    """Return ``value`` if it is one of ``choices``; raise InputError, which lists them, if it is not."""
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:  # an array has no single truth value for "in"
        meant = did_you_mean(value, known)
        raise InputError(f"{name}: {abridge(value)} is not known{meant}; choose one of {', '.join(known)}")
    return value


def check_flag(name: str, value: Any) -> bool:
    """Return ``value`` as a bool; raise InputError unless it is True or False, of Python or NumPy."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name}: {abridge(value)} is not valid; give True or False")
    return bool(value)


def check_size(name: str, value: Any, least: int = 1, most: int = MAX_SIZE) -> int:
    """Return ``value`` as an int; raise InputError unless it is a whole number from ``least`` to ``most``."""
    try:
        size = operator.index(value)
    except TypeError:
        size = least - 1
    if isinstance(value, bool) or not least <= size <= most:
        meant = isinstance(value, float) and least <= value <= most and value.is_integer()  # as 1e3
        as_meant = f", such as {int(value)}" if meant else ""
        raise InputError(f"{name}: {abridge(value)} is not valid; give a whole number from {least} to {most}{as_meant}")
    return size
