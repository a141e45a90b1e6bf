"""Figure 3: one hidden layer with cross-entropy, through training."""

from __future__ import annotations

from rmtsim.figures.registry import register
from rmtsim.paper.hessian_pictures import STRIPED, HessianPictures, along_training, one_hidden_layer
from rmtsim.sweeps.experiment import Experiment


@register
class Fig3(HessianPictures):
    """The Hessian of one hidden layer of 8 neurons with cross-entropy, before, during and after training."""

    name = "fig3"
    title = "One hidden layer, cross-entropy, through training"
    source = "Figure 3; slides, “Hessian throughout training”"
    sentence = (
        "When using CE loss, the full Hessian matrix appears to be a combination of “block-circulant” matrix "
        "(for $H_{wv}$) and block-diagonal matrix (for $H_{ww}$ and $H_{vv}$). … We observe that the "
        "“block-circulant” pattern in $H_{wv}$ vanishes as training goes on, while the near-block-diagonal "
        "patterns in $H_{ww}$ and $H_{vv}$ remain obvious."
    )
    place = 3

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment: d = C = 500 and 10 samples a class; reduced, d = C = 100."""
        return along_training(self.name, one_hidden_layer("ce", full), full, STRIPED)
