"""The named figures: the rows that each shows, how it is drawn and told, and how it is saved."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.decays import DECAY_FIGURES, MOST_SERIES, DecayFigure
from rmtsim.figures.drawing import FORMATS, encoded, later
from rmtsim.figures.figure_data import figure_data
from rmtsim.files.output_files import check_output, write_output
from rmtsim.paper import hessian_pictures as pictures
from rmtsim.paper.binary import headline_binary, report_binary
from rmtsim.paper.clusters import headline_clusters, report_clusters
from rmtsim.paper.decoupling import decoupling, report_decoupling
from rmtsim.paper.dynamic_force import headline_dynamic_force, report_dynamic_force
from rmtsim.paper.experiments.binary_pictures import fig10
from rmtsim.paper.experiments.clustered_data import fig11, fig12
from rmtsim.paper.experiments.fan_out import fan_out
from rmtsim.paper.experiments.training_experiments import dynamic_force, fig13, training_rates, training_spectra
from rmtsim.paper.fan_out_report import headline_fan_out, report_fan_out
from rmtsim.paper.fig1 import fig1
from rmtsim.paper.picture_report import headline_pictures, report_pictures
from rmtsim.paper.regimes import regimes_of, report_regimes
from rmtsim.paper.simo import simo
from rmtsim.paper.spectrum import spectrum
from rmtsim.paper.training_rates import headline_rates, report_rates
from rmtsim.paper.training_spectra import headline_spectra, report_spectra
from rmtsim.paper.wishart import wishart
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.stats.points import points
from rmtsim.stats.render import render
from rmtsim.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class NamedFigure(NamedTuple):
    """How a figure is made from the rows of a sweep's draws or of an experiment's table.

    Parameters
    ----------
    select
        The rows that it shows; raises InputError where they are not there.
    plot
        Draws them.
    experiment
        Makes the experiment whose table it shows, at the reduced size or, ``experiment(True)``, at the paper's; None:
        it shows draws. What needs data that a user brings takes its place as a second argument.
    report
        Tells the numbers of all rows, as text; None: the verdicts of `rmtsim.stats.verdicts` do.
    headline
        Tells them in a few lines of Markdown, for the gallery; None: the report is short enough.
    """

    select: Callable[[pd.DataFrame], pd.DataFrame]
    plot: Callable[[pd.DataFrame], Figure]
    experiment: Callable[..., Experiment] | None = None
    report: Callable[[pd.DataFrame], str] | None = None
    headline: Callable[[pd.DataFrame], str] | None = None


#: What tells a series over C, beside the ensemble.
_SERIES = ("width", "aspect_ratio", "dim")


def _of_layers(name: str, spec: DecayFigure, draws: pd.DataFrame) -> pd.DataFrame:
    """Rows of a figure's model, loss and layers."""
    rows = draws[(draws["model"] == spec.model) & (draws["loss"] == spec.loss) & draws["layer"].isin(spec.layers)]
    for layer in spec.layers:
        if not (rows["layer"] == layer).any():
            raise InputError(
                f"figure {name}: the draws hold no rows of {spec.model} {spec.loss}, layer {layer}; run such a sweep "
                "into this store first"
            )
    series = rows[[*_SERIES, *ENSEMBLE]].drop_duplicates()
    if len(series) > MOST_SERIES:
        varying = ", ".join(str(name) for name in series if series[name].nunique(dropna=False) > 1)
        raise InputError(
            f"figure {name}: the draws hold {len(series)} series over C, of different {varying}, and {MOST_SERIES} can "
            "be told apart; take some with --sweep NAME, or with --where, such as --where 'dim == "
            f"{series['dim'].max()}'"
        )
    return rows


def _plot_decay(spec: DecayFigure, rows: pd.DataFrame) -> Figure:
    figure: Figure = later("figures.decay_figure.plot_decay")(figure_data(rows), spec)
    return figure


def _all(rows: pd.DataFrame) -> pd.DataFrame:
    return rows


def _points(rows: pd.DataFrame) -> str:
    return render(points(later("paper.finite_size_figure.sizes_of")(rows)))


def _at_one_size(experiment: Callable[[], Experiment]) -> Callable[..., Experiment]:
    """Return the factory of an experiment that has the paper's size on any machine."""
    return lambda full=False: experiment()


#: Titles of the pictures of Hessians, and what makes their tables.
_PICTURES = {
    "fig2": ("One hidden layer, squared loss, through training", pictures.fig2),
    "fig3": ("One hidden layer, cross-entropy, through training", pictures.fig3),
    "fig4": ("Linear model, squared loss, at initialisation", pictures.fig4),
    "fig5": ("Linear model, cross-entropy, at initialisation", pictures.fig5),
    "fig6": ("One hidden layer, squared loss, at initialisation", pictures.fig6),
    "fig7": ("One hidden layer, cross-entropy, at initialisation", pictures.fig7),
    "slides_classes": ("Linear model, cross-entropy, at initialisation", pictures.slides_classes),
    "deep": ("Four layers, cross-entropy, through training", pictures.deep),
}

