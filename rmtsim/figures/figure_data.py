"""Tables of figures over C: measured points, and the theory as curves."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from rmtsim.model.ensemble import Ensemble
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.comparison import compare
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.predictions import curve_classes, plain, power, predict_layer, value
from rmtsim.theory import finite, large_c

#: Values of C for a smooth curve, where the theory has a closed form or a one-dimensional integral.
CURVE_POINTS = 40

_SERIES = ["layer", "width", "aspect_ratio", "dim", "n_samples", *ENSEMBLE]


class FigureData(NamedTuple):
    """Measured points and curves.

    points
        The table of ``rmtsim.stats.comparison``: measured values beside the theory; and ``ensemble`` in words.
    curves
        One row per vertex: ``layer``, ``width``, ``aspect_ratio``, ``dim``, ``n_samples``, ``ensemble``, ``quantity``,
        ``kind`` ("finite": at this C, d and N; "asymptote": d, N → ∞, then C → ∞), ``n_classes``, ``value`` (norms of
        d × d blocks over d) and ``power``, the theorem's power of C.
    """

    points: pd.DataFrame
    curves: pd.DataFrame


def figure_data(summary: pd.DataFrame) -> FigureData:
    """Return the tables of a figure of one model and one loss, from `rmtsim.summarize` of their draws."""
    measured = compare(summary)
    ensembles = measured[ENSEMBLE].itertuples(index=False)
    measured = measured.assign(ensemble=[str(Ensemble(*ensemble)) for ensemble in ensembles])
    model, loss = measured["model"].iloc[0], measured["loss"].iloc[0]
    vertices: list[dict[str, Any]] = []
    for key, group in measured.groupby(_SERIES, dropna=False, sort=False):
        layer, width, gamma, dim, n_samples, *ensemble = plain(key)
        series = dict(zip(_SERIES, key, strict=True)) | {"ensemble": str(Ensemble(*ensemble))}
        sizes = curve_classes(model, loss, list(group["n_classes"]), CURVE_POINTS)
        theorem, _ = predict_layer(layer, large_c, ensemble, model, loss, gamma, width)
        for C in sizes:
            at_size, _ = predict_layer(layer, finite, ensemble, model, loss, C, dim, n_samples, width)
            for quantity in QUANTITIES:
                own = {"quantity": quantity, "n_classes": C, "power": power(theorem, quantity)}
                line: dict[str, Any] = {**series, **own}
                asymptote = value(theorem, quantity) * float(C) ** line["power"]
                vertices.append(line | {"kind": "finite", "value": value(at_size, quantity)})
                vertices.append(line | {"kind": "asymptote", "value": asymptote})
    return FigureData(measured, pd.DataFrame(vertices).astype({"width": "Int64"}))
