"""Figure 8: norms of the blocks of the linear model against C, and the same for the squared loss."""

from __future__ import annotations

from rmtsim.figures.decay_figure import DecayFigure
from rmtsim.figures.registry import register


@register
class Fig8(DecayFigure):
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
    model = "linear"
    loss = "ce"
    layers = ("linear",)
    heading = "Linear model, cross-entropy"


@register
class Fig8Mse(DecayFigure):
    """Section 4, Case 1."""

    name = "fig8_mse"
    title = "Norms of the blocks against C: linear model, squared loss"
    source = "Section 4, Case 1"
    sentence = "Here, the Hessian is always block-diagonal with $C$ blocks."
    place = 9
    group = "fig8"
    specs = ("linear_mse",)
    model = "linear"
    loss = "mse"
    layers = ("linear",)
    heading = "Linear model, squared loss"
