"""Axes that a user gives to draw on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rmtsim.errors import InputError
from rmtsim.text.words import abridge

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def given_axes(ax: Any) -> Axes:
    """Return the axes to draw on, by default pyplot's; raise InputError where others, or 3-D axes, are given."""
    from matplotlib.axes import Axes

    if ax is None:
        from matplotlib import pyplot

        return pyplot.gca()
    if not isinstance(ax, Axes) or hasattr(ax, "get_zlim"):
        raise InputError(f"ax: {abridge(ax)} is not valid; give one matplotlib Axes, as from pyplot.subplots()")
    return ax
