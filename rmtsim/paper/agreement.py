"""Theory against simulation at many sizes: the table of the documentation, and its z-scores as a figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy import stats

from rmtsim.figures.style import paper_style
from rmtsim.stats.points import points
from rmtsim.text.tables import markdown_table, records

_HEAD = ["model", "layer", "C", "d", "N", "m", "blocks", "theory", "simulation", "z"]
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
_INTRODUCTION = [
    "# Theory against simulation",
    "",
    "What `rmtsim reproduce agreement` prints: expected squared Frobenius norms of Hessian blocks at finite C, d, N",
    "(those of d×d blocks divided by d), by theory and as means over simulated draws, each with its relative standard",
    "error where it has one; z is their difference over both. What is zero in every draw is left out.",
]
_NAMES = {"diag": "diagonal", "offdiag": "off-diagonal"}


def compared(draws: pd.DataFrame) -> pd.DataFrame:
    """Lines of ``rmtsim.stats.points`` with a value to compare: norms, not ratios, less what is zero in every draw."""
    lines = points(draws)
    chosen: pd.DataFrame = lines[(lines["quantity"] != "ratio") & (lines["finite"] > 0) & np.isfinite(lines["z"])]
    return chosen


def report_agreement(draws: pd.DataFrame) -> str:
    """Lay out theory, simulation, standard errors and z of every norm as Markdown, with the spread of z below."""
    lines = compared(draws)
    table = markdown_table(_HEAD, [_cells(line) for line in records(lines)])
    return "\n".join([*_INTRODUCTION, "", *table, "", spread(lines)])


def headline_agreement(draws: pd.DataFrame) -> str:
    """Return how the z-scores of all norms spread."""
    return spread(compared(draws))


def spread(lines: pd.DataFrame) -> str:
    """Tell how the z-scores spread, in a few sentences."""
    z = lines["z"].to_numpy()
    count = len(lines.drop_duplicates(["model", "loss", "layer", "n_classes", "dim", "n_samples", "width", "init"]))
    sentences = [
        f"{len(z)} norms at {count} sizes and layers: largest |z| {np.abs(z).max():.2f}, "
        f"mean {z.mean():+.2f}, root mean square {(z**2).mean() ** 0.5:.2f}."
    ]
    for quantity, name in _NAMES.items():
        # One layer of a point: blocks of different layers come from the same draws.
        of_points = lines[(lines["quantity"] == quantity) & lines["layer"].isin(["linear", "output"])]
        total, n = float((of_points["z"] ** 2).sum()), len(of_points)
        low, high = stats.chi2.cdf(total, n), stats.chi2.sf(total, n)
        sentences.append(
            f"Independent ones ({name} blocks of the last layer): sum of squares {total:.1f} for {n}, "
            f"two-sided p = {2 * min(low, high):.2f}."
        )
    return "\n".join(sentences)


def plot_agreement(draws: pd.DataFrame) -> Figure:
    """Draw the z-scores against the quantiles of a normal, by case."""
    lines = compared(draws)
    cases = [case for case in _CASES if (_case(lines) == _CASES[case]).any()]
    colors = dict(zip(cases, sns.color_palette("colorblind", len(cases)), strict=True))
    with paper_style():
        figure = Figure(figsize=(7, 5), layout="constrained")
        ax = figure.subplots()
        order = lines["z"].rank(method="first")
        quantile = pd.Series(stats.norm.ppf((order - 0.5) / len(lines)), index=lines.index)
        for marker, case in zip("osD^vPX*", cases, strict=False):
            chosen = _case(lines) == _CASES[case]
            look = {"color": colors[case], "markerfacecolor": "none", "markersize": 5, "label": _CASES[case]}
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


def _cells(line: dict[str, object]) -> list[str]:
    model = "linear" if line["model"] == "linear" else "one hidden"
    model += f" {str(line['loss']).upper()}"
    if line["init"] != "lecun" or line["data_variance"] != 1:
        model += f", {line['init']}, Var x = {line['data_variance']:g}"
    return [
        model,
        str(line["layer"]),
        str(line["n_classes"]),
        str(line["dim"]),
        str(line["n_samples"]),
        "–" if line["width"] is None else str(line["width"]),
        _NAMES[str(line["quantity"])],
        _with_error(line["finite"], line["std_error_finite"]),
        _with_error(line["measured"], line["std_error"]),
        f"{line['z']:+.2f}",
    ]


def _with_error(value: object, error: object) -> str:
    """Return a value with its relative standard error."""
    assert isinstance(value, float)
    assert isinstance(error, float)
    return f"{value:.6g}" if error == 0 else f"{value:.6g} ± {100 * error / value:.2g} %"
