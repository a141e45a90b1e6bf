"""Numbers with their errors, as prose has them."""

from __future__ import annotations

import re

#: A number with its error in brackets, in units of the last digit, and a power of ten after it.
_BRACKETS = re.compile(r"([-+]?\d+(?:\.(\d+))?)\((\d+)\)(?:e([-+]?\d+))?")

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plus_minus(text: str) -> str:
    """Return text with errors after ± in place of brackets, powers of ten in place of e, and − for minus.

    Examples
    --------
    >>> plus_minus("0.045(2) → 0.1558(82), 1.01(79)e-4, -2.6e-05")
    '0.045 ± 0.002 → 0.1558 ± 0.0082, (1.01 ± 0.79) · 10⁻⁴, −2.6 · 10⁻⁵'
    """
    text = _BRACKETS.sub(_spelt, text)
    text = re.sub(r"(\d)e([-+]?\d+)", lambda found: f"{found[1]} · 10{_power(found[2])}", text)
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def _spelt(found: re.Match[str]) -> str:
    value, decimals, error, power = found.groups()
    digits = len(decimals or "")
    both = f"{value} ± {int(error) / 10**digits:.{digits}f}"
    return f"({both}) · 10{_power(power)}" if power else both


def _power(text: str) -> str:
    return str(int(text)).translate(_RAISED)
