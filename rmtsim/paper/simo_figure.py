"""The figure of the slides' SIMO examples: zeros predicted from the links, and the sizes measured."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rmtsim.figures.style import paper_style
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
    """Entry of the Hessian at label 0 and x = 1 of a network with one input, as mathematical text.

    ``paths``: each output's number, and those of the hidden units that it is linked to.
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


def by_tie(entries: pd.DataFrame) -> pd.DataFrame:
    """One line per example and tie.

    Parameters
    ----------
    entries
        The table of ``rmtsim.paper.linked_network``.

    Returns
    -------
    DataFrame
        ``example``, sizes, ``tie``, ``entries`` (their number), ``expected`` and ``mean_square``, means over entries,
        ``largest`` and ``least_largest``, the largest and smallest over entries of the largest |entry| over draws, and
        ``worst``, the largest |mean_square − expected| in standard errors (0 where both are zero).
    """
    error = entries["std_error"].where(entries["std_error"] > 0, np.inf)
    pulls = (entries["mean_square"] - entries["expected"]).abs() / error
    pulls = pulls.mask((entries["std_error"] == 0) & (entries["mean_square"] != entries["expected"]), np.inf)
    keys = ["example", "n_inputs", "n_hidden", "n_outputs", "draws", "tie"]
    groups = entries.assign(pull=pulls).groupby(keys, sort=False)
    lines = groups.agg(
        entries=("row", "size"),
        expected=("expected", "mean"),
        mean_square=("mean_square", "mean"),
        largest=("largest", "max"),
        least_largest=("largest", "min"),
        worst=("pull", "max"),
    )
    return lines.reset_index()


def hidden_ratios(entries: pd.DataFrame) -> pd.DataFrame:
    """Off-diagonal over diagonal mean squares of the hidden part, per fully linked network of one input.

    Returns
    -------
    DataFrame
        ``n_outputs``, ``ratio`` of the mean squares with its ``std_error``, and ``expected`` = 1/(q + 2).
    """
    lines = []
    series = entries[~entries["example"].isin(list(EXAMPLES)) & entries["row"].str.startswith("w")]
    series = series[series["column"].str.startswith("w")]
    for q in sorted(series["n_outputs"].unique().tolist()):
        part = series[series["n_outputs"] == q]
        off, diag = part[part["row"] < part["column"]], part[part["row"] == part["column"]]
        rse = [np.hypot.reduce(p["std_error"]) / p["mean_square"].sum() for p in (off, diag)]
        ratio = off["mean_square"].mean() / diag["mean_square"].mean()
        lines.append({"n_outputs": q, "ratio": ratio, "std_error": ratio * np.hypot(*rse), "expected": 1 / (q + 2)})
    return pd.DataFrame(lines)


def report_simo(entries: pd.DataFrame) -> str:
    """Lay out the zero patterns and sizes as plain text."""
    lines = [
        f"{'network':12} {'p':>2} {'m':>2} {'q':>3} {'tie':7} {'entries':>7} {'E entry^2':>10} {'measured':>10} "
        f"{'worst z':>8} {'max |entry|':>12}"
    ]
    for row in by_tie(entries).to_dict("records"):
        sizes = f"{row['example']:12} {row['n_inputs']:2} {row['n_hidden']:2} {row['n_outputs']:3}"
        lines.append(
            f"{sizes} {row['tie']:7} {row['entries']:7} {row['expected']:10.4g} {row['mean_square']:10.4g} "
            f"{row['worst']:8.2f} {row['largest']:12.4g}"
        )
    zeros = entries[entries["tie"] == "none"]
    others = entries[entries["tie"] != "none"]
    told = (
        f"Of {len(zeros)} entries without a common output, {(zeros['largest'] == 0).sum()} are exactly 0 in every "
        f"draw; of {len(others)} others,\n{(others['largest'] > 0).sum()} are not."
    )
    ratios = [
        f"{row['n_outputs']:4.0f} {row['ratio']:8.4f} ± {row['std_error']:.4f} {row['expected']:8.4f}"
        for row in hidden_ratios(entries).to_dict("records")
    ]
    head = "Hidden part, off-diagonal over diagonal mean square, measured and 1/(q + 2):"
    return "\n".join([*lines, "", told, "", head, *ratios])


def plot_simo(entries: pd.DataFrame) -> Figure:
    """Draw the figure from the table of ``rmtsim.paper.linked_network``."""
    with paper_style():
        figure = Figure(figsize=(11, 7.4), layout="constrained")
        axes = figure.subplots(2, 4, width_ratios=[1.3, 1.3, 1.3, 1])
        shown = entries[entries["example"].isin(list(EXAMPLES))]
        norm = LogNorm(0.8, float(np.sqrt(shown["mean_square"].max())) * 1.05)
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
        _plot_ratios(axes[1, 3], hidden_ratios(entries))
        figure.suptitle("Hessians of single-input-multi-output examples: zeros from the links", fontsize="x-large")
    return figure


def _square(part: pd.DataFrame, column: str) -> tuple[list[str], npt.NDArray[Any]]:
    """Names of the weights and a column of the table as a matrix."""
    names = list(dict.fromkeys(part["row"]))
    return names, part[column].to_numpy().reshape(len(names), len(names))


def _plot_pattern(ax: Axes, part: pd.DataFrame, name: str) -> None:
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
    """Root mean squares; a cell is blank, with a 0, where the entry was 0 in every draw."""
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
    """Off-diagonal over diagonal mean square of the hidden part over the number of outputs."""
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
        color=sns.color_palette("colorblind")[0],
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
