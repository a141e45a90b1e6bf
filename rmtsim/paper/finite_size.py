"""What finite d and N change: measured norms over their limit, against d, beside the theory at every size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.figure import Figure
from rmtsim.figures.headlines import heavy_tails
from rmtsim.figures.parts import join_parts, part
from rmtsim.figures.registry import register
from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.comparison import compare
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.predictions import percent_deviation, plain, predict_layer, value
from rmtsim.stats.render import render, tally
from rmtsim.stats.summary import summarize
from rmtsim.theory import finite, limit

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: Layers that it shows.
LAYERS = ("linear", "hidden", "output")

#: Least number of sizes of a series over d.
_MIN_SIZES = 3

#: Sizes of a curve where the theory is deterministic; where it is sampled, the curve joins the measured sizes.
_CURVE_POINTS = 24

_SERIES = ["model", "loss", "layer", "n_classes", "width", "aspect_ratio", *ENSEMBLE]


@register
class FiniteSize(Figure):
    """Appendix A, first point."""

    name = "finite_size"
    title = "What finite d and N change"
    source = "Appendix A, first point"
    sentence = (
        "Second, in the proportional asymptotic regime, we obtained new insights into the Hessian structure "
        "(e.g., the effect of large $C$) and our insights matched a wide range of finite-dimensional "
        "experiments."
    )
    place = 24
    specs = ("finite_size", "finite_size_hidden")

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of CE that belong to a series over d."""
        return sizes_of(rows)

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the measured deviations from the limit as ``points``, and the theory's as ``curves``."""
        measured, curves = deviations_from_limit(rows)
        return join_parts({"points": measured, "curves": curves})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the deviations against d."""
        from rmtsim.paper.finite_size_drawing import plot_finite_size

        return plot_finite_size(part(numbers, "points"), part(numbers, "curves"))

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the table of all points, and which have too heavy a tail."""
        points = part(numbers, "points")
        return "\n\n".join([render(points), *heavy_tails(points)])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return how many values agree with the theory at their own C, d, N, and their z-scores."""
        return tally(part(numbers, "points"))


def sizes_of(draws: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of CE that belong to a series over d; raise InputError if there is none of the linear model."""
    rows = draws[(draws["loss"] == "ce") & draws["layer"].isin(LAYERS)]
    if len(rows):
        rows = rows[rows.groupby(_SERIES, dropna=False)["dim"].transform("nunique") >= _MIN_SIZES]
    if not (rows["model"] == "linear").any():
        raise InputError(
            f"figure finite_size: the draws hold no {_MIN_SIZES} dims of linear ce at one C and d/N; run the sweep "
            "finite_size into this store first"
        )
    return rows


def deviations_from_limit(draws: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """Deviations from the limit d, N → ∞, in percent.

    Parameters
    ----------
    draws
        The store's columns, rows as ``sizes_of`` returns.

    Returns
    -------
    tuple
        Measured points, those of ``rmtsim.stats.comparison`` with ``deviation`` = 100 (measured/limit − 1), its
        ``std_error_deviation`` and ``skewness_deviation`` (see `rmtsim.stats.verdict.reach`); and the theory's curves:
        the series' keys, ``quantity``, ``dim``, ``deviation`` = 100 (finite/limit − 1). Both name their ``series``.
    """
    measured = compare(summarize(draws))
    relative = np.hypot(measured["std_error"], measured["std_error_limit"] * measured["measured"] / measured["limit"])
    measured["deviation"] = 100 * (measured["measured"] / measured["limit"] - 1)
    measured["std_error_deviation"] = 100 * relative / measured["limit"]
    share: pd.Series = (measured["std_error"] / relative).fillna(0.0)  # of draws: what the limit adds is symmetric
    measured["skewness_deviation"] = measured["skewness"] * share**3
    vertices: list[dict[str, Any]] = []
    for key, group in measured.groupby(_SERIES, dropna=False, sort=False):
        series = dict(zip(_SERIES, key, strict=True))
        model, loss, layer, C, width, gamma, *ensemble = plain(key)
        if model == "one_hidden":
            vertices += [
                series
                | {name: row[name] for name in ("quantity", "dim")}
                | {"deviation": row["size_deviation_percent"]}
                for row in group.to_dict("records")
            ]
            continue
        at_limit, _ = predict_layer(layer, limit, ensemble, model, loss, C, gamma, width)
        for dim in _sizes(group["dim"], gamma):
            at_size, _ = predict_layer(layer, finite, ensemble, model, loss, C, dim, round(dim / gamma), width)
            for quantity in QUANTITIES:
                deviation = percent_deviation(value(at_size, quantity), value(at_limit, quantity))
                vertices.append(series | {"quantity": quantity, "dim": dim, "deviation": deviation})
    curves = pd.DataFrame(vertices).astype({"width": "Int64"})
    return tuple(table.assign(series=[_label(row) for row in table.to_dict("records")]) for table in (measured, curves))


def _label(row: dict[Any, Any]) -> str:
    """Name of a row's series; the ensemble where it is not the paper's."""
    ensemble = Ensemble(*(row[name] for name in ENSEMBLE))
    sizes = f"$C = {row['n_classes']}$, $d/N = {row['aspect_ratio']:g}$"
    return sizes if ensemble == LECUN else f"{sizes}, {ensemble}"


def _sizes(measured: pd.Series, gamma: float) -> list[int]:
    """About evenly spaced in log d, the measured ones among them, with N = d/γ whole."""
    spaced = np.geomspace(measured.min(), measured.max(), _CURVE_POINTS).round().astype(int).tolist()
    whole = [dim for dim in spaced if abs(dim / gamma - round(dim / gamma)) < 1e-9]
    return sorted({*whole, *(int(dim) for dim in measured)})
