"""The picture of the single-input-multi-output examples: zeros predicted from the links, and measured sizes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rmtsim.figures.style import colors, paper_style, title
from rmtsim.paper.linked_network import EXAMPLES, TIES

_TIE_COLORS = {"path": "#f0e442", "output": "#dcdcdc", "none": "#ffffff"}
_TIE_NAMES = {
    "path": "one path: multiplicative",
    "output": "a common output: indirect, of mean 0",
    "none": "no common output: 0",
}

#: Formulas are written into cells of at most this many weights.
_MOST_WRITTEN = 6


def formula(row: str, column: str, paths: dict[str, list[str]]) -> str:
    """Return the entry of the Hessian at label 0 and x = 1 of a network with one input, as mathematical text.

    ``paths`` maps the number of each output to those of the hidden units that it is linked to.
    """
    first, second = sorted((row, column), key=lambda name: name[0] == "v")  # w before v
    if second[0] == "w":
        one, two = first[1], second[1]
        meet = [j for j, units in paths.items() if one in units and two in units]
        low, high = sorted((one, two))
        return "+".join(f"v_{{{j}{one}}}^2" if one == two else f"v_{{{j}{low}}} v_{{{j}{high}}}" for j in meet) or "0"
    j, two = second[1], second[2]
    if first[0] == "v":
        if first[1] != j:
            return "0"
        return f"w_{two}^2" if first[2] == two else " ".join(f"w_{k}" for k in sorted((first[2], two)))
    one = first[1]
    if one not in paths[j]:
        return "0"
    if one != two:
        return f"v_{{{j}{one}}} w_{two}"
    return f"2 v_{{{j}{one}}} w_{one}" + "".join(f"+v_{{{j}{k}}} w_{k}" for k in paths[j] if k != one)


def plot_simo(entries: pd.DataFrame, ratios: pd.DataFrame) -> Figure:
    """Draw the maps of the examples, and the ratios of the hidden part; the parts of the numbers of these names."""
    with paper_style():
        figure = Figure(figsize=(11, 7.4), layout="constrained")
        axes = figure.subplots(2, 4, width_ratios=[1.3, 1.3, 1.3, 1])
        norm = LogNorm(0.8, float(np.sqrt(entries["mean_square"].max())) * 1.05)
        image = None
        for (name, network), column in zip(EXAMPLES.items(), axes.T, strict=False):
            part = entries[entries["example"] == name]
            _plot_pattern(column[0], part, name)
            image = _plot_measured(column[1], part, norm)
            column[0].set_title(
                f"{name}\n{network.n_inputs} input{'s' * (network.n_inputs > 1)}, "
                f"{network.mask.shape[1]} hidden, {len(network.mask)} outputs"
            )
        axes[0, 0].set_ylabel("predicted from the links")
        axes[1, 0].set_ylabel("measured")
        assert image is not None
        bar = figure.colorbar(
            image,
            ax=axes[1, :3],
            location="bottom",
            shrink=0.5,
            aspect=40,
            pad=0.02,
            ticks=[1, 1.5, 2, 3, 4],
            format="{x:g}",
            label=f"root mean square over {int(entries['draws'].iloc[0])} draws of the weights",
        )
        bar.ax.minorticks_off()
        axes[0, 3].set_axis_off()
        handles = [Patch(facecolor=color, edgecolor="0.5", label=_TIE_NAMES[tie]) for tie, color in _TIE_COLORS.items()]
        axes[0, 3].legend(handles=handles, loc="center", frameon=False, title="two weights have")
        _plot_ratios(axes[1, 3], ratios)
        title(figure, "Hessians of single-input-multi-output examples: zeros from the links")
    return figure


def _square(part: pd.DataFrame, column: str) -> tuple[list[str], npt.NDArray[Any]]:
    """Return the names of the weights, and a column of the table as a matrix."""
    names = list(dict.fromkeys(part["row"]))
    return names, part[column].to_numpy().reshape(len(names), len(names))


def _plot_pattern(ax: Axes, part: pd.DataFrame, name: str) -> None:
    """Draw how each pair of weights is tied, with the formulas of the entries where there is room."""
    names, tie = _square(part, "tie")
    codes = np.vectorize(TIES.index)(tie)
    ax.imshow(codes, cmap=ListedColormap([_TIE_COLORS[t] for t in TIES]), vmin=0, vmax=len(TIES) - 1)
    _frame(ax, names)
    if len(names) > _MOST_WRITTEN:
        return
    paths = {
        str(j + 1): [str(k + 1) for k, linked in enumerate(row) if linked] for j, row in enumerate(EXAMPLES[name].mask)
    }
    for i, row in enumerate(names):
        for k, column in enumerate(names):
            text = re.sub(r"(?<=.)\+", "\n+", formula(row, column, paths)).split("\n")
            size = 8 if len(names) < 5 else 6
            ax.text(k, i, "\n".join(f"${line}$" for line in text), ha="center", va="center", fontsize=size)


def _plot_measured(ax: Axes, part: pd.DataFrame, norm: LogNorm) -> Any:
    """Draw the root mean squares; a cell is blank, with a 0, where the entry was 0 in every draw."""
    names, square = _square(part, "mean_square")
    _, largest = _square(part, "largest")
    size = np.ma.masked_where(largest == 0, np.sqrt(square))
    image = ax.imshow(size, cmap="viridis", norm=norm)
    _frame(ax, names)
    for i, k in np.argwhere(largest == 0):
        ax.text(k, i, "0", ha="center", va="center", fontsize=8 if len(names) <= _MOST_WRITTEN else 5, color="0.3")
    if len(names) <= _MOST_WRITTEN:
        for i, k in np.argwhere(largest > 0):
            light = "k" if norm(np.sqrt(square[i, k])) > 0.6 else "w"
            ax.text(k, i, f"{np.sqrt(square[i, k]):.2f}", ha="center", va="center", fontsize=7, color=light)
    return image


def _frame(ax: Axes, names: list[str]) -> None:
    """Draw the names of the weights, and lines between the cells."""
    labels = [f"${name[0]}_{{{name[1:]}}}$" for name in names]
    size = 8 if len(names) <= _MOST_WRITTEN else 6
    ax.set_xticks(range(len(names)), labels, fontsize=size, rotation=0 if len(names) <= _MOST_WRITTEN else 90)
    ax.set_yticks(range(len(names)), labels, fontsize=size)
    ax.tick_params(length=0)
    n_first = sum(name[0] == "w" for name in names)
    for edge in np.arange(len(names) + 1) - 0.5:
        strong = edge == n_first - 0.5
        look: dict[str, Any] = {"color": "k" if strong else "0.6", "linewidth": 1.2 if strong else 0.4}
        ax.axhline(edge, **look)
        ax.axvline(edge, **look)


def _plot_ratios(ax: Axes, ratios: pd.DataFrame) -> None:
    """Draw the off-diagonal over the diagonal mean square of the hidden part against the number of outputs."""
    q = ratios["n_outputs"].to_numpy(float)
    ax.errorbar(
        q,
        ratios["ratio"],
        ratios["std_error"],
        linestyle="",
        marker="o",
        mfc="none",
        capsize=2.5,
        label="measured",
        color=colors()[0],
    )
    fine = np.geomspace(q[0], q[-1], 100)
    ax.plot(fine, 1 / (fine + 2), "k-", linewidth=1, label=r"$1/(q + 2)$")
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis, ticks in ((ax.xaxis, q), (ax.yaxis, (0.05, 0.1, 0.2, 0.3))):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("number of outputs $q$")
    ax.set_ylabel("off-diagonal/diagonal mean square")
    ax.set_title("hidden part, all linked")
    ax.legend(frameon=False)
