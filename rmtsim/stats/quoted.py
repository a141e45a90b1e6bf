"""A number with its standard error as it is quoted: 1.234(56)."""

from __future__ import annotations

import math


def quoted(value: float, std_error: float) -> str:
    """Return a number to two digits of its standard error, which stand in brackets in units of the last digit.

    Without a standard error (0 or NaN) the number has three digits, and with an infinite one too, in brackets.

    Examples
    --------
    >>> quoted(0.12345, 0.0021), quoted(1234.5, 67), quoted(1.5e-6, 2e-8), quoted(2.0, 0.0), quoted(1.0, math.inf)
    ('0.1235(21)', '1234(67)', '1.500(20)e-6', '2', '1(inf)')
    """
    if not std_error > 0 or not math.isfinite(value):
        return f"{value:.3g}"
    if math.isinf(std_error):
        return f"{value:.3g}(inf)"
    size = math.floor(math.log10(max(abs(value), std_error)))
    power = size if not -3 <= size < 5 else 0
    value, std_error = value / 10.0**power, float(f"{std_error / 10.0**power:.1e}")
    places = max(0, 1 - math.floor(math.log10(std_error)))
    return f"{value:.{places}f}({std_error * 10.0**places:.0f})" + (f"e{power}" if power else "")
