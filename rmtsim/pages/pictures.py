"""The figures that a store's draws and tables can draw, each with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rmtsim.errors import InputError, RunError
from rmtsim.figures import Figure, all_figures, registry
from rmtsim.figures.column_choice import ColumnChoice
from rmtsim.figures.decay_figure import MOST_SERIES
from rmtsim.figures.figure_data import figure_data
from rmtsim.figures.matplotlib_setup import load_matplotlib
from rmtsim.figures.parts import PART, part
from rmtsim.model.layers import WITH_DIAGONAL
from rmtsim.pages.contents import Contents
from rmtsim.pages.elements import Markup
from rmtsim.pages.stored_experiments import StoredExperiment, figure_experiment
from rmtsim.pages.vector_graphics import inline_svg
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.sweeps.spec import Spec

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: Columns along which draws are shown where they are not of several C, the first that varies most.
_AXES = ("n_classes", "dim", "aspect_ratio", "width", "n_samples", "data_variance", "hidden_gain", "last_gain")

#: Values of a size that are drawn where there are too many series.
_SHOWN = 4

_MODELS = {"linear": "linear model", "one_hidden": "one hidden layer"}
_LOSSES = {"ce": "cross-entropy", "mse": "squared loss"}

#: Columns of a comparison with the theory that stand in no table: others say the same.
_SPARED = ("skewness", "interval_low", "interval_high", "p_value", "p_adjusted", "within_limit", "ensemble")


@dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes
    ----------
    name, title
        Its name, which no other figure of the report has, and what is seen.
    source, sentence
        Where it stands in the paper, and the sentence that it tests; empty for draws of a user's own.
    drawings, beside
        The figure, perhaps in several graphics; none where it could not be drawn. And whether these stand beside each
        other where there is room.
    tables
        Its numbers, by what they are.
    text, note
        Its numbers in words, and what of them it leaves out.
    problem
        Why it could not be drawn.
    """

    name: str
    title: str
    source: str = ""
    sentence: str = ""
    drawings: Sequence[Markup] = field(default=(), repr=False)
    beside: bool = False
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    text: str = ""
    note: str = ""
    problem: str = ""


def pictures_of(contents: Contents, theory: bool = True) -> Iterator[Picture]:
    """Yield what the draws and the tables of a store can draw: figures of the registry, else the plain columns.

    Parameters
    ----------
    contents
        What the store holds.
    theory
        Whether to draw the theory; figures of draws are then those of the registry.
    """
    load_matplotlib()
    stored = {spec.name: {point.id for point in spec.points()} for spec in contents.specs}
    shown: set[str] = set()
    for figure in all_figures().values() if theory and contents.summary is not None else ():
        names = {*figure.sweeps(), *figure.sweeps(full=True)} & stored.keys()
        if not names:
            continue
        rows = contents.draws(set().union(*(stored[name] for name in names)))
        picture = _of_figure(figure, rows, figure.name) if len(rows) else None
        if picture is not None and not picture.problem:
            shown |= names
            yield picture
    yield from _of_sweeps(contents, {name: stored[name] for name in stored if name not in shown}, theory)
    for experiment in contents.experiments:
        if experiment.figure is not None and experiment.is_done:
            yield _of_experiment(contents, experiment)


def _of_experiment(contents: Contents, experiment: StoredExperiment) -> Picture:
    assert experiment.figure is not None
    figure, full, data = experiment.figure
    name = f"experiment-{experiment.name}"
    try:
        rows = figure_experiment(figure, full, data).read(contents.store)
    except (InputError, RunError) as error:
        return Picture(name, figure.title, figure.source, figure.sentence, problem=str(error))
    return _of_figure(figure, rows, name)


def _of_figure(figure: Figure, rows: pd.DataFrame, name: str) -> Picture:
    """Return a figure of the registry, or the reason why these rows cannot draw it."""
    about = figure.title, figure.source, figure.sentence
    try:
        with registry.own_code(figure):
            numbers = figure.numbers(figure.select(rows))
            drawing, text = figure.plot(numbers), "" if figure.claims else figure.text(numbers)
        drawn = inline_svg(drawing, name, figure.title, _described(figure.source))
    except (InputError, RunError) as error:
        return Picture(name, *about, problem=str(error))
    return Picture(name, *about, drawings=[drawn], tables=_tables(numbers), text=text)


