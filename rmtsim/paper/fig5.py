"""Figure 5: the linear model with cross-entropy, at initialisation."""

from __future__ import annotations

from rmtsim.figures.registry import register
from rmtsim.paper.hessian_pictures import CLASSES, HessianPictures, at_initialisation
from rmtsim.sweeps.experiment import Experiment


@register
class Fig5(HessianPictures):
    """The Hessian of the linear model with cross-entropy, whose blocks emerge as C grows."""

    name = "fig5"
    title = "Linear model, cross-entropy, at initialisation"
    source = "Figure 5"
    sentence = (
        "The block-diagonal Hessian structure becomes clear when $C$ increases, which matches our theoretical"
        " prediction in Theorem 1."
    )
    place = 5

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment; only ``full`` has C = 1000, whose Hessian of order 64 000 takes minutes."""
        return at_initialisation(self.name, "ce", CLASSES if full else (10, 50, 100, 300))
