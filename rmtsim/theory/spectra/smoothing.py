"""A law with an analytic density from a sample of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rmtsim.theory.spectra.analytic_law import AnalyticLaw, LogTable
from rmtsim.theory.spectra.discrete_law import DiscreteLaw, merged

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Maps = tuple[
    Callable[[Array], Array], Callable[[Complex], tuple[Complex, Complex]], Callable[[Complex], list[Complex]]
]  #: Λ, its two derivatives, its inverse

_BANDWIDTH = 0.04  # standard deviation of the kernel in y; of λ, 4 % of its size
_PER_SCALE = 6  # points of the table in the kernel's scale, 2/π of its standard deviation
_REACH = 60  # scales that the kernel is taken to: e^{−60}
_END = 5  # bandwidths beyond the extreme points that the density goes on
_LEAST = 1e-6  # of the root mean square: smaller λ are raised to it where all have one sign


def smoothed(sample: Array, share: float) -> AnalyticLaw | DiscreteLaw:
    """Law of an equally weighted ``sample`` of total probability ``share``, the rest of it at 0.

    A kernel estimate in y = log |λ| where all λ have one sign, in y = asinh(4λ/λ_rms) otherwise, of bandwidth 4 % or a
    tenth of y's standard deviation. The kernel is 1/cosh, whose sums have smooth logarithms even where points are
    sparse. The estimate, which goes on for five bandwidths beyond the sample, is then multiplied by the exponential of
    the polynomial in λ that gives it the mass and the first four moments of the sample, to rounding: the law of least
    relative entropy that has them (Csiszár, 1975). A constant sample is left as an atom.
    """
    scale = math.sqrt(float(np.mean(sample**2)))
    one_sign = scale > 0 and bool((sample > 0).all() or (sample < 0).all())
    if one_sign:
        y = np.log(np.maximum(np.abs(sample), _LEAST * scale))
    else:
        y = np.arcsinh(4 * sample / scale) if scale > 0 else sample
    spread = float(y.std())
    if spread < 1e-9:
        return merged(np.array([float(sample.mean())]), np.array([share]))
    bandwidth = min(_BANDWIDTH, spread / 10)
    step = bandwidth * 2 / math.pi / _PER_SCALE
    first, density = _kernel_estimate(y, step)
    points = step * (first + np.arange(len(density)))
    end = _END * bandwidth
    table = LogTable.where(step, first, density, (points > y.min() - end) & (points < y.max() + end))
    sign = -1.0 if one_sign and sample[0] < 0 else 1.0
    maps = _signed_exponential(sign) if one_sign else _hyperbolic_sine(scale / 4)
    table = _with_moments(table, maps[0](table.points), sample)
    ends = np.sort(maps[0](table.points[[0, -1]]))
    low, high = (min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)) if one_sign else map(float, ends)
    return AnalyticLaw(table, *maps, bound=high, low=low, nonzero=share)


def _kernel_estimate(y: Array, step: float) -> tuple[int, Array]:
    """First index and density on the grid step · k, each y shared out to its two neighbours."""
    margin = _REACH * _PER_SCALE
    place = y / step
    first = math.floor(place.min()) - margin
    cell = np.floor(place).astype(int)
    rest = place - cell
    size = math.ceil(place.max()) + margin + 2 - first
    counts = np.bincount(cell - first, 1 - rest, size) + np.bincount(cell - first + 1, rest, size)
    kernel = 1 / np.cosh(np.arange(-margin, margin + 1) / _PER_SCALE)
    kernel /= kernel.sum() * step * len(y)
    return first, np.maximum(np.convolve(counts, kernel, mode="same"), 1e-300)


def _with_moments(table: LogTable, values: Array, sample: Array) -> LogTable:
    """Return the table times exp(Σ_k c_k λ^k), k = 0 … 4, with the moments of the sample, by Newton's method."""
    centre, width = values.mean(), np.ptp(values) / 2
    powers = ((values - centre) / width)[:, None] ** np.arange(5)
    target = np.array([np.mean(((sample - centre) / width) ** k) for k in range(5)])
    c = np.zeros(5)
    for _ in range(50):
        weights = table.step * np.exp(table.log_density + powers @ c)
        excess = powers.T @ weights - target
        if np.abs(excess).max() < 1e-15:
            break
        step = np.linalg.lstsq(powers.T @ (weights[:, None] * powers), excess, rcond=1e-15)[0]
        c -= step / max(1.0, float(np.abs(powers @ step).max()))
    return LogTable(table.step, table.first, table.log_density + powers @ c)


def _signed_exponential(sign: float) -> Maps:
    return (
        lambda y: sign * np.exp(y),
        lambda y: (sign * np.exp(y), sign * np.exp(y)),
        lambda u: [np.log(sign * u)],
    )


def _hyperbolic_sine(scale: float) -> Maps:
    return (
        lambda y: scale * np.sinh(y),
        lambda y: (scale * np.cosh(y), scale * np.sinh(y)),
        lambda u: [np.arcsinh(u / scale)],
    )
