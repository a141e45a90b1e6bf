"""The experiments behind the pictures of Hessians on clustered data: Figures 11 and 12 of the paper.

Tables are those of ``rmtsim.paper.hessian_pictures``: draw 0 has the maps, further draws the block norms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from rmtsim.data.clusters import Clusters
from rmtsim.data.datasets import DataLaw
from rmtsim.data.gaussian import Gaussian
from rmtsim.full_hessian.description import Look
from rmtsim.model.choices import LOSSES
from rmtsim.paper.hessian_pictures import data_columns, data_norms_task, picture_task
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint

#: Hidden neurons and input dimension of Appendix B.3.
WIDTH, DIM = 8, 64

#: Draws for the numbers.
_DRAWS = 64

#: Clustered data: samples, numbers of clusters for the numbers and for the pictures, and of few and of many classes.
SAMPLES = 500
CLUSTERS, PICTURED = (2, 5, 20, 50, 200, 500), (2, 20, 200)
FEW, MANY = (2, 5), (100, 500)


def fig11(full: bool = False) -> Experiment:
    """Clustered data, few classes. The paper does not state its K and C; this is always at full size."""
    return clustered("fig11", FEW, FEW)


def fig12(full: bool = False) -> Experiment:
    """Clustered data, many classes, with the numbers of few classes beside them. Always at full size."""
    return clustered("fig12", MANY, FEW + MANY, draws=_DRAWS // 2)


def clustered(
    name: str,
    pictured: Sequence[int],
    classes: Sequence[int],
    *,
    clusters: Sequence[int] = CLUSTERS,
    draws: int = _DRAWS,
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
                sets: list[DataLaw] = [Clusters(K, scale=scale) for K in clusters]
                sets += [Gaussian()] if scale == "unit" else []
                problems = [Problem(loss, C, DIM, n_samples, (WIDTH,), data=data) for data in sets]
                first = {_case(problem): problem for problem in problems}
                tasks.append(data_norms_task(f"{loss}-c{C:04d}-{scale}", first, range(1, draws)))
    return Experiment(name, tasks)


def _about_data(task: Task, label: str, problem: Problem) -> Task:
    def compute(checkpoint: Checkpoint) -> pd.DataFrame:
        table: pd.DataFrame = task.compute(checkpoint)
        return table.assign(**data_columns(problem))

    return dataclasses.replace(task, label=label, compute=compute)


def _case(problem: Problem) -> str:
    """Name of a problem in figures; that of the pictures for CE on the unit sphere."""
    data = problem.data
    parts = [f"$C = {problem.n_classes}$", f"$K = {data.n_clusters}$" if isinstance(data, Clusters) else data.name]
    parts += ["standard scale"] if isinstance(data, Clusters) and data.scale == "standard" else []
    return ", ".join([*parts, *(["MSE"] if problem.loss == "mse" else [])])
