"""Drawings of Hessians: maps of |entries| and of block norms, with the shares of the squared norm in their titles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, SubFigure

from rmtsim.figures.matplotlib_setup import settings
from rmtsim.paper.norm_shares import MAPS, PICTURE_KEYS, in_percent, layer_names, neurons_of, problem_of

Values = npt.NDArray[np.float64]

#: Entries above this fraction of the largest have one colour, as in the paper's pictures.
CLIP = {"whole": 1 / 100, "linear": 1 / 100, "hidden": 1 / 10, "output": 1 / 100, "strip": 1 / 4}
_CLIP_OF_LAYERS = 1 / 100

#: Decades of block norms that the colours span.
_DECADES = 4

_COLOURS = "cividis"

#: Style of these figures.
STYLE: dict[Any, Any] = {"font.size": 8, "font.family": "DejaVu Sans", "axes.linewidth": 0.6}

#: Definitions of the shares in the titles.
_WORDS = "outside: share of the squared norm outside the diagonal blocks"
_ON_STRIPES = "; stripes: share of the residual's term in that of the cross layer"

#: Lines are drawn between blocks where there are at most this many a side.
_MOST_BLOCKS = 40


def plot_pictures(
    maps: pd.DataFrame, shares: pd.DataFrame, heading: Sequence[str], views: tuple[str, ...] | None = None
) -> Figure:
    """Draw a column for each picture, and a row for each view of it; the views of a single picture in one row.

    Parameters
    ----------
    maps, shares
        The parts of the numbers of these names.
    heading
        Lines above all: first the title, and after the sizes all others.
    views
        Of ``"whole"``, layers' names, ``"strip"`` and ``"blocks"``; by default all that the maps have, without layers
        of deep networks.
    """
    views = views or default_views(maps)
    n_pictures = len(maps[PICTURE_KEYS].drop_duplicates())
    size = (2.3 * n_pictures, 2.45 * len(views)) if n_pictures > 1 else (3.5 * len(views), 2.9)
    with settings(STYLE):
        figure = Figure(figsize=(0.5 + size[0], 0.7 + size[1]), layout="constrained")
        draw_pictures(figure, maps, shares, views)
        title, *training = heading
        sizes = _sizes(maps, int(shares["draws"].max()))
        lines = [title, sizes, *training, _WORDS + _ON_STRIPES * ("strip" in views)]
        figure.suptitle("\n".join(lines), fontsize=10)
    return figure


def _sizes(maps: pd.DataFrame, draws: int) -> str:
    """Return the sizes that all pictures share, and the number of their draw."""
    columns = {"C": "n_classes", "d": "dim", "N": "n_samples", "m": "hidden"}
    values = {letter: maps[column].unique() for letter, column in columns.items()}
    shared = [f"${letter} = {found[0]}$" for letter, found in values.items() if len(found) == 1 and found[0] != ""]
    return ", ".join(shared).replace("-", ", ") + f"; maps of the first of {draws} draws" * (draws > 1)


def draw_pictures(figure: Figure | SubFigure, maps: pd.DataFrame, shares: pd.DataFrame, views: tuple[str, ...]) -> None:
    """Draw on a figure, or a part of one, what `plot_pictures` does, without the title."""
    pictures = list(maps[maps["quantity"].isin(MAPS)].groupby(PICTURE_KEYS, sort=False))
    of_picture = shares.set_index([*PICTURE_KEYS, "share"])
    is_trained = len({key[1] for key, _ in pictures}) > 1
    single = len(pictures) == 1
    grid = figure.subplots(*((1, len(views)) if single else (len(views), len(pictures))), squeeze=False)
    grid = grid.T if single else grid
    for axes, (key, picture) in zip(grid.T, pictures, strict=True):
        case, _, progress = key
        neurons = neurons_of(problem_of(picture))
        head = f"{case}, {progress:.0%} of steps" if is_trained else str(case)
        for ax, view in zip(axes, views, strict=True):
            words = _share_in_words(of_picture, key, view, neurons)
            ax.set_title("\n".join([head, words] if ax is axes[0] and not single else [words]), fontsize=8)
            if view == "blocks":
                _draw_blocks(ax, picture)
            elif view == "strip":
                _draw_strip(ax, picture, neurons)
            else:
                draw_map(ax, picture, view, neurons)
    for axes, view in zip(grid, views, strict=True):
        axes[0].set_ylabel(_NAMES.get(view, view))
        colour_bar(figure, axes, view)


_NAMES = {
    "whole": "full Hessian, |entry|",
    "linear": "Hessian, |entry|",
    "hidden": "hidden layer, |entry|",
    "output": "output layer, |entry|",
    "strip": "cross layer, first classes, |entry|",
    "blocks": "blocks, root mean square entry",
}


def default_views(pictures: pd.DataFrame) -> tuple[str, ...]:
    """Return the views of a network's Hessian that a table has."""
    names = layer_names(neurons_of(problem_of(pictures)))
    if len(names) == 1:
        return ("linear", "blocks")
    strip = ("strip",) if "column_edge" in set(pictures["quantity"]) else ()
    return ("whole", *names, *strip, "blocks") if len(names) == 2 else ("whole", "blocks")


def _share_in_words(shares: pd.DataFrame, key: tuple[Any, ...], view: str, neurons: list[int]) -> str:
    """Return the share outside the diagonal blocks, with its standard error and the theory's."""
    share = {"blocks": "cross", "strip": "stripes"}.get(view, view)
    if (*key, share) not in shares.index:
        return "" if view != "blocks" else f"{sum(neurons)} blocks"
    row = shares.loc[(*key, share)]
    words = {"cross": "between layers", "stripes": "stripes"}.get(share, "outside")
    text = f"{words} {in_percent(row['value'], row['std_error'])}"
    if np.isnan(row["theory"]):
        return text
    return f"{text}\ntheory {in_percent(row['theory'], row['std_error'], with_error=False)}"


