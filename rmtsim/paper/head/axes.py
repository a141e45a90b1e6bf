"""Measurements of heads on single axes: norms beside nulls, blocks of each class, and maps of blocks.

They draw on the Axes that they are given, and change nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from rmtsim.figures.log_ticks import set_log_ticks
from rmtsim.figures.style import MARKERS, MARKS
from rmtsim.paper.head.numbers import MEASURED

#: What stands for what was measured and for each null: words, line, marker and place in the palette. The first two
#: nulls are exact, and so lines without marks.
LOOKS: dict[str, tuple[str, Any, str, int]] = {
    MEASURED: ("measured", "-", "o", 0),
    "theorem": ("Theorem 1 at this $C$, $d$, $N$", "--", "", 7),
    "logit_variance": ("Theorem 1 with the model's variance of logits", (0, (1, 1.2)), "", 4),
    "decoupled": ("decoupled: features permuted among samples", "-.", "s", 1),
    "gaussian": ("Gaussian features of the model's covariance", (0, (4, 1, 1, 1, 1, 1)), "^", 2),
}

Y_LABELS = {
    "ratio": r"$\langle\Vert H_{ij} \Vert_F^2\rangle \; / \; \langle\Vert H_{ii} \Vert_F^2\rangle$",
    "outside": "share of the squared norm\noutside the diagonal blocks",
}
_COLOURS = "cividis"

#: Marks of nulls stand beside that of their model.
_BESIDE = {"decoupled": -0.18, "gaussian": 0.18}

#: Decades that the colours of a map span, at most.
_DECADES = 6

#: Names of classes are written where there are at most so many, and dots are small where there are more than so many.
MOST_NAMES, _MANY_CLASSES = 24, 1000

#: Labels on an axis of steps are this far apart, and its ends from the first and the last step, as shares of it.
_APART, _MARGIN = 0.055, 0.05


def draw_norms(
    ax: Axes, norms: pd.DataFrame, quantity: str, palette: Sequence[Any], nulls: Sequence[str] | None = None
) -> list[Line2D]:
    """Draw the ratio or the share outside over steps of training, or for each model, beside the nulls.

    Parameters
    ----------
    ax, norms
        The axes, and the part of that name of `rmtsim.paper.head.numbers.rows_of`.
    quantity
        ``"ratio"`` or ``"outside"``.
    palette
        At least eight colours.
    nulls
        The nulls to draw; by default all that there are.

    Returns
    -------
    list
        Entries of a legend.
    """
    along = bool(norms["step"].notna().all())
    places = {name: k for k, name in enumerate(dict.fromkeys(norms["name"]))}
    kinds = [kind for kind in LOOKS if (norms["of"] == kind).any() and (nulls is None or kind in (MEASURED, *nulls))]
    for kind in reversed(kinds):  # what was measured lies above all
        words, linestyle, mark, place = LOOKS[kind]
        of_kind = norms[norms["of"] == kind]
        shown = of_kind[of_kind[quantity] > 0]
        x = shown["step"].to_numpy(float) if along else shown["name"].map(places).to_numpy(float)
        y, error = (shown[name].to_numpy(float) for name in (quantity, f"std_error_{quantity}"))
        look: dict[str, Any] = {"color": palette[place], "label": words}
        if along:
            ax.plot(x, y, linestyle=linestyle, linewidth=1.6 if kind == MEASURED else 1.1, **look)
            look["label"] = f"_{kind}"
        elif not mark:
            ax.hlines(y, x - 0.36, x + 0.36, linestyle=linestyle, linewidth=1.4, **look)
            continue
        else:
            x = x + _BESIDE.get(kind, 0.0)
        if mark:
            ax.errorbar(x, y, np.nan_to_num(error), **MARKS | look | {"marker": mark})
    ax.set_yscale("log")
    set_log_ticks(ax.yaxis)
    ax.set_ylabel(Y_LABELS[quantity])
    if along:
        _step_axis(ax, np.unique(norms["step"].to_numpy(float)))
    else:
        classes = norms.drop_duplicates("name")["n_classes"].tolist()
        sizes = [f"\n$C = {C}$" if len(set(classes)) > 1 else "" for C in classes]
        labels = [name + size for name, size in zip(places, sizes, strict=True)]
        ax.set_xticks(list(places.values()), labels, rotation=0 if len(places) < 6 else 30)
        ax.set_xlim(-0.6, len(places) - 0.4)
    return [_entry(kind, palette, along=along) for kind in kinds]


def _entry(kind: str, palette: Sequence[Any], *, along: bool) -> Line2D:
    words, linestyle, mark, place = LOOKS[kind]
    look: dict[str, Any] = {"markerfacecolor": "none", "markersize": 5, "color": palette[place], "label": words}
    return Line2D([], [], linestyle=linestyle if along or not mark else "", marker=mark or "None", **look)


def _step_axis(ax: Axes, steps: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Show steps on a logarithmic scale that has room for step 0, with as many of them as labels as can be read."""
    positive = steps[steps > 0]
    if steps[0] == 0:
        ax.set_xscale("symlog", linthresh=float(positive[0]), linscale=0.6)
    else:
        ax.set_xscale("log")
    scale = ax.xaxis.get_transform()
    places = scale.transform(steps)
    room = _MARGIN * (places[-1] - places[0])
    ax.set_xlim(*scale.inverted().transform([places[0] - room, places[-1] + room]))
    kept: list[int] = [len(steps) - 1]
    for place in range(len(steps) - 2, -1, -1):
        apart = (places[kept[-1]] - places[place]) / (places[-1] - places[0])
        if apart >= _APART * max(1, len(f"{steps[place]:g}") / 3):
            kept.append(place)
    ax.xaxis.set_major_locator(FixedLocator(sorted(steps[kept].tolist())))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("steps of training")


