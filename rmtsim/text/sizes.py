"""Formatting and parsing of amounts for people: bytes, work, counts, times. All messages use these functions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Real
from typing import Any

from rmtsim.errors import InputError

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(text: str) -> float:
    """Return the bytes of "1.5GiB", "800 MB", "4G" or "2e9"; units with an i count in 1024, others in 1000.

    Raises
    ------
    InputError
        If the text is not such a size, or not above zero.
    """
    number = r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?|\.[0-9]+)"
    match = re.fullmatch(number + r"\s*([kmgt]?)(i?)b?\s*", text, re.IGNORECASE)
    value = float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[(match[2] or "").lower()] if match else 0.0
    if not 0 < value < math.inf:
        raise InputError(f"memory: {text!r} is not a valid size; give one such as 1.5GiB or 800MB")
    return value


def as_bytes(size: Any) -> float:
    """Return bytes given as a number or as text for `parse_bytes`; raise InputError unless it is more than zero."""
    if isinstance(size, str):
        return parse_bytes(size)
    if isinstance(size, bool) or not isinstance(size, Real) or not 0 < float(size) < math.inf:
        raise InputError(f"memory: {size!r} is not a valid size; give bytes, or a text such as '1.5GiB'")
    return float(size)


def format_bytes(value: float) -> str:
    """Return bytes as people read them, in units of 1024: 1.5 GiB."""
    return _scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])


def format_flops(value: float) -> str:
    """Return floating-point operations as people read them, in units of 1000: 12.3 Tflop."""
    return _scaled(value, 1000, ["flop", *(f"{prefix}flop" for prefix in "kMGTPE")])


def format_count(value: float) -> str:
    """Return a count as people read it: whole below a million, then in three digits: 9,999, 1.23 million."""
    if value < 1_000_000:
        return str(round(value)) if value < 10_000 else f"{round(value):,}"
    return _scaled(min(value, 1e300) / 1_000_000, 1000, ["million", "billion", "trillion"])


def format_seconds(value: float) -> str:
    """Return a time as people read it, in its two largest units: 45 s, 3 min 25 s, 2 h 5 min, 3 days 4 h, 2.5 years."""
    if value >= 2 * _YEAR:
        return _scaled(value / _YEAR, 1000, ["years"])
    left, parts = max(1, round(value)), []
    for seconds, unit in ((86_400, "day"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, seconds)
        parts.append(f"{count} {unit}{'s' * (unit == 'day' and count > 1)}" if count else "")
    first = next(k for k, part in enumerate(parts) if part)
    return " ".join(part for part in parts[first : first + 2] if part)


def format_share(value: float) -> str:
    """Return a share in percent: "1.23%", of small ones two digits: "0.0012%"; above ten only that: "over 1000%"."""
    if 1e-12 < value < 1e-3:
        return f"{100 * value:.{-math.floor(math.log10(value)) - 1}f}".rstrip("0") + "%"
    if 0 < value < 1e-3:
        return f"{100 * value:.2g}%"
    return f"{value:.2%}" if value <= 10 else "over 1000%"


def about(size: str) -> str:
    """Return an estimate in words: "about 5 million draws", or "over 1000 trillion draws" as it is.

    Examples
    --------
    >>> about("12 draws"), about("over 1000%")
    ('about 12 draws', 'over 1000%')
    """
    return size if size.startswith("over ") else f"about {size}"


_YEAR = 365.25 * 86_400


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    """Return a value with three digits, in the first unit in which it is below ``base``, or as over all units."""
    for unit in units:
        if value < base * (1 - 5e-4):  # which rounds to the base
            return f"{_digits(value)} {unit}"
        value /= base
    return f"over {base} {units[-1]}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
