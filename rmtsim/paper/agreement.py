"""Theory against simulation at many sizes: the table of all norms, and their z-scores as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import chdtr, chdtrc

from rmtsim.figures.figure import Figure
from rmtsim.figures.parts import join_parts, part
from rmtsim.figures.registry import register
from rmtsim.model.ensemble import LAWS, LECUN
from rmtsim.sampling.schema import ENSEMBLE
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
        """Return the parts ``norms`` and ``spread``.

        ``norms`` has the rows of `rmtsim.stats.comparison.compare` for norms, not ratios, that are not always zero;
        ``spread`` is the table of `spread_of_z`.
        """
        lines = compare(summarize(rows))
        chosen: pd.DataFrame = lines[(lines["quantity"] != "ratio") & (lines["finite"] > 0) & np.isfinite(lines["z"])]
        return join_parts({"norms": chosen, "spread": spread_of_z(chosen)})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the z-scores against the quantiles of a normal distribution."""
        from rmtsim.paper.agreement_drawing import plot_agreement

        return plot_agreement(part(numbers, "norms"))

    def text(self, numbers: pd.DataFrame) -> str:
        """Return theory, simulation, standard errors and z of every norm as Markdown, with the spread of z below."""
        table = markdown_table(_HEAD, [_cells(line) for line in records(part(numbers, "norms"))])
        return "\n".join([*_INTRODUCTION, "", *table, "", spread(numbers)])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return how the z-scores of all norms spread."""
        return spread(numbers)


def spread_of_z(norms: pd.DataFrame) -> pd.DataFrame:
    """Return how the z-scores spread.

    Returns
    -------
    DataFrame
        Of all norms, where ``quantity`` is null: their number, ``norms``, at so many sizes and layers, ``places``;
        ``largest`` |z|, ``mean`` and ``root_mean_square``; and ``copies``, how many more are equal by identity, as the
        off-diagonal norms of the last layer are to the diagonal ones at C = 2: these are no evidence and not counted.
        Of the ``"diag"`` and the ``"offdiag"`` blocks of the last layer, which are independent: ``norms``,
        ``sum_of_squares``, and ``probability``, the two-sided p of that sum for unit normals.
    """
    copies = norms["verdict"] == "exact"
    norms = norms[~copies]
    z = norms["z"].to_numpy()
    places = norms.drop_duplicates(["model", "loss", "layer", "n_classes", "dim", "n_samples", "width", *ENSEMBLE])
    lines: list[dict[str, Any]] = [
        {"quantity": None, "norms": len(z), "copies": int(copies.sum()), "places": len(places)}
        | {"largest": np.abs(z).max()}
        | {"mean": z.mean(), "root_mean_square": (z**2).mean() ** 0.5}
    ]
    for quantity in _NAMES:
        # One layer of a point: blocks of different layers come from the same draws.
        of_points = norms[(norms["quantity"] == quantity) & norms["layer"].isin(["linear", "output"])]
        total, n = float((of_points["z"] ** 2).sum()), len(of_points)
        probability = 2 * min(chdtr(n, total), chdtrc(n, total))
        lines.append({"quantity": quantity, "norms": n, "sum_of_squares": total, "probability": probability})
    return pd.DataFrame(lines).astype({"places": "Int64", "copies": "Int64"})


def spread(numbers: pd.DataFrame) -> str:
    """Put the spread of the z-scores into a few sentences."""
    of_all, *independent = part(numbers, "spread").to_dict("records")
    sentences = [
        f"{of_all['norms']} norms at {of_all['places']} sizes and layers: largest |z| {of_all['largest']:.2f}, "
        f"mean {of_all['mean']:+.2f}, root mean square {of_all['root_mean_square']:.2f}. {of_all['copies']} more are "
        "equal to others by identity."
    ]
    sentences += [
        f"Independent ones ({_NAMES[row['quantity']]} blocks of the last layer): sum of squares "
        f"{row['sum_of_squares']:.1f} for {row['norms']}, two-sided p = {row['probability']:.2f}."
        for row in independent
    ]
    return "\n".join(sentences)


def _cells(line: dict[str, object]) -> list[str]:
    model = "linear" if line["model"] == "linear" else "one hidden"
    model += f" {str(line['loss']).upper()}"
    if line["init"] != "lecun" or line["data_variance"] != 1:
        model += f", {line['init']}, Var x = {line['data_variance']:g}"
    model += "".join(f", {name} {line[name]}" for name in LAWS if line[name] != getattr(LECUN, name))
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
