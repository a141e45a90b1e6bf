"""Plots of draws, and of measured heads, on axes of your own.

    decay           measured values against the number of classes, with the theory
    columns         any column of the summary against any other, by colour and panel, with the theory
    head            last layers of trained networks beside their nulls, over steps of training or models
    head_classes    the diagonal block of each class against its predicted frequency
    head_blocks     a map of the blocks between the most frequent classes

They draw on the Axes that they are given and change nothing else: no style, no backend, no current figure.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.column_choice import ColumnChoice
from rmtsim.figures.column_series import Series, color_column, series_of
from rmtsim.figures.given_axes import given_axes
from rmtsim.model.choices import RegimeName
from rmtsim.paper.head.own_axes import head, head_blocks, head_classes
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.summary import summarize
from rmtsim.store import Store
from rmtsim.text.checks import check_choice, is_several
from rmtsim.text.words import abridge, number_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["columns", "decay", "head", "head_blocks", "head_classes"]

Quantity: TypeAlias = Literal["diag_sqfro", "offdiag_sqfro", "ratio"]

#: The columns that have one value each within a sweep over C.
_OF_SWEEP = ["model", "loss", "layer", "width", "aspect_ratio", "dim", "n_samples", *ENSEMBLE]

_REGIMES: tuple[RegimeName, ...] = ("finite", "large_c")


def decay(
    draws: pd.DataFrame | Store | str | os.PathLike[str],
    quantity: Quantity = "ratio",
    hue: str | None = None,
    theory: bool | Collection[RegimeName] = True,
    ax: Axes | None = None,
) -> Axes:
    """Plot a measured quantity against the number of classes, with standard errors and the theory.

    Parameters
    ----------
    draws
        A table with the store's columns, one row per (point, seed, draw, layer), or a store or its location, for all
        its draws. Every sweep over C in it, with all else fixed, is a series.
    quantity
        ``"diag_sqfro"``, ``"offdiag_sqfro"`` or ``"ratio"``: a column of `rmtsim.summarize`.
    hue
        The column that decides on the colour of a series: ``model``, ``loss``, ``layer``, ``width``, ``aspect_ratio``,
        ``dim``, ``n_samples`` or one of the ensemble's. Series of one colour differ in their markers. By default it is
        the first in which series that have something to draw differ, of ``layer``, ``aspect_ratio``, ``dim`` and so on.
    theory
        Whether to draw the theory at the same d and N (solid) and its form as d, N → ∞, then C → ∞ (dashed), where
        there is one; or a selection of ``["finite", "large_c"]``. The former takes seconds for each C where there is
        a hidden layer with cross-entropy, the first time.
    ax
        The axes to draw on; by default those of ``matplotlib.pyplot.gca``.

    Returns
    -------
    Axes
        The axes, with logarithmic scales, labels and a legend. Faint marks: the tail is too heavy for the mean to be
        trusted (``heavy_tail_ratio`` and its like in `rmtsim.summarize`).

    Raises
    ------
    InputError
        If the quantity, the hue or a regime is not known, the table is none of draws, or `ax` is no Axes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import pandas as pd
    >>> import rmtsim
    >>> points = [rmtsim.Point("linear", "ce", C, dim=20, n_samples=40) for C in (2, 10, 50)]
    >>> draws = pd.concat([rmtsim.simulate(point, draws=8) for point in points])
    >>> ax = rmtsim.plot.decay(draws, ax=Figure().subplots())
    >>> ax.get_xlabel()
    'number of classes $C$'
    """
    check_choice("quantity", quantity, get_args(Quantity))
    if hue is not None:
        check_choice("hue", hue, _OF_SWEEP)
    regimes = _regimes(theory)
    means = summarize(draws)
    ax = given_axes(ax)
    if hue is None:
        hue = color_column(means[means[quantity] > 0], "n_classes", None) or "aspect_ratio"
    series = series_of(means, "n_classes", hue, None)
    _draw([(ax, series)], "n_classes", quantity, _colors(means, hue), regimes, always_log=True)
    return ax


def columns(
    draws: pd.DataFrame | Store | str | os.PathLike[str],
    x: str = "n_classes",
    y: str = "ratio",
    by: str | None = None,
    panel: str | None = None,
    *,
    where: str | None = None,
    theory: bool | Collection[RegimeName] = True,
    linear: Collection[str] = (),
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Plot any column of the summary against any other, by colour and panel, with standard errors and the theory.

    Parameters
    ----------
    draws
        A table with the store's columns, one row per (point, seed, draw, layer), or a store or its location, for all
        its draws.
    x, y
        Columns of `rmtsim.summarize`; that of ``y`` holds numbers. Where ``x`` is a size or a part of the ensemble, a
        series has all else fixed.
    by
        The column that decides on colours. Series of one colour differ in their markers. By default it is the first in
        which series differ, of ``layer``, ``aspect_ratio``, ``dim`` and so on; and none where ``x`` is measured.
    panel
        The column of which each value has axes of its own.
    where
        A condition on columns of the summary, such as ``"dim == 500 and loss == 'ce'"``; by default all are taken.
    theory
        Whether to draw the theory where it says something of ``y``: at the same C, d and N (solid), and against C its
        form as d, N → ∞, then C → ∞ (dashed); or a selection of ``["finite", "large_c"]``.
    linear
        Of ``["x", "y"]``, the axes that are to be linear. Others are logarithmic where no value is negative and those
        that are positive differ by more than a factor of 3; how many zeros are then left out stands in the legend.
    ax
        The axes to draw on, one for each panel; by default those of ``matplotlib.pyplot.gca``, and for several panels a
        new figure of pyplot.

    Returns
    -------
    list of Axes
        The axes, with labels and legends, one for each panel. Error bars are intervals of one standard error's level
        (68 %), longer upwards where draws are skew. Faint marks: the tail is too heavy for the mean to be trusted
        (``heavy_tail_ratio`` and its like in `rmtsim.summarize`).

    Raises
    ------
    InputError
        If a column, a regime or the condition is not valid, nothing is selected, there are too many series or panels,
        or axes that are none or another number.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> import pandas as pd
    >>> import rmtsim
    >>> points = [rmtsim.Point("linear", "mse", C, d, n_samples=2 * d) for C in (2, 10) for d in (5, 10, 20)]
    >>> draws = pd.concat([rmtsim.simulate(point, draws=8) for point in points])
    >>> axes = rmtsim.plot.columns(draws, x="dim", y="diag_sqfro", panel="n_classes", ax=Figure().subplots(1, 2))
    >>> [ax.get_title() for ax in axes]
    ['$C = 2$', '$C = 10$']
    """
    choice = ColumnChoice.of(x, y, by, panel, where, linear)
    wanted = choice.regimes(_regimes(theory))
    means = choice.select(summarize(draws))
    choice = choice.colored(means)
    panels = choice.panels(means)
    found = list(map(given_axes, _several(ax, len(panels))))
    colors = _colors(means, choice.by)
    _draw(list(zip(found, panels.values(), strict=True)), x, y, colors, wanted, choice.linear)
    for one, title in zip(found, panels if panel is not None else (), strict=False):
        one.set_title(title)
    return found


