"""Figure 7: one hidden layer with cross-entropy, at initialisation."""

from __future__ import annotations

from rmtsim.figures.registry import register
from rmtsim.paper.hessian_pictures import CLASSES, HessianPictures, at_initialisation
from rmtsim.sweeps.experiment import Experiment


@register
class Fig7(HessianPictures):
    """The Hessian of one hidden layer of 8 neurons with cross-entropy."""

    name = "fig7"
    title = "One hidden layer, cross-entropy, at initialisation: hidden and output weights"
    source = "Figure 7"
    sentence = (
        "It can be seen that the block-diagonal structure becomes clearer as the number of classes $C$ "
        "increases, which matches the theoretical prediction. These results hold for both MSE and CE loss."
    )
    place = 7
    heading = "One hidden layer, cross-entropy, at initialisation"

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, which always has the paper's sizes."""
        return at_initialisation(self.name, "ce", CLASSES, (8,))
