"""The slides' deep network: four layers with cross-entropy, through training."""

from __future__ import annotations

from rmtsim.figures.registry import register
from rmtsim.paper.hessian_pictures import HessianPictures, along_training
from rmtsim.sweeps.experiment import Experiment
from rmtsim.training.problem import Problem


@register
class Deep(HessianPictures):
    """The Hessian of four layers of width 50, before, during and after training."""

    name = "deep"
    title = "Four layers, at initialisation and through training"
    source = "slides, “Hessian for Deep NNs?”"
    sentence = "Source of special Hessian: consecutive multiplication of large and well-shaped matrix variables"
    place = 20
    heading = "Four layers, cross-entropy, through training"

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, which always has the slides' size: d = C = 50, N = 500.

        The slides do not say how long the network was trained. With ``full`` it has Figure 3's schedule and one draw,
        else the reduced schedule and more draws.
        """
        return along_training(self.name, Problem("ce", 50, 50, 500, (50, 50, 50), dtype="float32"), full)