_SWEPT = {
    name: NamedFigure(
        partial(_of_layers, name, spec), partial(_plot_decay, spec), headline=later("figures.headlines.claims_headline")
    )
    for name, spec in DECAY_FIGURES.items()
}

_PICTURED = {
    name: NamedFigure(
        _all,
        partial(later("paper.hessian_figure.plot_pictures"), title=title),
        experiment,
        report_pictures,
        headline_pictures,
    )
    for name, (title, experiment) in _PICTURES.items()
}

FIGURES = {
    **_SWEPT,
    **_PICTURED,
    "fig1": NamedFigure(
        _all, later("paper.data_figure.plot_data"), fig1, report_pictures, later("paper.data_figure.headline_data")
    ),
    "fig10": NamedFigure(_all, later("paper.binary_figure.plot_binary"), fig10, report_binary, headline_binary),
    "fig11": NamedFigure(_all, later("paper.cluster_figure.plot_clusters"), fig11, report_clusters, headline_clusters),
    "fig12": NamedFigure(_all, later("paper.cluster_figure.plot_clusters"), fig12, report_clusters, headline_clusters),
    "fig13": NamedFigure(
        _all,
        later("paper.loss_curves.plot_loss_curves"),
        fig13,
        later("paper.loss_curves.report_loss_curves"),
        later("paper.loss_curves.headline_loss_curves"),
    ),
    "dynamic_force": NamedFigure(
        _all,
        later("paper.training_figure.plot_dynamic_force"),
        dynamic_force,
        report_dynamic_force,
        headline_dynamic_force,
    ),
    "training_rates": NamedFigure(
        _all, later("paper.training_rates_figure.plot_rates"), training_rates, report_rates, headline_rates
    ),
    "training_spectra": NamedFigure(
        _all, later("paper.training_spectra_figure.plot_spectra"), training_spectra, report_spectra, headline_spectra
    ),
    "simo": NamedFigure(_all, later("paper.simo_figure.plot_simo"), simo, later("paper.simo.report_simo")),
    "wishart": NamedFigure(
        _all, later("paper.wishart_figure.plot_wishart"), wishart, later("paper.wishart.report_wishart")
    ),
    "regimes": NamedFigure(
        regimes_of,
        later("paper.regimes_figure.plot_regimes"),
        report=report_regimes,
        headline=later("paper.regimes_headline.headline_regimes"),
    ),
    "finite_size": NamedFigure(
        later("paper.finite_size_figure.sizes_of"),
        later("paper.finite_size_figure.plot_finite_size"),
        report=_points,
        headline=later("figures.headlines.points_headline"),
    ),
    "agreement": NamedFigure(
        _all,
        later("paper.agreement.plot_agreement"),
        report=later("paper.agreement.report_agreement"),
        headline=later("figures.headlines.agreement_headline"),
    ),
    "spectrum": NamedFigure(
        _all,
        later("paper.spectrum_figure.plot_spectrum"),
        _at_one_size(spectrum),
        later("paper.spectrum.render_spectrum"),
    ),
    "fan_out": NamedFigure(_all, later("paper.fan_out_figure.plot_fan_out"), fan_out, report_fan_out, headline_fan_out),
    "decoupling": NamedFigure(
        _all, later("paper.decoupling_figure.plot_decoupling"), _at_one_size(decoupling), report_decoupling
    ),
}


def check(name: str, path: str | Path) -> None:
    """Raise InputError unless ``name`` is a figure and ``path`` a file that ``save`` can write."""
    named(name)
    check_path(path)


def check_path(path: str | Path) -> None:
    """Raise InputError unless ``path`` is a file that ``save`` can write."""
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise InputError(f"--out: {str(path)!r} has the suffix {suffix!r}; give one of {', '.join(FORMATS)}")
    check_output(path)


def named(name: str) -> NamedFigure:
    """Return a figure by name; raise InputError if there is none."""
    if name not in FIGURES:
        raise InputError(f"figure: {name!r} is not known; choose one of {', '.join(FIGURES)}")
    return FIGURES[name]


def draw(name: str, rows: pd.DataFrame) -> Figure:
    """Draw a figure of ``FIGURES``, from draws with the store's columns or from its experiment's table.

    Raises
    ------
    InputError
        If there is no such figure, or the draws lack what it shows.
    """
    return named(name).plot(select(name, rows))


def select(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a figure shows; raises as ``draw`` does."""
    return named(name).select(rows)


def save(figure: Figure, path: str | Path) -> None:
    """Write a PNG (200 dots per inch) or a PDF; equal figures give equal files, for no date is written.

    Raises
    ------
    InputError
        If the suffix is another, or the directory does not exist.
    """
    check_path(path)
    write_output(path, encoded(figure, Path(path).suffix))
