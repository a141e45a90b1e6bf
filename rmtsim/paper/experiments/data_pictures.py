"""The experiments behind the pictures of Hessians on other data: Figures 1, 11 and 12 of the paper.

Tables are those of ``rmtsim.paper.experiments.pictures``: draw 0 has the maps, further draws the block norms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.data.clusters import Clusters
from rmtsim.data.datasets import Cifar100, Data, Gaussian, OwnData, parse_data
from rmtsim.errors import InputError
from rmtsim.full_hessian.description import PARTS, Look
from rmtsim.kernels.norms import block_norms
from rmtsim.model.point import LOSSES
from rmtsim.paper.experiments.pictures import picture_task
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import AT_START, COLUMNS, Memory, described

#: Hidden neurons and input dimension of Appendix B.3, and samples and classes of Figure 1.
WIDTH, DIM, IMAGES, FINE_CLASSES = 8, 64, 128, 100

#: Largest order of a Hessian of a user's own data; a neuron's rows are held at once, and those of CIFAR-100 are 25 376.
_LARGEST = 40_000

#: Largest entry of such data in size, and one over the least: sums of fourth powers stay far within float64.
_HUGE = 1e50

#: Draws for the numbers, of images and of clustered data.
_IMAGE_DRAWS, _CLUSTER_DRAWS = 32, 64

#: Clustered data: samples, numbers of clusters for the numbers and for the pictures, and of few and of many classes.
SAMPLES = 500
CLUSTERS, PICTURED = (2, 5, 20, 50, 200, 500), (2, 20, 200)
FEW, MANY = (2, 5), (100, 500)


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
    return Experiment(
        "fig1", [picture_task(case, problem), data_norms_task(case, {case: problem}, range(1, _IMAGE_DRAWS))]
    )


def fig11(full: bool = False) -> Experiment:
    """Clustered data, few classes. The paper does not state its K and C; this is always at full size."""
    return clustered("fig11", FEW, FEW)


def fig12(full: bool = False) -> Experiment:
    """Clustered data, many classes, with the numbers of few classes beside them. Always at full size."""
    return clustered("fig12", MANY, FEW + MANY, draws=_CLUSTER_DRAWS // 2)


def clustered(
    name: str,
    pictured: Sequence[int],
    classes: Sequence[int],
    *,
    clusters: Sequence[int] = CLUSTERS,
    draws: int = _CLUSTER_DRAWS,
    n_samples: int = SAMPLES,
) -> Experiment:
    """Experiment over classes C and clusters K at equal d, N and m, with Gaussian data beside them.

    Parameters
    ----------
    name
        Of the experiment.
    pictured, classes
        Numbers of classes with pictures, CE on the unit sphere as in the paper, and with block norms.
    clusters
        K.
    draws, n_samples
        Number of draws, and N.

    Returns
    -------
    Experiment
        Its table has the columns ``n_clusters``, 0 for Gaussian data, and ``scale``, that of
        ``rmtsim.data.clusters.Clusters``. With MSE the ratio of norms does not depend on the scale, and there is one.
    """
    tasks = []
    for C in pictured:
        for K in (K for K in PICTURED if K in clusters):
            problem = Problem("ce", C, DIM, n_samples, (WIDTH,), data=Clusters(K))
            label = f"ce-c{C:04d}-k{K:04d}-picture"
            tasks.append(_about_data(picture_task(_case(problem), problem, look=Look(cells=200)), label, problem))
    for C in classes:
        for loss in LOSSES:
            for scale in ("unit", "standard") if loss == "ce" else ("unit",):
                sets: list[Data] = [Clusters(K, scale=scale) for K in clusters]
                sets += [Gaussian()] if scale == "unit" else []
                problems = [Problem(loss, C, DIM, n_samples, (WIDTH,), data=data) for data in sets]
                first = {_case(problem): problem for problem in problems}
                tasks.append(data_norms_task(f"{loss}-c{C:04d}-{scale}", first, range(1, draws)))
    return Experiment(name, tasks)


def data_norms_task(label: str, problems: Mapping[str, Problem], draws: range) -> Task:
    """Return the task of the block norms of networks with one hidden layer at initialisation, on any data.

    ``problems`` maps the names of pictures to theirs. The whole matrix is not formed.
    """
    cases = {case: problem.parameters() for case, problem in problems.items()}
    settings = {"cases": cases, "draws": [draws.start, draws.stop]}

    def compute() -> pd.DataFrame:
        parts = []
        for case, problem in problems.items():
            rows = pd.DataFrame([row for draw in draws for row in _norms(problem, draw)])
            parts.append(rows.assign(**described(problem, AT_START), case=case, **_data_columns(problem)))
        return pd.concat(parts, ignore_index=True)

    cost = sum(len(draws) * p.n_samples**2 * (p.n_classes + p.dim) for p in problems.values())
    return Task(f"{label}-norms".replace(" ", "-"), settings, compute, cost=float(cost))


def _norms(problem: Problem, draw: int) -> Iterator[dict[str, Any]]:
    X, (W, V), y = problem.draw(draw)
    for layer, norms in block_norms(X, V, W=W, y=y, loss=problem.loss, threads=1, progress=False).items():
        values = {"diag_sqfro": norms.diag_sqfro, "offdiag_sqfro": norms.offdiag_sqfro}
        for quantity, value in values.items():
            if value is not None:
                row = (0, 0.0, *PARTS[layer], quantity, 0, 0, float(value))
                yield dict(zip(COLUMNS, row, strict=True)) | {"draw": draw, "seed": 0}


def _data_columns(problem: Problem) -> dict[str, Any]:
    """Columns that tell clustered data sets from each other."""
    if not isinstance(problem.data, Clusters):
        return {"n_clusters": 0, "scale": ""}
    return {"n_clusters": problem.data.n_clusters, "scale": problem.data.scale}


def _about_data(task: Task, label: str, problem: Problem) -> Task:
    def compute(memory: Memory) -> pd.DataFrame:
        table: pd.DataFrame = task.compute(memory)
        return table.assign(**_data_columns(problem))

    return dataclasses.replace(task, label=label, compute=compute)


def _case(problem: Problem) -> str:
    """Name of a problem in figures; that of the pictures for CE on the unit sphere."""
    data = problem.data
    parts = [f"$C = {problem.n_classes}$", f"$K = {data.n_clusters}$" if isinstance(data, Clusters) else data.kind]
    parts += ["standard scale"] if isinstance(data, Clusters) and data.scale == "standard" else []
    return ", ".join([*parts, *(["MSE"] if problem.loss == "mse" else [])])


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
