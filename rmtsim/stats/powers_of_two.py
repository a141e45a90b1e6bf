"""Numbers over a power of two: their squares then keep to the range of float64, and no digit changes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Powers = npt.NDArray[np.int32]


def of_order_one(x: Values) -> tuple[Values, Powers]:
    """Return x (…, n) over a power of two for each row of n, and the exponents (…); rows with NaN stay as they are."""
    if not x.shape[-1]:
        return x, np.zeros(x.shape[:-1], dtype=np.int32)
    largest = np.max(np.abs(x), axis=-1)
    power = np.asarray(np.where(np.isfinite(largest), np.frexp(largest)[1], 0), dtype=np.int32)
    return np.asarray(np.ldexp(x, -power[..., None])), power


def times_power(value: Values, power: Powers) -> Values:
    """Return 2^power times values; NaN where float64 cannot hold it."""
    with np.errstate(over="ignore", under="ignore"):
        found = np.ldexp(value, power)
    return np.where(np.isfinite(found) & ((found != 0) | (value == 0)), found, math.nan)
