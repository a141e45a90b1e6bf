"""Pilot draws: a few draws before a sweep runs, from which the number that its target takes is estimated.

They are the first draws that the sweep would make, so the estimate is the same every time. Where a draw of a point is
costly, draws of a smaller point of the same kind are made instead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import chdtri

from rmtsim.arrays.threads import single_threaded_blas
from rmtsim.kernels.cost import cost
from rmtsim.model.fixed_values import fixed_values
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.tallies import Tallies

#: Work of all pilot draws together, in the unit of `rmtsim.kernels.cost.cost`: about a second of one core.
_WORK = 1e10

#: The least and the greatest number of pilot draws of a point, and the greatest number of points that have any.
_LEAST, _MOST = 16, 64
_POINTS = 24

#: The number of draws of all points together up to which a point may have more than ``_MOST``, where there are few
#: points. More draws give a better estimate. Its range stays that of ``_MOST`` normal draws, since draws have heavier
#: tails than normal ones.
_TOGETHER = 768

#: Beyond this number of classes the spread of the draws hardly depends on it.
_MANY_CLASSES = 128

#: The relative variance of a draw falls as this power of the size, where d and N grow together. In the linear model the
#: spread comes from the samples, in a hidden layer from its few neurons. ``python -m benchmarks --only spreads`` has
#: measured means of 1.7 in the linear model, 0.1 to 0.4 in a hidden layer, 0.9 to 1.2 in an output layer and 0.7 to 1.1
#: in the cross layer; they fall with d, and scatter in a hidden layer, where tails are heavy.
_FALL = {"linear": 1.6, "hidden": 0.5, "output": 0.9, "cross": 0.8}

#: What such a power may be off by, and the least factor by which the number of draws may be, where draws of a smaller
#: point were made.
_FALL_ERROR, _STAND_IN = 0.4, 1.5

#: The probability that a range contains the number of draws that is needed, for normal draws.
_CONFIDENCE = 0.8


class Range(NamedTuple):
    """The expected value of a quantity, and the ends of its likely range."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True)
class Pilot:
    """The spread of a few draws of a point, or of a smaller point in its place.

    Attributes
    ----------
    point
        The point that was drawn.
    draws
        The number of draws.
    rse
        The largest relative standard error over all quantities, by layer.
    speed
        The work that was done per second.
    """

    point: Point
    draws: int
    rse: Mapping[str, float]
    speed: float

    def needs(self, point: Point, target_rse: float) -> Range:
        """Return the number of draws that ``point`` needs for a relative standard error."""
        shrunk = math.sqrt(self.point.dim * self.point.n_samples / (point.dim * point.n_samples))
        rse = max(rse * shrunk ** (_FALL[layer] / 2) for layer, rse in self.rse.items())
        normal = min(self.draws, _MOST)
        found = needed(normal, rse * math.sqrt(self.draws / normal), target_rse)
        if self.point == point:
            return found
        off = max(_STAND_IN, shrunk**-_FALL_ERROR)
        return Range(found.low / off, found.expected, found.high * off)


def needed(draws: int, rse: float, target_rse: float) -> Range:
    """Return the number of draws that a target needs, given the relative standard error of ``draws`` draws.

    The relative standard error falls as 1/√draws. The range is the confidence interval of the variance of so many
    normal draws. Where tails are heavy, the true number is more often above the range than below it.
    """
    excess = rse / target_rse
    expected = draws * excess * excess
    if not math.isfinite(expected):  # all draws are equal, so nothing is known about their spread
        return Range(0, math.inf, math.inf)
    free, tail = max(draws - 1, 1), (1 - _CONFIDENCE) / 2
    low, high = (float(free / chdtri(free, share)) for share in (tail, 1 - tail))
    return Range(low * expected, expected, high * expected)


def pilots(spec: Spec, points: Sequence[Point]) -> dict[Point, Pilot]:
    """Make a few draws at some points, which takes a second or two; return for each of ``points`` the nearest of these.

    With very many neurons even the smallest draws are costly. Then none are made, and the result is empty.
    """
    if not points:
        return {}
    chosen = list(points[:: math.ceil(len(points) / _POINTS)])
    most = max(_MOST, _TOGETHER // len(chosen))
    with single_threaded_blas():
        tried = {point: _pilot(spec, point, _WORK / len(chosen), most) for point in chosen}
    made = {point: pilot for point, pilot in tried.items() if pilot is not None}
    return {point: made[min(made, key=lambda other: _distance(point, other))] for point in points} if made else {}


def _pilot(spec: Spec, point: Point, work: float, most: int) -> Pilot | None:
    """Make pilot draws of a point that take about the given work; their number is at most ``most``."""
    sampling = spec.sampling
    weights = sampling.weights(point, spec.layers)  # smaller points get as many: the spread of a draw depends on it
    for small in _smaller(point):
        price = cost(small, spec.layers, sampling.diagonal, weights)
        if _LEAST * price <= work:
            break
    if _LEAST * price > _WORK:
        return None
    draws = max(_LEAST, min(most, int(work / price)))
    start = time.perf_counter()
    made = simulate_arrays(
        small,
        draws,
        seed=sampling.seed,
        dtype=sampling.dtype,
        layers=spec.layers,
        diagonal=sampling.diagonal,
        weights_per_draw=weights,
        threads=1,
    )
    seconds = time.perf_counter() - start
    rse: dict[str, float] = {}
    for k, layer in enumerate(spec.layers):
        tallies = Tallies((layer,), [{layer: fixed_values(small.loss, layer, small.n_classes)}])
        tallies.add(np.array([0]), made.values[None, :, [k], :2])
        rse[layer] = tallies.worst(0)[0]
    return Pilot(small, draws, rse, draws * price / max(seconds, 1e-6))


def _smaller(point: Point) -> Iterator[Point]:
    """Yield the point, then smaller and smaller ones.

    First the number of classes is halved as long as it is large, since the spread hardly depends on it then. After that
    dim and samples are halved together. At last the number of classes is halved further.
    """
    yield point
    for least in (_MANY_CLASSES, _LEAST):
        while point.n_classes > least:
            point = replace(point, n_classes=max(least, point.n_classes // 2))
            yield point
        while max(point.dim, point.n_samples) > _LEAST:
            point = replace(point, dim=max(1, point.dim // 2), n_samples=max(1, point.n_samples // 2))
            yield point


def _distance(a: Point, b: Point) -> float:
    """Return how far the sizes of two points are apart: the sum of the logarithms of their ratios."""
    sizes = ((p.n_classes, p.dim, p.n_samples, p.width or 1) for p in (a, b))
    return sum(abs(math.log(x / y)) for x, y in zip(*sizes, strict=True))
