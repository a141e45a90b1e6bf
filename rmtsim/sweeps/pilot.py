"""Pilot draws: an estimate of how many draws a sweep's target takes, from a few draws before it runs.

The draws are those that the sweep would begin with, so the answer is always the same, up to a point's size: where a
draw is costly, smaller ones of the same kind stand in for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from scipy.special import chdtri

from rmtsim.arrays.threads import single_threaded_blas
from rmtsim.kernels.cost import cost
from rmtsim.model.fixed_values import fixed_values
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.stopping import Tally

#: Work of all draws together, see `rmtsim.kernels.cost.cost`: about a second of a core.
_WORK = 1e10

#: Draws at a point, at least and at most; and points at which there are any.
_LEAST, _MOST = 16, 64
_POINTS = 24

#: Draws of all points together that few points may take more than ``_MOST`` for. With these a mean variance is known
#: better, but the range stays that of ``_MOST`` normal draws, for these here have heavy tails.
_TOGETHER = 768

#: Classes beyond which the spread hardly depends on them.
_MANY_CLASSES = 128

#: Power of the size, d and N at a time, with which the variance of a draw over its mean squared falls. Measured: in
#: the linear model the spread comes from the samples, with a hidden layer from its few neurons.
_FALL = {"linear": 2.0, "one_hidden": 0.0}

#: Factor by which the draws that are wanted may be off, either way, where smaller ones stood in.
_STAND_IN = 1.5

#: Probability that a range holds the number of draws that are wanted, if draws were normal.
_CONFIDENCE = 0.8


class Range(NamedTuple):
    """The expected value of a quantity, and the ends of its likely range."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True)
class Pilot:
    """The spread of a few draws of a point, or of a smaller one in its place.

    Attributes
    ----------
    point
        Of which point the draws are.
    draws
        How many.
    rse
        The largest relative standard error over all layers and quantities.
    speed
        Work a second.
    """

    point: Point
    draws: int
    rse: float
    speed: float

    def needs(self, point: Point, target_rse: float) -> Range:
        """Return the draws that ``point`` takes to reach a relative standard error."""
        shrunk = math.sqrt(self.point.dim * self.point.n_samples / (point.dim * point.n_samples))
        rse = self.rse * shrunk ** (_FALL[point.model] / 2)
        normal = min(self.draws, _MOST)
        found = needed(normal, rse * math.sqrt(self.draws / normal), target_rse)
        if self.point == point:
            return found
        return Range(found.low / _STAND_IN, found.expected, found.high * _STAND_IN)


def needed(draws: int, rse: float, target_rse: float) -> Range:
    """Return the draws that a target takes, from the relative standard error that ``draws`` draws have reached.

    The relative standard error falls as 1/√draws. The range is that of the variance of as many normal draws; with
    heavy tails the truth is rather above than below it.
    """
    excess = rse / target_rse
    expected = draws * excess * excess
    if not math.isfinite(expected):  # draws that are all equal say nothing
        return Range(0, math.inf, math.inf)
    free, tail = max(draws - 1, 1), (1 - _CONFIDENCE) / 2
    low, high = (float(free / chdtri(free, share)) for share in (tail, 1 - tail))
    return Range(low * expected, expected, high * expected)


def pilots(spec: Spec, points: Sequence[Point]) -> dict[Point, Pilot]:
    """Make a few draws, a second or two of them in all, and return for each of ``points`` those nearest to it.

    Where not even the smallest draws are cheap, with very many neurons, there are none.
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
    """Make draws of about the given work, and at most the given number."""
    sampling = spec.sampling
    weights = sampling.weights(point, spec.layers)  # of the smaller ones too, as the spread of a draw depends on it
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
    tally = Tally(spec.layers, {layer: fixed_values(small.loss, layer, small.n_classes) for layer in spec.layers})
    tally.add(made.values[:, :, :2])
    return Pilot(small, draws, tally.worst()[0], draws * price / max(seconds, 1e-6))


def _smaller(point: Point) -> Iterator[Point]:
    """Yield the point, then smaller ones.

    First with fewer classes, as long as they are many, for the spread hardly depends on these; then of half the dim and
    samples each; at last with few classes.
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
    """How far the sizes of two points are from each other, in powers of e."""
    sizes = ((p.n_classes, p.dim, p.n_samples, p.width or 1) for p in (a, b))
    return sum(abs(math.log(x / y)) for x, y in zip(*sizes, strict=True))