def _draw(
    panels: Sequence[tuple[Axes, Sequence[Series]]],
    x: str,
    y: str,
    colors: dict[Any, Any],
    regimes: Sequence[RegimeName],
    linear: Collection[str] = (),
    always_log: bool = False,
) -> None:
    """Draw series and a legend on axes, of which all are logarithmic or none."""
    from rmtsim.figures.column_drawing import draw_columns, legend_handles, log_axes  # which loads matplotlib

    logs = log_axes([one for _, series in panels for one in series], x, y, linear, always=always_log)
    for ax, series in panels:
        drawn = draw_columns(ax, series, x, y, colors, logs, regimes=regimes)
        shown = regimes if always_log else drawn.regimes
        ax.legend(handles=legend_handles(ax, shown, faint=drawn.faint), fontsize="small")


def _colors(means: pd.DataFrame, by: str | None) -> dict[Any, Any]:
    """Return colours of matplotlib's cycle for the values of a column."""
    from rmtsim.figures.column_drawing import CYCLE, palette, values_of

    return palette(values_of(means, by), [f"C{k}" for k in range(CYCLE)])


def _regimes(theory: bool | Collection[RegimeName]) -> list[RegimeName]:
    """Return the regimes to draw; raise InputError where one is not known."""
    if isinstance(theory, bool):
        return list(_REGIMES) if theory else []
    if not is_several(theory):
        choices = ", ".join(map(repr, _REGIMES))
        raise InputError(f"theory: {abridge(theory)} is not valid; give True, False, or a list of some of {choices}")
    return [check_choice("theory", regime, _REGIMES) for regime in theory]


def _several(ax: Any, panels: int) -> list[Any]:
    """Return as many axes as there are panels; raise InputError where others were given."""
    if ax is None and panels > 1:
        from matplotlib import pyplot

        return list(pyplot.subplots(1, panels, figsize=(4 * panels, 4), layout="constrained")[1])
    given = list(getattr(ax, "flat", ax)) if is_several(ax) else [ax]
    if len(given) != panels:
        raise InputError(f"ax: {len(given)} given, for {number_of(panels, 'panel')}; give one matplotlib Axes for each")
    return given
