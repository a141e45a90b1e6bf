"""Sizes in bytes as people write them."""

from __future__ import annotations

import re

from rmtsim.errors import InputError

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(text: str) -> float:
    """Return the bytes of "1.5GiB", "800 MB" or "2000000000"; iB counts in 1024, B in 1000.

    Raises
    ------
    InputError
        If it is no such size, or none above zero.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:([kmgt]?)(i?)b)?\s*", text, re.IGNORECASE)
    value = float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[(match[2] or "").lower()] if match else 0.0
    if not value > 0:
        raise InputError(f"{text!r} is no size; give one such as 1.5GiB or 800MB")
    return value


def format_bytes(value: float) -> str:
    """Return bytes as people read them, in units of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"
