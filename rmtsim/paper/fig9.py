"""Figure 9: norms of the blocks of one hidden layer against C, and the same for the squared loss."""

from __future__ import annotations

from rmtsim.figures.decay_figure import DecayFigure
from rmtsim.figures.registry import register


@register
class Fig9(DecayFigure):
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
    specs = ("figure9", "figure9_output")
    model = "one_hidden"
    loss = "ce"
    layers = ("hidden", "output")
    heading = "One hidden layer, cross-entropy"


@register
class Fig9Mse(DecayFigure):
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
    model = "one_hidden"
    loss = "mse"
    layers = ("hidden", "output")
    heading = "One hidden layer, squared loss"
