"""The slides' phase transition: the linear model with cross-entropy at C = 2, 10 and 100."""

from __future__ import annotations

from rmtsim.figures.registry import register
from rmtsim.paper.hessian_pictures import HessianPictures, at_initialisation
from rmtsim.sweeps.experiment import Experiment


@register
class SlidesClasses(HessianPictures):
    """The Hessian of the linear model with cross-entropy at the slides' numbers of classes."""

    name = "slides_classes"
    title = "Linear model, cross-entropy, at C = 2, 10 and 100"
    source = "slides, “We find a phase transition”"
    sentence = "Cannot see special Hessian structures. Why? … It seems that large #class C is important"
    place = 17
    heading = "Linear model, cross-entropy, at initialisation"

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, which always has the slides' sizes."""
        return at_initialisation(self.name, "ce", (2, 10, 100))
