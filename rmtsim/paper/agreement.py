"""Theory against simulation at many sizes: the table of all norms, and their z-scores as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from rmtsim.figures.figure import Figure
from rmtsim.figures.registry import register
from rmtsim.stats.comparison import compare
from rmtsim.stats.summary import summarize
from rmtsim.text.tables import markdown_table, records

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

_HEAD = ["model", "layer", "C", "d", "N", "m", "blocks", "theory", "simulation", "z"]
_INTRODUCTION = [
    "# Theory against simulation",
    "",
    "What `rmtsim reproduce agreement` prints: expected squared Frobenius norms of Hessian blocks at finite C, d, N",
    "(those of d×d blocks divided by d), by theory and as means over simulated draws, each with its relative standard",
    "error where it has one; z is their difference over both. What is zero in every draw is left out.",
]
_NAMES = {"diag": "diagonal", "offdiag": "off-diagonal"}


@register
class Agreement(Figure):
    """Theorems 1 and 2."""

    name = "agreement"
    title = "Theory against simulation at many sizes"
    source = "Theorems 1 and 2"
    sentence = (
        "As the sample size and input dimension grow proportionally to infinity, we calculate the limit of "
        "Frobenius norm of the diagonal and off-diagonal blocks of the Hessian."
    )
    place = 25
    specs = (
        "agreement_linear",
        "agreement_vocabulary",
        "agreement_linear_mse",
        "agreement_hidden",
        "agreement_hidden_vocabulary",
        "agreement_widths",
        "agreement_cross",
        "agreement_hidden_mse",
        "agreement_he",
        "agreement_xavier",
    )

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of `rmtsim.stats.comparison.compare` for norms, not ratios, that are not always zero."""
        lines = compare(summarize(rows))
        chosen: pd.DataFrame = lines[(lines["quantity"] != "ratio") & (lines["finite"] > 0) & np.isfinite(lines["z"])]
        return chosen

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the z-scores against the quantiles of a normal distribution."""
        from rmtsim.paper.agreement_drawing import plot_agreement

        return plot_agreement(numbers)

    def text(self, numbers: pd.DataFrame) -> str:
        """Return theory, simulation, standard errors and z of every norm as Markdown, with the spread of z below."""
        table = markdown_table(_HEAD, [_cells(line) for line in records(numbers)])
        return "\n".join([*_INTRODUCTION, "", *table, "", spread(numbers)])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return how the z-scores of all norms spread."""
        return spread(numbers)


def spread(lines: pd.DataFrame) -> str:
    """Return how the z-scores spread, in a few sentences."""
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
