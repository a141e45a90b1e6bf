"""Figures whose numbers, pictures and texts are still functions of the rows: each moves to a module of its own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from rmtsim.figures.figure import Figure
from rmtsim.figures.registry import register
from rmtsim.paper.experiments import binary_pictures, clustered_data, training_experiments
from rmtsim.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class _OfRows(Figure):
    """A figure whose numbers are its rows, drawn and put into words by functions of `rmtsim.paper`.

    ``functions`` names what draws, what writes the text, and what writes the headline, if anything does.
    """

    functions: ClassVar[tuple[str, str, str]]

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows."""
        return rows

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the rows."""
        drawing: Drawing = _function(self.functions[0])(numbers)
        return drawing

    def text(self, numbers: pd.DataFrame) -> str:
        """Return what the rows say."""
        return str(_function(self.functions[1])(numbers))

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return it in a few lines."""
        if not self.functions[2]:
            return super().headline(numbers)
        return str(_function(self.functions[2])(numbers))


def _function(path: str) -> Any:
    """Return a function of `rmtsim.paper`, whose module may import matplotlib."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"rmtsim.paper.{module}"), name)


@register
class Fig10(_OfRows):
    """Figure 10."""

    name = "fig10"
    title = "Binary classification, hidden weights, cross-entropy and squared loss"
    source = "Figure 10"
    sentence = (
        "Numerically, Collobert (2004) reported that CE loss brings the near-block-diagonal structure in "
        "$H_{ww}$, while MSE loss does not"
    )
    place = 12
    functions = ("binary_figure.plot_binary", "binary.report_binary", "binary.headline_binary")

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return binary_pictures.fig10(full)


@register
class Fig11(_OfRows):
    """Figure 11."""

    name = "fig11"
    title = "Clustered data, few classes"
    source = "Figure 11"
    sentence = "When # classes $C$ is small, the Hessian has no block-diagonal structure, regardless of # clusters $K$."
    place = 13
    functions = ("cluster_figure.plot_clusters", "clusters.report_clusters", "clusters.headline_clusters")

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return clustered_data.fig11(full)


@register
class Fig12(_OfRows):
    """Figure 12."""

    name = "fig12"
    title = "Clustered data, many classes"
    source = "Figure 12"
    sentence = (
        "When $C$ is large, the block-diagonal pattern appears regardless of # clusters $K$. This suggests "
        "that large $C$ plays a more critical role than $K$ in the Hessian structure."
    )
    place = 14
    functions = ("cluster_figure.plot_clusters", "clusters.report_clusters", "clusters.headline_clusters")

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return clustered_data.fig12(full)


@register
class Fig13(_OfRows):
    """Figure 13."""

    name = "fig13"
    title = "Loss through training"
    source = "Figure 13"
    sentence = (
        "All the models are trained using Adam with lr = 1e-4 with cosine annealing schedule with lr_min = 0."
        " We train the models until convergence."
    )
    place = 15
    functions = ("loss_curves.plot_loss_curves", "loss_curves.report_loss_curves", "loss_curves.headline_loss_curves")

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return training_experiments.fig13(full)


@register
class DynamicForce(_OfRows):
    """Section 4, Case 4; slides, dynamic force."""

    name = "dynamic_force"
    title = "The dynamic force: norms of the layers' Hessians and the loss through training"
    source = "Section 4, Case 4; slides, “dynamic force”"
    sentence = (
        r"As the training goes, $p_n \to y_n$ and the block-circulant structure disappears. This shows the "
        "“dynamic force” arisen from training."
    )
    place = 16
    functions = (
        "training_figure.plot_dynamic_force",
        "dynamic_force.report_dynamic_force",
        "dynamic_force.headline_dynamic_force",
    )

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return training_experiments.dynamic_force(full)


@register
class TrainingRates(_OfRows):
    """Appendix A, second question."""

    name = "training_rates"
    title = "Off-diagonal over diagonal against C, through training"
    source = "Appendix A, second question"
    sentence = (
        "Interestingly, we numerically find that the block-diagonal Hessian structure remains throughout the "
        "training process (see Figure 2 and 3). … It is possible to extend our theory to the whole training "
        "process, but it requires substantially new mathematical tools and we leave as a future direction."
    )
    place = 27
    functions = ("training_rates_figure.plot_rates", "training_rates.report_rates", "training_rates.headline_rates")

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return training_experiments.training_rates(full)


@register
class TrainingSpectra(_OfRows):
    """Appendix A, fourth question."""

    name = "training_spectra"
    title = "The blocks' spectra through training"
    source = "Appendix A, fourth question"
    sentence = (
        "One future direction is to theoretically characterize the block-wise spectrum and provide guidance "
        "for optimizer design."
    )
    place = 29
    functions = (
        "training_spectra_figure.plot_spectra",
        "training_spectra.report_spectra",
        "training_spectra.headline_spectra",
    )

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return training_experiments.training_spectra(full)
