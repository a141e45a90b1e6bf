"""Columns of a summary against each other: what is one series, what it is called, and what the theory says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.titles import LAYERS, LOSSES, MODELS
from rmtsim.model.choices import LayerName, RegimeName
from rmtsim.model.ensemble import LECUN, Ensemble
from rmtsim.model.point import Point
from rmtsim.sampling.schema import ENSEMBLE, ENSEMBLE_NAMES
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.prediction_table import predict
from rmtsim.stats.predictions import curve_classes
from rmtsim.stats.summary import ESTIMATES, POINT_COLUMNS

#: The columns of a summary that hold text, and those that hold numbers.
TEXTS = ("model", "loss", "layer", *ENSEMBLE_NAMES, "point_id")
NUMBERS = (
    *(name for name in POINT_COLUMNS if name not in TEXTS),
    *("draws", "effective_draws", *ESTIMATES),
    *(f"{name}_{quantity}" for name in ("rse", "skewness", "heavy_tail") for quantity in QUANTITIES),
)

#: The measured columns that the theory has, too, and the quantities that they are.
MEASURED = {"diag_sqfro": "diag", "offdiag_sqfro": "offdiag", "ratio": "ratio"}

#: Columns that tell the points and layers of a summary apart, beside the sizes d, N and their quotient.
_POINT = ("model", "loss", "layer", "width", "n_classes", *ENSEMBLE)

#: Two of these fix the third.
_SIZES = ("aspect_ratio", "dim", "n_samples")

#: What a point is made of, rather than measured.
SIZES = (*_POINT, *_SIZES)

#: Most series, each with a line in the legend.
MOST_SERIES = 24

#: Values of C on a smooth curve of the theory, where it takes no seconds.
CURVE_POINTS = 20

_SYMBOLS = {"aspect_ratio": "d/N", "width": "m", "dim": "d", "n_samples": "N", "n_classes": "C"}

#: Columns whose values say of themselves what they are, and their words for some.
_TELLING: dict[str, Mapping[str, str]] = {"model": MODELS, "loss": LOSSES, "layer": LAYERS, "init": {}}

#: Columns that colours are given to where none is chosen: the first that varies.
_COLORED = ("layer", "aspect_ratio", "dim", "n_samples", "width", "loss", "model", "n_classes", *ENSEMBLE)


@dataclass(frozen=True)
class Series:
    """Points and layers that differ in what stands along the axis alone.

    Attributes
    ----------
    rows
        Those of the summary, sorted by x.
    value
        What its colour stands for; None where it has none.
    label
        What it is, as far as series differ in it.
    place
        The place of all that it is beside its colour, among what other series are: their markers.
    """

    rows: pd.DataFrame
    value: Any
    label: str
    place: int


def quantity_of(column: str) -> str:
    """Return the quantity that a column tells of, as "ratio" of ``rse_ratio``; empty if of none."""
    if column in MEASURED:
        return MEASURED[column]
    start, _, end = column.rpartition("_")
    return end if end in QUANTITIES and start in ("std_error", "rse", "skewness", "heavy_tail") else ""


def named(column: str, value: Any) -> str:
    """Return the value of a column as a label."""
    text = value if isinstance(value, str) else f"{value:g}"
    if column in _TELLING:
        return _TELLING[column].get(str(text), str(text))
    return f"${_SYMBOLS[column]} = {text}$" if column in _SYMBOLS else f"{column.replace('_', ' ')} {text}"


def color_column(means: pd.DataFrame, x: str, panel: str | None) -> str | None:
    """Return the column that decides on colours where none is chosen; None where x is measured, or nothing varies."""
    keys = _keys(means, x, None, panel) if x in SIZES else []
    return next((name for name in _COLORED if name in keys and means[name].nunique(dropna=False) > 1), None)


def series_of(means: pd.DataFrame, x: str, by: str | None, panel: str | None) -> list[Series]:
    """Return the series of a summary, in the order of what tells them apart.

    Where ``x`` is a size or a part of the ensemble, a series has all else fixed, but for the panel. Where ``x`` is
    measured, it is told by the colour alone.

    Raises
    ------
    InputError
        If there are more than can be told apart.
    """
    keys = _keys(means, x, by, panel)
    grouped = [rows for _, rows in means.groupby(keys, dropna=False, sort=True)] if keys else [means]
    varying = [name for name in keys if name == by or means[name].nunique(dropna=False) > 1]
    varying.sort(key=lambda name: name != by)  # the colour's comes first
    if len(grouped) > MOST_SERIES:
        raise InputError(
            f"by: there are {len(grouped)} series, of different {', '.join(varying)}, and {MOST_SERIES} can be told "
            "apart; select some by where, or give some of these as panel"
        )
    found: list[Series] = []
    places: dict[str, int] = {}
    for rows in grouped:
        first = rows.iloc[0]
        value = None if by is None or pd.isna(first[by]) else first[by]
        label, rest = (", ".join(_names(first, of, by)) for of in (varying, [name for name in varying if name != by]))
        place = places.setdefault(rest, len(places))
        found.append(Series(rows.sort_values(x, kind="stable"), value, label or "measured", place))
    return found


def _names(row: pd.Series, columns: Sequence[str], by: str | None) -> list[str]:
    """Return the values of columns as labels, the ensemble in the words that it has elsewhere."""
    plain = [name for name in columns if (name not in ENSEMBLE or name == by) and not pd.isna(row[name])]
    if "layer" in plain and by != "model":  # it says what the model is
        plain = [name for name in plain if name != "model"]
    several = [name for name in columns if name in ENSEMBLE and name != by]
    return [*(named(name, row[name]) for name in plain), *([str(_ensemble(row))] if several else [])]


def _ensemble(row: Mapping[Any, Any] | pd.Series) -> Ensemble:
    return Ensemble(*(row[name] for name in ENSEMBLE))


def _keys(means: pd.DataFrame, x: str, by: str | None, panel: str | None) -> list[str]:
    """Return the columns that have one value each within a series."""
    chosen = [name for name in (by, panel) if name is not None]
    keys: list[str] = []
    if x in SIZES:
        others = [name for name in _SIZES if name != x]
        wanted = [name for name in others if name in chosen]
        if x not in _SIZES:
            sizes = ["aspect_ratio", "dim", *(name for name in wanted if name == "n_samples")]
        else:  # of the other two one is fixed, and the third follows
            sizes = wanted or [min(others, key=lambda name: means[name].nunique())]
        keys = [*(name for name in _POINT if name not in (x, panel)), *(name for name in sizes if name != panel)]
    return keys if by is None or by in keys else [by, *keys]


def theory_of(rows: pd.DataFrame, x: str, y: str, regime: RegimeName) -> pd.DataFrame | None:
    """Return the theory of y along a series, whose x is a size; None where there is none.

    Against C there are values between those measured, where they take no seconds; else at the points themselves.
    """
    first = rows.iloc[0]
    points = [_point(row) for row in rows.to_dict("records")]
    if x == "n_classes":
        sizes = curve_classes(first["model"], first["loss"], [point.n_classes for point in points], CURVE_POINTS)
        points = [_point(first.to_dict() | {"n_classes": C}) for C in sizes]
    found = _predicted(points, regime, first["layer"])
    if not found:
        return None
    table = pd.concat(found, ignore_index=True)
    positive: pd.DataFrame = table[table[y] > 0].sort_values(x)
    return positive if len(positive) else None


def _predicted(points: Sequence[Point], regime: RegimeName, layer: LayerName) -> list[pd.DataFrame]:
    """Return the theory of a layer at those of the points where there is one."""
    try:
        return [predict(points, regime, layer)]
    except InputError:  # where the variance of the logits is out of the theory's range, or the laws are
        return [table for point in points for table in _predicted([point], regime, layer)] if len(points) > 1 else []


def _point(row: dict[Any, Any]) -> Point:
    width, ensemble = None if pd.isna(row["width"]) else int(row["width"]), _ensemble(row)
    C, d, N = (int(row[name]) for name in ("n_classes", "dim", "n_samples"))
    return Point(row["model"], row["loss"], C, d, N, width, ensemble)


def fixed_in_words(means: pd.DataFrame, others: Sequence[str | None]) -> str:
    """Return what all rows have in common, but for some columns, as a title."""
    common = [
        name
        for name in dict.fromkeys(("layer", *_POINT, "dim", "aspect_ratio"))
        if name not in others and means[name].nunique(dropna=False) == 1 and not pd.isna(means[name].iloc[0])
    ]
    first = means.iloc[0]
    told = [name for name in common if name not in ENSEMBLE]
    if {*ENSEMBLE} <= {*common} and _ensemble(first) != LECUN:
        told.append(ENSEMBLE[0])
    return ", ".join(_names(first, told, None))