def _array(picture: pd.DataFrame, quantity: str, layer: int = 0, other: int | None = None) -> Values:
    """Return a quantity of a part of the Hessian as a matrix."""
    other = layer if other is None else other
    rows = picture[(picture["quantity"] == quantity) & (picture["layer"] == layer) & (picture["other"] == other)]
    out = np.zeros((rows["i"].max() + 1, rows["j"].max() + 1))
    out[rows["i"], rows["j"]] = rows["value"]
    return out


def _part(view: str, neurons: list[int]) -> int:
    """Return the number of the layer that a view shows, 0 for all."""
    return 0 if view in ("whole", "linear") else layer_names(neurons).index(view) + 1


def draw_map(ax: Axes, picture: pd.DataFrame, view: str, neurons: list[int]) -> None:
    """Draw the mean |entry| of each cell of a view, over the clipped largest |entry|; axes in parameters."""
    part = _part(view, neurons)
    edges, mean = _array(picture, "edge", part).ravel(), _array(picture, "mean", part)
    top = _array(picture, "largest", part).max() * CLIP.get(view, _CLIP_OF_LAYERS) or 1.0
    ax.pcolormesh(edges, edges, mean / top, norm=Normalize(0, 1), cmap=_COLOURS, rasterized=True)
    _frame(ax, edges)
    if part == 0 and len(neurons) > 1:
        ends = np.cumsum(np.multiply(_inputs(picture, neurons), neurons))[:-1]
        _lines(ax, ends, ends, 0.8)
    blocks = neurons if part == 0 else [neurons[0 if view == "hidden" else -1]]
    if sum(blocks) <= _MOST_BLOCKS:
        sizes = _inputs(picture, neurons) if part == 0 else [int(edges[-1] - edges[0]) // blocks[0]]
        ends = edges[0] + np.cumsum(np.repeat(sizes, blocks))[:-1]
        _lines(ax, ends, ends, 0.25)


def _lines(ax: Axes, across: Values, down: Values, width: float) -> None:
    """Draw boundaries of blocks at columns and rows."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    ax.hlines(down, left, right, color="w", linewidth=width)
    ax.vlines(across, bottom, top, color="w", linewidth=width)


def _draw_strip(ax: Axes, picture: pd.DataFrame, neurons: list[int]) -> None:
    """Draw the strip of the cross layer as `draw_map` does, but stretched to a square."""
    rows, columns, mean, largest = (_array(picture, name, 1, 2) for name in ("edge", "column_edge", "mean", "largest"))
    top = largest.max() * CLIP["strip"] or 1.0
    ax.pcolormesh(columns.ravel(), rows.ravel(), mean / top, norm=Normalize(0, 1), cmap=_COLOURS, rasterized=True)
    _frame(ax, columns.ravel(), rows.ravel())
    ax.set_aspect("auto")
    ax.set_box_aspect(1)
    _lines(ax, columns[:: neurons[0], 0][1:-1], np.linspace(rows[0, 0], rows[-1, 0], neurons[0] + 1)[1:-1], 0.25)


def _inputs(picture: pd.DataFrame, neurons: list[int]) -> list[int]:
    """Return the inputs of each layer, the rows of its blocks."""
    return [int(picture["dim"].iloc[0]), *neurons[:-1]]


def _draw_blocks(ax: Axes, picture: pd.DataFrame) -> None:
    """Draw the root mean square entry of every block or group of blocks; axes in parameters, colours in logarithms."""
    neurons = neurons_of(problem_of(picture))
    rows = np.repeat(_inputs(picture, neurons), neurons)
    starts = np.concatenate([[0], np.cumsum(rows)])
    groups = _array(picture, "block_edge").ravel().astype(int)
    edges, rows = starts[groups], rows[groups[:-1]]
    size = np.sqrt(_array(picture, "block_sqfro") / np.outer(rows, rows))
    top = size.max() or 1.0
    norm = LogNorm(10.0**-_DECADES, 1)
    ax.pcolormesh(edges, edges, np.maximum(size / top, 10.0**-_DECADES), norm=norm, cmap=_COLOURS, rasterized=True)
    _frame(ax, edges)


def _frame(ax: Axes, columns: Values, rows: Values | None = None) -> None:
    """Set the limits and ticks of a map to its first and last parameter."""
    rows = columns if rows is None else rows
    ax.set_aspect("equal")
    ax.set_xlim(columns[0], columns[-1])
    ax.set_ylim(rows[-1], rows[0])
    ax.set_xticks([int(columns[0]), int(columns[-1])])
    ax.set_yticks([int(rows[0]), int(rows[-1])])
    ax.tick_params(labelsize=6, length=2)


def colour_bar(figure: Figure | SubFigure, axes: npt.NDArray[Any], view: str) -> None:
    """Draw the colour bar of a view beside its axes."""
    is_blocks = view == "blocks"
    norm = LogNorm(10.0**-_DECADES, 1) if is_blocks else Normalize(0, 1)
    mappable = ScalarMappable(norm, _COLOURS)
    end = "min" if is_blocks else "max"
    bar = figure.colorbar(mappable, ax=list(axes), shrink=0.85, aspect=25, pad=0.01, extend=end)
    clip = CLIP.get(view, _CLIP_OF_LAYERS)
    bar.set_label("over the largest" if is_blocks else f"cell mean / ({clip:g} × largest)", fontsize=7)
    bar.ax.tick_params(labelsize=6)
