"""Figure 4: the linear model with squared loss, at initialisation."""

from __future__ import annotations

from rmtsim.figures.registry import register
from rmtsim.paper.hessian_pictures import CLASSES, HessianPictures, at_initialisation
from rmtsim.sweeps.experiment import Experiment


@register
class Fig4(HessianPictures):
    """The Hessian of the linear model with squared loss, which is strictly block-diagonal."""

    name = "fig4"
    title = "Linear model, squared loss, at initialisation"
    source = "Figure 4"
    sentence = (
        "By the calculation of (3) in Section 4, the Hessian is strictly block-diagonal. The numerical "
        "results match the calculation."
    )
    place = 4

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, which always has the paper's sizes."""
        return at_initialisation(self.name, "mse", CLASSES)
