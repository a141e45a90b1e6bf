"""How many last layers a draw has.

A draw is (X, W, V₁ … V_R). With variances B between the pairs (X, W) and W within them, its means have the variance
B + W/R, and it costs f + R v: what all V have in common, and what each takes. So precision per second is largest near
R = √(f W/(v B)).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from rmtsim.errors import InputError
from rmtsim.kernels.cost import FLOPS_PER_GRAM_ENTRY, cost, pairs_of_classes, point_tiling
from rmtsim.model.ensemble import LECUN
from rmtsim.model.layers import CROSS, HIDDEN, LAST, OUTPUT
from rmtsim.model.loss import get_loss
from rmtsim.model.point import Point
from rmtsim.text.checks import check_size
from rmtsim.text.words import abridge

#: A number of last layers, or the name of the rule for it.
WeightsPerDraw: TypeAlias = int | Literal["auto"]
AUTO: Literal["auto"] = "auto"

#: Most last layers of a draw, and most that the rule gives it.
MAX_WEIGHTS, MOST_BY_RULE = 1000, 64

#: The rule gives the fewest last layers that have this share of the best gain, and one where that is less than the
#: cost model may err by.
_NEARLY, _WORTH = 0.99, 1.2


def weights_of(asked: Any, point: Point, layers: tuple[str, ...], diagonal: str = "exact") -> int:
    """Return the number of last layers of each draw of a point, for what was ``asked``: a number, or ``"auto"``.

    Raises
    ------
    InputError
        If it is neither.
    """
    if isinstance(asked, str) and asked == AUTO:
        return _rule(point, layers, diagonal)
    try:
        return check_size("weights_per_draw", asked, most=MAX_WEIGHTS)
    except InputError:
        advice = f"give a whole number from 1 to {MAX_WEIGHTS}, or {AUTO}"
        raise InputError(f"weights_per_draw: {abridge(asked)} is not valid; {advice}") from None


@lru_cache(maxsize=4096)
def _rule(point: Point, layers: tuple[str, ...], diagonal: str) -> int:
    """Return the number of last layers that pays at a point, whichever quantity of whichever layer is wanted.

    It depends on the point, the layers and the cost model, never on draws. Of several that are nearly as good it is the
    smallest, with which least is lost where the model errs.
    """
    between = max(variance_ratio(point, layer) for layer in layers)
    if not math.isfinite(between):
        return 1
    gains = {R: gain(point, layers, diagonal, R, between) for R in range(1, MOST_BY_RULE + 1)}
    best = max(gains.values())
    return next(R for R, found in gains.items() if found >= _NEARLY * best) if best >= _WORTH else 1


def gain(point: Point, layers: tuple[str, ...], diagonal: str, weights: int, between: float) -> float:
    """Return the precision per second over that with one last layer, by the cost model, where B/W is ``between``."""
    one, several = (_time(point, layers, diagonal, count) for count in (1, weights))
    return one / several * (1 + between) / (between + 1 / weights)


def _time(point: Point, layers: tuple[str, ...], diagonal: str, weights: int) -> float:
    """Return the time of a draw in flops: its cost, and for each V the passes over the N² entries of Gram matrices."""
    passes = 0
    if get_loss(point.loss).softmax and not set(LAST).isdisjoint(layers):
        sizes = point.n_classes, point.width or point.dim, point.n_samples
        passes = 1 if pairs_of_classes(*sizes, point_tiling(point), weights) else weights
    return cost(point, layers, diagonal, weights) + FLOPS_PER_GRAM_ENTRY * passes * float(point.n_samples) ** 2


def variance_ratio(point: Point, layer: str) -> float:
    """Return B/W at most: the variance between draws of (X, W) over that within them, of the worst quantity of a layer.

    Rough bounds of measured ratios (``python -m benchmarks --only weights``); the lower the true one, the more several
    last layers gain. They are infinite where the blocks do not depend on V, and where no bound is known: with
    orthogonal weights, of which norms vary little, and with other activations than ReLU but for the hidden layer and
    two classes. Correlated or heavy-tailed data count as those of fewer dimensions.
    """
    C, N, m = point.n_classes, point.n_samples, point.width or 0
    few = _per_dimension(point)
    usual = point.ensemble.activation == LECUN.activation
    if point.ensemble.weights == "orthogonal" or not math.isfinite(few):
        return math.inf
    size, more = few + 1 / N, 1.0 if usual else 2.0
    if layer == HIDDEN.name:  # few neurons, whose weights of the classes decide; with many classes these average out
        least, slope = (0.005 + 0.4 * size, 0.05) if get_loss(point.loss).softmax else (0.03, 0.1)
        return more * (least + C * (slope * size + 2 * size**2) * max(1.0, m / 16))
    if not usual and C > 2:
        return math.inf
    if layer == CROSS.name:
        return more * (1.0 + 0.4 * C)
    if C == 1 or not get_loss(point.loss).softmax:
        return math.inf
    if layer == OUTPUT.name:
        return more * 0.25 * m if C == 2 else 6.0 * m
    return min(0.05 + 3 * few + 6 / N + 0.15 * (C - 2) ** 2, 13.0)


def _per_dimension(point: Point) -> float:
    """Return 1/d, for other laws that of Gaussian data of the same spread: of |x|² or of x·x', whichever is larger."""
    law, d = point.ensemble.data_law, point.dim
    if point.ensemble.data == LECUN.data:
        return 1 / d
    length, angle = (law.fourth_moment(d) / d**2 - 1) / 2, law.pair_moment(d) / d**2
    return max(length, angle) if math.isfinite(length) and math.isfinite(angle) else math.inf
