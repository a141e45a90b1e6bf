"""How many last layers a draw has."""

from __future__ import annotations

from typing import Any

from rmtsim.model.point import Point
from rmtsim.text.checks import check_size

#: Most last layers of a draw.
MAX_WEIGHTS = 1000


def weights_of(asked: Any, point: Point, layers: tuple[str, ...], diagonal: str = "exact") -> int:
    """Return the number of last layers of each draw of a point, for what was ``asked``.

    Raises
    ------
    InputError
        If that is no whole number from 1 to `MAX_WEIGHTS`.
    """
    return check_size("weights_per_draw", asked, most=MAX_WEIGHTS)
