"""Figure 1: the Hessian of one hidden layer on images, or on a user's own data."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rmtsim.data.cifar import Cifar100
from rmtsim.data.datasets import is_data, parse_data
from rmtsim.data.own_data import OwnData
from rmtsim.errors import InputError
from rmtsim.figures.parts import part
from rmtsim.figures.registry import register
from rmtsim.paper.hessian_pictures import HessianPictures, data_norms_task, picture_task
from rmtsim.paper.norm_shares import in_percent
from rmtsim.sweeps.experiment import Experiment
from rmtsim.training.problem import Problem

#: Hidden neurons and input dimension of Appendix B.3, and samples and classes of Figure 1.
WIDTH, DIM, IMAGES, FINE_CLASSES = 8, 64, 128, 100

#: Largest order of a Hessian of a user's own data; a neuron's rows are held at once, and those of CIFAR-100 are 25 376.
_LARGEST = 40_000

#: Largest entry of such data in size, and one over the least: sums of fourth powers stay far within float64.
_HUGE = 1e50

#: Draws for the numbers.
_DRAWS = 32

_DATA = {"cifar100": "{N} random images of CIFAR-100", "arrays": "{N} samples of the user's own data"}
_SHARES = {"hidden": "of the hidden layer", "output": "of the output layer", "whole": "of all"}


@register
class Fig1(HessianPictures):
    """The Hessian of one hidden layer of 8 neurons with cross-entropy, at initialisation: of 128 random images.

    The data are CIFAR-100, in the folder that the published ``cifar-100-python.tar.gz`` unpacks to; or any that
    `rmtsim.data.datasets.parse_data` knows, such as a user's own ``mine.npz``. Of such a file 128 samples are drawn, or
    all where there are fewer, and it gives C and d itself. The size is always the paper's.
    """

    name = "fig1"
    title = "CIFAR-100, one hidden layer at initialisation"
    source = "Figure 1"
    sentence = (
        "Our numerical results in Figure 1 show that the near-block-diagonal structure in $H_{ww}$ occurs not"
        " only during the training, but also at initialization."
    )
    place = 1
    data = "CIFAR-100, the unpacked cifar-100-python.tar.gz"

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment.

        Raises
        ------
        InputError
            If the data are not there, or not of a format that is known, or too large.
        """
        case, problem = _problem_on(data or "")
        norms = data_norms_task(case, {case: problem}, range(1, _DRAWS))
        return Experiment(self.name, [picture_task(case, problem), norms])

    def heading_of(self, maps: pd.DataFrame) -> str:
        """Return the data and sizes of the picture."""
        one = maps.iloc[0]
        kind = "arrays" if ".npz@" in one["data"] else one["data"].partition(":")[0]
        data = _DATA.get(kind, "{N} samples, data: " + str(one["case"])).format(N=one["n_samples"])
        sizes = f"$d = {one['dim']}$, $C = {one['n_classes']}$, $m = {one['hidden']}$"
        return f"{data}, one hidden layer at initialisation, cross-entropy: {sizes}"

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the shares outside the diagonal blocks, and between layers, in one line."""
        found = part(numbers, "shares")
        values = {row["share"]: in_percent(row["value"], row["std_error"]) for row in found.to_dict("records")}
        outside = ", ".join(f"{words} {values[share]}" for share, words in _SHARES.items())
        draws, n_samples = found["draws"].iloc[0], part(numbers, "maps")["n_samples"].iloc[0]
        return (
            f"squared norm outside the diagonal blocks, {outside}; between layers {values['cross']} "
            f"({draws} draws of {n_samples} samples and of the weights, {found['case'].iloc[0]})"
        )


def _problem_on(text: str) -> tuple[str, Problem]:
    """Return the name of a picture of some data, and its problem."""
    data = parse_data(text) if is_data(text) else Cifar100(text)
    if isinstance(data, Cifar100):
        data.parameters()  # reads the file, so that its faults are found at once
        return "CIFAR-100", Problem("ce", FINE_CLASSES, 3 * 32 * 32, IMAGES, (WIDTH,), data=data)
    if not isinstance(data, OwnData):
        return text, Problem("ce", FINE_CLASSES, DIM, IMAGES, (WIDTH,), data=data)
    n_classes, dim, n_samples = data.sizes()
    order = WIDTH * (n_classes + dim)
    if n_classes < 2 or order > _LARGEST:
        raise InputError(
            f"data: C = {n_classes} and d = {dim} of {data.path} make a Hessian of order {order}; give data of at "
            f"least 2 classes, and of an order 8 (C + d) of at most {_LARGEST}"
        )
    largest = float(np.abs(data.draw(n_classes, dim, n_samples, key="")[0]).max())
    if not 1 / _HUGE <= largest <= _HUGE:
        raise InputError(
            f"X: the largest entry of {data.path} is {largest:g} in size, and its fourth power is in the norms; give "
            f"entries of at most {_HUGE:g} and not all below {1 / _HUGE:g}, say of mean 0 and variance 1"
        )
    return "own data", Problem("ce", n_classes, dim, min(n_samples, IMAGES), (WIDTH,), data=data)
