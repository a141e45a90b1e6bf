"""The drawing of a head through training, or of several: norms beside nulls, blocks of each class, maps of blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from rmtsim.figures.parts import part
from rmtsim.figures.style import colors, legend_below, paper_style, title
from rmtsim.paper.head.axes import BAR_LABEL, draw_blocks, draw_classes, draw_norms, map_norm

#: Measurements whose classes and whose blocks are shown, at most.
MOST_SHOWN = 3

#: Colours of the classes of the first, the second and the third measurement.
_PLACES = (9, 3, 0)


def plot_head(numbers: pd.DataFrame) -> Figure:
    """Draw the ratio and the share outside over all measurements, and classes and blocks of the first and the last.

    Parameters
    ----------
    numbers
        As `rmtsim.paper.head.Head.numbers` returns them.
    """
    norms, classes, powers, blocks = (part(numbers, name) for name in ("norms", "classes", "powers", "blocks"))
    classes, blocks = (table[table["name"].isin(chosen_names(table))] for table in (classes, blocks))
    maps = list(dict.fromkeys(blocks["name"]))
    below = bool(len(classes)) + len(maps)
    with paper_style():
        figure = Figure(figsize=(10, 7.4 if below else 4.2), layout="constrained")
        upper, *others = figure.subfigures(2 if below else 1, 1, squeeze=False)[:, 0]
        for ax, quantity in zip(upper.subplots(1, 2), ("ratio", "outside"), strict=True):
            entries = draw_norms(ax, norms, quantity, colors())
        legend_below(upper, entries, columns=3)
        for lower in others:
            width = [1.25] * bool(len(classes)) + [1.0] * len(maps)
            axes = list(lower.subplots(1, below, squeeze=False, width_ratios=width)[0])
            if len(classes):
                _draw_classes(axes.pop(0), classes, powers)
            _draw_maps(lower, axes, blocks, maps)
        title(figure, _title(norms))
    return figure


def chosen_names(table: pd.DataFrame) -> list[str]:
    """Return the names whose rows are shown: all, or of many the first, the last and one in the middle."""
    names = list(dict.fromkeys(table["name"]))
    if len(names) <= MOST_SHOWN:
        return names
    along = bool(table["step"].notna().all())
    places = (0, len(names) - 1) if along else np.linspace(0, len(names) - 1, MOST_SHOWN).round().astype(int)
    return [names[place] for place in places]


def _draw_classes(ax: Axes, classes: pd.DataFrame, powers: pd.DataFrame) -> None:
    """Draw the classes, with a legend above them."""
    draw_classes(ax, classes, powers, colors(), _PLACES)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1, frameon=False, fontsize="small")


def _draw_maps(figure: SubFigure, axes: list[Axes], blocks: pd.DataFrame, maps: list[str]) -> None:
    norm = map_norm(blocks)
    for ax, name in zip(axes, maps, strict=True):
        shown = blocks[blocks["name"] == name]
        mesh = draw_blocks(ax, shown, norm)
        if ax is not axes[0]:
            ax.set_ylabel("")
        ax.set_title(f"step {name}" if shown["step"].notna().all() else name)
    if axes:
        figure.colorbar(
            mesh, ax=axes, shrink=0.78 if len(axes) < MOST_SHOWN else 0.55, aspect=20, pad=0.02, label=BAR_LABEL
        )


def _title(norms: pd.DataFrame) -> str:
    """Return what is the same for all measurements."""
    shared = [
        f"${letter} = {norms[name].iloc[0]}$"
        for name, letter in (("n_classes", "C"), ("dim", "d"), ("batch", "N"))
        if norms[name].nunique() == 1
    ]
    what = "The last layer through training" if norms["step"].notna().all() else "Last layers of trained networks"
    return ", ".join([what, *shared])
