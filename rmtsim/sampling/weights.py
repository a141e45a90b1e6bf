"""How many last layers a draw has.

A draw is (X, W, V₁ … V_R). With variances B between the pairs (X, W) and W within them, a draw's mean has the variance
B + W/R, and costs f + R v: its share that all V have in common, and that of each V. So precision per second is largest
at R = √(f W/(v B)), and with any smaller R > 1 it is above that of R = 1.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

from rmtsim.errors import InputError
from rmtsim.kernels.cost import cost
from rmtsim.model.layers import CROSS, HIDDEN, OUTPUT
from rmtsim.model.loss import get_loss
from rmtsim.model.point import Point
from rmtsim.text.checks import check_size
from rmtsim.text.words import abridge

#: A number of last layers, or the name of the rule for it.
WeightsPerDraw: TypeAlias = int | Literal["auto"]
AUTO: Literal["auto"] = "auto"

#: Most last layers of a draw, and most that the rule gives it.
MAX_WEIGHTS, MOST_BY_RULE = 1000, 64


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


def _rule(point: Point, layers: tuple[str, ...], diagonal: str) -> int:
    """Return the number of last layers that pays at a point, whichever quantity of whichever layer is wanted.

    It depends on the point, the layers and the cost model, never on draws.
    """
    between = max(variance_ratio(point, layer) for layer in layers)
    each = cost(point, layers, diagonal, 2) - cost(point, layers, diagonal, 1)
    shared = cost(point, layers, diagonal, 1) - each
    if not math.isfinite(between):
        return 1
    return max(1, min(MOST_BY_RULE, int(math.sqrt(shared / (each * between)))))


def variance_ratio(point: Point, layer: str) -> float:
    """Return B/W at most: the variance between draws of (X, W) over that within them, of the worst quantity of a layer.

    Rough bounds of measured ratios (``python -m benchmarks --only weights``): a rule from a ratio pays as long as the
    true one is below R times it. They are infinite where the blocks do not depend on V.
    """
    C, d, N, m = point.n_classes, point.dim, point.n_samples, point.width or 0
    if layer == HIDDEN.name:  # few neurons, whose weights of the classes decide; with many classes these average out
        return 0.02 + 0.3 * C * (1 / d + 1 / N)
    if layer == CROSS.name:
        return 2.0
    if C == 1 or not get_loss(point.loss).softmax:
        return math.inf
    if layer == OUTPUT.name:
        return 0.25 * m if C == 2 else 4.0 * m
    return min(0.05 + 3 / d + 6 / N + 0.15 * (C - 2) ** 2, 13.0)
