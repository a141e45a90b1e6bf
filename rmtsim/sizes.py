"""Sizes in bytes as people write them."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Any

from rmtsim.errors import InputError

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(text: str) -> float:
    """Return the bytes of "1.5GiB", "800 MB", "4G" or "2e9"; units with an i count in 1024, others in 1000.

    Raises
    ------
    InputError
        If it is no such size, or none above zero.
    """
    number = r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?|\.[0-9]+)"
    match = re.fullmatch(number + r"\s*([kmgt]?)(i?)b?\s*", text, re.IGNORECASE)
    value = float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[(match[2] or "").lower()] if match else 0.0
    if not 0 < value < math.inf:
        raise InputError(f"memory: {text!r} is no size; give one such as 1.5GiB or 800MB")
    return value


def as_bytes(size: Any) -> float:
    """Return bytes given as a number or as text for `parse_bytes`; raise InputError unless it is more than zero."""
    if isinstance(size, str):
        return parse_bytes(size)
    if isinstance(size, bool) or not isinstance(size, Real) or not 0 < float(size) < math.inf:
        raise InputError(f"memory: {size!r} is no size; give bytes, or a text such as '1.5GiB'")
    return float(size)


def format_bytes(value: float) -> str:
    """Return bytes as people read them, in units of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def format_count(value: int) -> str:
    """Return a count as people read it: whole below 10,000, then in three digits with k, M or G."""
    if value < 10_000:
        return str(value)
    for power, unit in ((9, "G"), (6, "M")):
        if value >= 0.9995 * 10**power:
            return f"{value / 10**power:.3g}{unit}"
    return f"{value / 1000:.3g}k"
