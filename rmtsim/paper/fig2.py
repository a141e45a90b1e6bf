"""Figure 2: one hidden layer with squared loss, through training."""

from __future__ import annotations

from rmtsim.figures.registry import register
from rmtsim.paper.hessian_pictures import STRIPED, HessianPictures, along_training, one_hidden_layer
from rmtsim.sweeps.experiment import Experiment


@register
class Fig2(HessianPictures):
    """The Hessian of one hidden layer of 8 neurons with squared loss, before, during and after training."""

    name = "fig2"
    title = "One hidden layer, squared loss, through training"
    source = "Figure 2"
    sentence = (
        "For both MSE loss and CE loss, we observe near-block-diagonal structures in $H_{ww}$ and $H_{vv}$ "
        "and such structures maintains along training. … Numerically, we observe that $H_{wv}$ under MSE loss"
        " is indeed negligible compared to $H_{ww}$ and $H_{vv}$. This is observed throughout the training, "
        "including at the initialization (see Figure 2)."
    )
    place = 2

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment: d = C = 500 and 10 samples a class; reduced, d = C = 100."""
        return along_training(self.name, one_hidden_layer("mse", full), full, STRIPED)