def _tables(numbers: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the numbers of a figure as tables, without what is no single value, such as a map."""
    parts = {str(name): part(numbers, name) for name in numbers[PART].unique()} if PART in numbers else {"": numbers}
    found = {}
    for name, rows in parts.items():
        plain = [column for column in rows if not rows[column].map(_is_array).any()]
        found[name] = rows[[column for column in plain if column not in (PART, *_SPARED)]]
    return {name: rows for name, rows in found.items() if len(rows) and name != "claims"}


def _is_array(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str)


def _described(source: str) -> str:
    return f"{source}. The numbers stand in the tables below the figure.".removeprefix(". ")


def _of_sweeps(contents: Contents, stored: Mapping[str, set[str]], theory: bool) -> Iterator[Picture]:
    """Yield figures of the sweeps, and of draws that no spec names, one for each model and loss."""
    summary = contents.summary
    if summary is None:
        return
    named = set().union(*({point.id for point in spec.points()} for spec in contents.specs))
    specs = {spec.name: spec for spec in contents.specs}
    for name, points in stored.items():
        means = summary[summary["point_id"].isin(points)]
        if len(means):
            yield _of_means(f"sweep-{name}", _heading(specs[name]), means, theory)
    others = summary[~summary["point_id"].isin(named)]
    for (model, loss), means in others.groupby(["model", "loss"], sort=False):
        title = f"Draws that no spec names: {_in_words(model, loss)}"
        yield _of_means(f"unnamed-{model}-{loss}", title, means, theory)


def _heading(spec: Spec) -> str:
    return f"Sweep {spec.name}: {_in_words(spec.model, spec.loss)}"


def _in_words(model: Any, loss: Any) -> str:
    return f"{_MODELS.get(model, model)}, {_LOSSES.get(loss, loss)}"


def _of_means(name: str, title: str, every: pd.DataFrame, theory: bool) -> Picture:
    """Return the figure of the means of a sweep: against C as the paper's, else against the size that varies most."""
    means, note = _some_series(every)
    try:
        return replace(_drawn(name, title, means, theory), note=note)
    except (InputError, RunError) as error:
        return Picture(name, title, problem=str(error))


def _drawn(name: str, title: str, means: pd.DataFrame, theory: bool) -> Picture:
    layers = tuple(layer for layer in WITH_DIAGONAL if (means["layer"] == layer).any())
    decays = means[means["layer"].isin(layers)]
    if theory and decays["n_classes"].nunique() > 1 and _series(decays) <= MOST_SERIES:
        data = figure_data(decays)
        if data.points["finite"].notna().any():
            drawing = _decay(data.points, data.curves, _Decay(title.partition(": ")[2].capitalize(), layers))
            drawn = inline_svg(drawing, name, title, _described("Norms of the blocks against C"))
            tables = {"points": _tables(data.points)[""], "curves": data.curves}
            return Picture(name, title, drawings=[drawn], tables=tables)
    return _of_columns(name, title, means, theory)


def _series(means: pd.DataFrame) -> int:
    """Return the number of series against C."""
    return len(means[["width", "aspect_ratio", "dim", *ENSEMBLE]].drop_duplicates())


def _some_series(means: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return means of which a figure against C can show all series, and in words which they are, if not all."""
    said = []
    if means["n_classes"].nunique() > 1:
        for axis, symbol in (("dim", "d"), ("width", "m"), ("aspect_ratio", "d/N")):
            values = sorted(means[axis].dropna().unique())
            if _series(means) > MOST_SERIES and len(values) > _SHOWN:
                kept = [values[round(place)] for place in np.linspace(0, len(values) - 1, _SHOWN)]
                means = means[means[axis].isin(kept)]
                shown = ", ".join(f"{value:g}" for value in kept)
                said.append(f"{symbol} = {shown}, {_SHOWN} of {len(values)} values")
    if not said:
        return means, ""
    return means, f"Of its series only some are drawn: {'; '.join(said)}. `rmtsim plot --where EXPR` draws others."


@dataclass(frozen=True)
class _Decay:
    """What a drawing of a sweep over C shows, as `rmtsim.figures.decay_figure.DecayFigure` does."""

    heading: str
    layers: Sequence[str]
    quantities: Sequence[str] = QUANTITIES
    landmarks: Mapping[int, str] = field(default_factory=dict)


def _decay(points: pd.DataFrame, curves: pd.DataFrame, shown: _Decay) -> Drawing:
    from rmtsim.figures.decay_drawing import plot_decay

    return plot_decay(points, curves, shown)


def _of_columns(name: str, title: str, means: pd.DataFrame, theory: bool) -> Picture:
    """Return a graphic of each measured quantity against the size that has most values."""
    from rmtsim.figures.column_drawing import plot_columns

    varying = {axis: means[axis].nunique() for axis in _AXES if means[axis].nunique() > 1}
    if not varying:
        return Picture(name, title, problem="all draws are of one point, whose numbers stand with the verdicts")
    x = max(varying, key=lambda axis: varying[axis])
    panel = "layer" if means["layer"].nunique() > 1 else None
    by = next((axis for axis in ("aspect_ratio", "n_classes", "dim", "width") if axis in varying and axis != x), None)
    drawings, shown = [], []
    for y in ("ratio", "diag_sqfro", "offdiag_sqfro"):
        known = means.dropna(subset=[y])
        if not (known[y] != 0).any():
            continue
        choice = ColumnChoice.of(x, y, by, panel)
        drawing = plot_columns(choice, known, choice.panels(known), choice.regimes() if theory else ())
        drawings.append(inline_svg(drawing, f"{name}-{y}", f"{title}, {y} against {x}", _described("")))
        shown += [y, *(f"{kind}_{y.removesuffix('_sqfro')}" for kind in ("std_error", "rse", "heavy_tail"))]
    tables = {"": means[[*_OF_POINT, *shown]]}
    return Picture(name, f"{title}, against {x}", drawings=drawings, beside=panel is None, tables=tables)


#: The columns of a mean that say of which point it is.
_OF_POINT = ("model", "loss", "layer", "n_classes", "dim", "n_samples", "width", "aspect_ratio", *ENSEMBLE, "draws")
