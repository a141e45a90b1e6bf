"""Figures whose numbers, pictures and texts are still functions of the rows: each moves to a module of its own."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.decays import DECAY_FIGURES, MOST_SERIES
from rmtsim.figures.figure import Figure
from rmtsim.figures.figure_data import figure_data
from rmtsim.figures.headlines import claims_headline
from rmtsim.figures.registry import register
from rmtsim.paper.experiments import binary_pictures, clustered_data, fan_out, training_experiments
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.sweeps.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: Columns that distinguish series over C, beside the ensemble.
_SERIES = ("width", "aspect_ratio", "dim")


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


class _Decay(Figure):
    """Norms against C."""

    claims = True

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the figure's model, loss and layers."""
        spec = DECAY_FIGURES[self.name]
        found = rows[(rows["model"] == spec.model) & (rows["loss"] == spec.loss) & rows["layer"].isin(spec.layers)]
        for layer in spec.layers:
            if not (found["layer"] == layer).any():
                raise InputError(
                    f"figure {self.name}: the draws hold no rows of {spec.model} {spec.loss}, layer {layer}; run such "
                    "a sweep into this store first"
                )
        series = found[[*_SERIES, *ENSEMBLE]].drop_duplicates()
        if len(series) > MOST_SERIES:
            varying = ", ".join(str(name) for name in series if series[name].nunique(dropna=False) > 1)
            raise InputError(
                f"figure {self.name}: the draws hold {len(series)} series over C, of different {varying}, and "
                f"{MOST_SERIES} can be told apart; take some with --sweep NAME, or with --where, such as --where "
                f"'dim == {series['dim'].max()}'"
            )
        return found

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows."""
        return rows

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the rows."""
        from rmtsim.figures.decay_figure import plot_decay

        return plot_decay(figure_data(numbers), DECAY_FIGURES[self.name])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the powers of C and how the points agree with the theory."""
        return claims_headline(numbers)


def _function(path: str) -> Any:
    """Return a function of `rmtsim.paper`, whose module may import matplotlib."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"rmtsim.paper.{module}"), name)


@register
class Fig8(_Decay):
    """Figure 8."""

    name = "fig8"
    title = "Norms of the blocks against C: linear model, cross-entropy"
    source = "Figure 8"
    sentence = (
        "We find that: the ratio between the off-diagonal and diagonal blocks decays to zero at the rate of "
        r"$\mathcal{O}(1/C^2)$, where $C$ is the number of classes. … This means that off-diagonal blocks "
        "become relatively negligible as $C$ increases."
    )
    place = 8
    specs = ("figure8",)


@register
class Fig8Mse(_Decay):
    """Section 4, Case 1."""

    name = "fig8_mse"
    title = "Norms of the blocks against C: linear model, squared loss"
    source = "Section 4, Case 1"
    sentence = "Here, the Hessian is always block-diagonal with $C$ blocks."
    place = 9
    group = "fig8"
    specs = ("linear_mse",)


@register
class Fig9(_Decay):
    """Figure 9."""

    name = "fig9"
    title = "Norms of the blocks against C: one hidden layer, cross-entropy"
    source = "Figure 9"
    sentence = (
        "For the hidden-layer Hessian, the ratios between their off-diagonal and diagonal blocks decay to "
        r"zero at the rate of $\mathcal{O}(1/C)$. For the output-layer Hessian, the decay rate is "
        r"$\mathcal{O}(1/C^2)$."
    )
    place = 10
    specs = ("figure9",)


@register
class Fig9Mse(_Decay):
    """Section 4, Case 3."""

    name = "fig9_mse"
    title = "Norms of the blocks against C: one hidden layer, squared loss"
    source = "Section 4, Case 3"
    sentence = (
        r"The output-layer Hessian is block-diagonal. … As $v_{\cdot,i}, v_{\cdot,j}$ are independent, "
        r"$\mathrm{Cov}(v_{\cdot,i}, v_{\cdot,j}) = 0$ and thus the block-diagonal structure in $H_{ww}$ "
        r"occurs as $C \to \infty$."
    )
    place = 11
    group = "fig9"
    specs = ("figure9_mse",)


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
class Vocabulary(_Decay):
    """Section 1."""

    name = "vocabulary"
    title = "Off-diagonal over diagonal at vocabulary sizes"
    source = "Section 1"
    sentence = (
        "Our theory may shed new light on the Hessian structures of LLMs since they usually have large $C$ "
        "(more than $10^4$ or $10^5$)"
    )
    place = 23
    specs = ("vocabulary",)


@register
class FiniteSize(_OfRows):
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
    functions = (
        "finite_size_figure.plot_finite_size",
        "finite_size_figure.report_finite_size",
        "finite_size_figure.headline_finite_size",
    )

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of its series."""
        found: pd.DataFrame = _function("finite_size_figure.sizes_of")(rows)
        return found


@register
class Agreement(_OfRows):
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
    functions = ("agreement.plot_agreement", "agreement.report_agreement", "agreement.headline_agreement")


@register
class Regimes(_OfRows):
    """Appendix A, first question."""

    name = "regimes"
    title = "Other regimes: d/N → 0 and → ∞, small d, many neurons"
    source = "Appendix A, first question"
    sentence = (
        "We will try to extend our analysis to other regimes such as non-asymptotic or over-parameterized "
        "regime in the future."
    )
    place = 26
    specs = ("regime_aspect", "regime_samples", "regime_dim", "regime_dim_hidden", "regime_width", "regime_width_mse")
    functions = ("regimes_figure.plot_regimes", "regimes.report_regimes", "regimes_headline.headline_regimes")

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of its series."""
        found: pd.DataFrame = _function("regimes.regimes_of")(rows)
        return found


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
class FanOut(_OfRows):
    """Appendix A, third question."""

    name = "fan_out"
    title = "Deeper networks: block structure against each layer's fan-out"
    source = "Appendix A, third question"
    sentence = (
        "For deeper models, we conjecture the block-diagonal structure will be primarily driven by the number"
        " of output neurons in each layer (a.k.a., the “fan-out dimension”)."
    )
    place = 28
    functions = ("fan_out_figure.plot_fan_out", "fan_out_report.report_fan_out", "fan_out_report.headline_fan_out")

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return its experiment."""
        return fan_out.fan_out(full)


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
