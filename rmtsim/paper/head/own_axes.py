"""Plots of measured heads on axes of the user's own, as `rmtsim.plot` has them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.given_axes import given_axes
from rmtsim.figures.parts import part
from rmtsim.model.choices import NULLS, NullName
from rmtsim.paper.head.numbers import named, powers, rows_of
from rmtsim.text.checks import check_choice, is_several
from rmtsim.text.words import abridge

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours of matplotlib's cycle.
_CYCLE = 10


def head(
    measurements: Any,
    quantity: Literal["ratio", "outside"] = "ratio",
    nulls: bool | Collection[NullName] = True,
    ax: Axes | None = None,
) -> Axes:
    """Plot the ratio or the share outside of last layers of trained networks, with standard errors, beside the nulls.

    Parameters
    ----------
    measurements
        What `rmtsim.measure` returned, or names of files that ``rmtsim measure --json`` printed. A mapping of steps of
        training to them: checkpoints of one network, over steps. A mapping of names to them, or a list of them: models,
        side by side.
    quantity
        ``"ratio"``, off-diagonal over diagonal blocks, or ``"outside"``, the share of the squared norm outside the
        diagonal blocks.
    nulls
        Whether to draw the nulls that the measurements have, or some of ``["theorem", "logit_variance", "decoupled",
        "gaussian"]``.
    ax
        The axes to draw on; by default those of ``matplotlib.pyplot.gca``.

    Returns
    -------
    Axes
        The axes, with a logarithmic scale, labels and a legend.

    Raises
    ------
    InputError
        If there are no such measurements, checkpoints differ in C, d or N, a choice is not known, or `ax` is no Axes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> V, X = rng.normal(size=(20, 8)), rng.normal(size=(400, 8))
    >>> found = {step: rmtsim.measure((1 + step) * V, X, batch=50, nulls="theorem") for step in (0, 1, 4)}
    >>> ax = rmtsim.plot.head(found, ax=Figure().subplots())
    >>> ax.get_xlabel(), [text.get_text() for text in ax.get_xticklabels()]
    ('steps of training', ['0', '1', '4'])
    """
    check_choice("quantity", quantity, ("ratio", "outside"))
    if not isinstance(nulls, bool) and not is_several(nulls):
        raise InputError(f"nulls: {abridge(nulls)} is not valid; give True, False, or a list of some of {NULLS}")
    wanted = (NULLS if nulls else ()) if isinstance(nulls, bool) else [check_choice("nulls", n, NULLS) for n in nulls]
    rows = _head_rows(measurements)
    ax = given_axes(ax)
    from rmtsim.paper.head.axes import draw_norms

    ax.legend(handles=draw_norms(ax, part(rows, "norms"), quantity, _palette(), wanted), fontsize="small")
    return ax


def head_classes(measurements: Any, ax: Axes | None = None) -> Axes:
    """Plot the squared norm of each diagonal block of last layers against the predicted frequency of its class.

    Parameters
    ----------
    measurements
        As in `head`, each measured with ``classes=True`` (``--classes-out``).
    ax
        The axes to draw on; by default those of ``matplotlib.pyplot.gca``.

    Returns
    -------
    Axes
        The axes, with logarithmic scales, labels and a legend, which has the power of the frequency that the norms of
        each follow.

    Raises
    ------
    InputError
        If there are no such measurements, one has no table of classes, or `ax` is no Axes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> V, X = rng.normal(size=(20, 8)), rng.normal(size=(400, 8))
    >>> found = rmtsim.measure(V, X, batch=50, nulls=(), classes=True)
    >>> rmtsim.plot.head_classes(found, ax=Figure().subplots()).get_xlabel()
    'frequency of the class as predicted'
    """
    rows = _head_rows(measurements, "classes", "classes=True (--classes-out FILE)")
    ax = given_axes(ax)
    from rmtsim.paper.head.axes import draw_classes

    classes = part(rows, "classes")
    draw_classes(ax, classes, powers(classes), _palette(), range(_CYCLE))
    ax.legend(fontsize="small")
    return ax


def head_blocks(measurement: Any, ax: Axes | None = None, *, colorbar: bool = True) -> Axes:
    """Plot a map of the squared norms of the blocks between the most frequent classes of a last layer.

    Parameters
    ----------
    measurement
        One that was measured with ``blocks=K``: what `rmtsim.measure` returned, or the name of a file that ``rmtsim
        measure --json`` printed.
    ax
        The axes to draw on; by default those of ``matplotlib.pyplot.gca``.
    colorbar
        Whether to draw one beside it.

    Returns
    -------
    Axes
        The axes. Colours are ‖H_ij‖² over the mean of all diagonal blocks, on a logarithmic scale.

    Raises
    ------
    InputError
        If it is no such measurement, or `ax` is no Axes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> V, X = rng.normal(size=(20, 8)), rng.normal(size=(400, 8))
    >>> found = rmtsim.measure(V, X, batch=50, nulls=(), blocks=6)
    >>> rmtsim.plot.head_blocks(found, ax=Figure().subplots()).get_ylabel()
    'class $i$'
    """
    rows = _head_rows([measurement], "blocks", "blocks=K (--blocks K)")
    ax = given_axes(ax)
    from rmtsim.paper.head.axes import BAR_LABEL, draw_blocks

    mesh = draw_blocks(ax, part(rows, "blocks"))
    if colorbar:
        ax.figure.colorbar(mesh, ax=ax, label=BAR_LABEL)
    return ax


def _head_rows(measurements: Any, needed: str = "norms", how: str = "") -> pd.DataFrame:
    """Return the rows of measurements; raise InputError where one has none of those that are needed."""
    found = named(measurements)
    rows = rows_of(found)
    there = set(part(rows, needed)["name"])
    for shown in found:
        if shown.name not in there:
            called = f"that of {shown.measurement.weights}" if len(found) == 1 else repr(shown.name)
            raise InputError(f"measurements: {called} has no {needed}; measure it with {how}")
    return rows


def _palette() -> list[str]:
    return [f"C{k}" for k in range(_CYCLE)]