def draw_classes(
    ax: Axes, classes: pd.DataFrame, powers: pd.DataFrame, palette: Sequence[Any], places: Sequence[int] = (0,)
) -> None:
    """Draw the squared norm of each diagonal block against the frequency with which its class is predicted.

    Parameters
    ----------
    ax, classes, powers
        The axes, the part ``classes``, and its `rmtsim.paper.head.numbers.powers`.
    palette, places
        Colours, and which of them each name takes.
    """
    ax.set_xscale("log")
    ax.set_yscale("log")  # first: bars of more than their value then end at the axis
    shown = list(classes.groupby("name", sort=False))
    for number, (name, table) in enumerate(shown):
        both = table[(table["frequency"] > 0) & (table["diag_sqfro"] > 0)]
        color, many = palette[places[number % len(places)] % len(palette)], len(both) > _MANY_CLASSES
        x, y, error = (both[column].to_numpy(float) for column in ("frequency", "diag_sqfro", "std_error_diag"))
        called = str(name) if len(shown) > 1 else ""
        words = [("step " if table["step"].notna().all() else "") + called, _law(powers[powers["name"] == name])]
        look: dict[str, Any] = {"color": color, "label": ": ".join(filter(None, words)) or str(name)}
        if many:
            ax.plot(x, y, ".", markersize=2, markeredgewidth=0, alpha=0.4, rasterized=True, color=color)
            ax.plot([], [], ".", **look)  # which can be seen in a legend
        else:
            look |= {"marker": MARKERS[number % len(MARKERS)], "markersize": 4, "elinewidth": 0.6, "capsize": 0}
            ax.errorbar(x, y, np.nan_to_num(error), **MARKS | look)
    set_log_ticks(ax.xaxis)
    set_log_ticks(ax.yaxis)
    ax.set_xlabel("frequency of the class as predicted")
    ax.set_ylabel(r"its block, $\Vert H_{cc} \Vert_F^2$")


def _law(power: pd.DataFrame) -> str:
    if power.empty or np.isnan(power["power"].iloc[0]):
        return ""
    return f"$\\sim f^{{\\,{power['power'].iloc[0]:.2f} \\pm {power['std_error_power'].iloc[0]:.2f}}}$"


def map_norm(blocks: pd.DataFrame) -> LogNorm:
    """Return the colour scale of maps: from the least block to the largest, over six decades at most."""
    values = blocks["relative"].to_numpy(float)
    positive = values[values > 0]
    largest = float(positive.max()) if len(positive) else 1.0
    least = float(positive.min()) if len(positive) else 0.1
    return LogNorm(max(min(least, largest / 10), largest / 10.0**_DECADES), largest)


def draw_blocks(ax: Axes, blocks: pd.DataFrame, norm: LogNorm | None = None) -> QuadMesh:
    """Draw the squared norms of the blocks between the most frequent classes, over the mean of all diagonal blocks.

    Parameters
    ----------
    ax, blocks
        The axes, and the rows of one name of the part ``blocks``.
    norm
        The colour scale; by default that of these rows.

    Returns
    -------
    QuadMesh
        What a colour bar is of.
    """
    values = blocks.pivot(index="place_i", columns="place_j", values="relative").to_numpy(float)
    scale = norm or map_norm(blocks)
    count = len(values)
    edges = np.arange(count + 1) + 0.5
    shown = np.maximum(values, scale.vmin or 0.0)  # zeros, too, have the darkest colour
    mesh = ax.pcolormesh(edges, edges, shown, norm=scale, cmap=_COLOURS, rasterized=True)
    ax.set_aspect("equal")
    ax.invert_yaxis()
    if count <= MOST_NAMES:
        named = blocks.drop_duplicates("place_i").sort_values("place_i")["token_i"].tolist()
        small: dict[str, Any] = {"fontsize": "x-small"}
        ax.set_xticks(np.arange(1, count + 1), named, rotation=90, **small)
        ax.set_yticks(np.arange(1, count + 1), named, **small)
    ax.set_xlabel("class $j$, the most frequent first" if count <= MOST_NAMES else "class $j$ by rank of frequency")
    ax.set_ylabel("class $i$")
    return mesh


BAR_LABEL = r"$\Vert H_{ij} \Vert_F^2$ over the mean $\Vert H_{ii} \Vert_F^2$"
