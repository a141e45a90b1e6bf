"""Figure 1: the Hessian of one hidden layer on images, or on a user's own data."""

from __future__ import annotations

import numpy as np

from rmtsim.data.datasets import Cifar100, OwnData, parse_data
from rmtsim.errors import InputError
from rmtsim.paper.hessian_pictures import data_norms_task, picture_task
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


def fig1(full: bool = False, data: str | None = None) -> Experiment:
    """One hidden layer of 8 neurons on real data at initialisation: 128 random images of CIFAR-100, CE.

    Parameters
    ----------
    full
        It always has the paper's size.
    data
        The folder that the published ``cifar-100-python.tar.gz`` unpacks to; or any text that
        ``rmtsim.data.datasets.parse_data`` knows, say ``mine.npz``: of a user's own file 128 samples are drawn, or all
        where there are fewer, and it says C and d itself.

    Raises
    ------
    InputError
        If there are no data, or not of that format, or too large.
    """
    if data is None:
        raise InputError("fig1: needs CIFAR-100, the unpacked cifar-100-python.tar.gz; give --data FOLDER")
    case, problem = _real(data)
    return Experiment("fig1", [picture_task(case, problem), data_norms_task(case, {case: problem}, range(1, _DRAWS))])


def _real(text: str) -> tuple[str, Problem]:
    """Return the name of a picture of some data, and its problem."""
    is_other = text.endswith(".npz") or text.partition(":")[0] in ("gaussian", "clusters", "cifar100")
    data = parse_data(text) if is_other else Cifar100(text)
    if isinstance(data, Cifar100):
        data.parameters()  # reads the file, so that what is wrong with it is told at once
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
