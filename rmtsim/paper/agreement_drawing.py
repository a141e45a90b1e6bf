"""Drawing of the z-scores of simulated norms against the exact theory."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import ndtri

from rmtsim.figures.style import MARKERS, colors, paper_style

_CASES = {
    ("linear", "ce", "linear"): "linear CE",
    ("linear", "mse", "linear"): "linear MSE",
    ("one_hidden", "ce", "hidden"): "hidden layer, CE",
    ("one_hidden", "ce", "output"): "output layer, CE",
    ("one_hidden", "ce", "cross"): "cross layer, CE",
    ("one_hidden", "mse", "hidden"): "hidden layer, MSE",
    ("one_hidden", "mse", "output"): "output layer, MSE",
    ("one_hidden", "mse", "cross"): "cross layer, MSE",
}


def plot_agreement(lines: pd.DataFrame) -> Figure:
    """Draw the z-scores of the figure's numbers against the quantiles of a normal distribution, by case.

    Norms that are equal to others by identity are no evidence, and are left out, as from the count in the title.
    """
    lines = lines[lines["verdict"] != "exact"]
    cases = [case for case in _CASES if (_case(lines) == _CASES[case]).any()]
    palette = dict(zip(cases, colors(len(cases)), strict=True))
    with paper_style():
        figure = Figure(figsize=(7, 5), layout="constrained")
        ax = figure.subplots()
        order = lines["z"].rank(method="first")
        quantile = pd.Series(ndtri((order - 0.5) / len(lines)), index=lines.index)
        for marker, case in zip(MARKERS, cases, strict=False):
            chosen = _case(lines) == _CASES[case]
            look = {"color": palette[case], "markerfacecolor": "none", "markersize": 5, "label": _CASES[case]}
            ax.plot(quantile[chosen], lines.loc[chosen, "z"], marker, **look)
        reach = np.array([-3.3, 3.3])
        ax.plot(reach, reach, color="0.5", linewidth=1, label="unit normal")
        ax.set_xlabel("quantile of a unit normal")
        ax.set_ylabel(r"$z$ = (simulation $-$ theory) / standard error")
        ax.set_title(f"{len(lines)} norms against exact theory")
        ax.legend(frameon=False, fontsize="small")
    return figure


def _case(lines: pd.DataFrame) -> pd.Series:
    keys = zip(lines["model"], lines["loss"], lines["layer"], strict=True)
    return pd.Series([_CASES[key] for key in keys], index=lines.index)
