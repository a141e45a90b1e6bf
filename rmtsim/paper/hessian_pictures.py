"""The experiments behind the pictures of Hessians: Figures 2 to 7 of the paper and those of the slides.

Each table is the long one of ``rmtsim.full_hessian.description`` with a column ``case``, which names the picture. Draw
0 has the maps; further draws, of norms alone, give the numbers their standard errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from rmtsim.data.clusters import Clusters
from rmtsim.full_hessian.description import PARTS, Look, StripLook
from rmtsim.kernels.norms import block_norms
from rmtsim.model.choices import LOSSES
from rmtsim.sampling.simulation import simulate
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.checks import check_choice
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint
from rmtsim.training.trajectory import AT_START, COLUMNS, NORMS, described, trajectory_task

#: What is kept of the Hessian that a picture shows.
PICTURE = Look(cells=400, blocks=True)

#: The same with a strip of the cross layer: its stripes are one column in m, which larger cells average away.
STRIPED = StripLook(cells=400, blocks=True)

#: Fractions of the steps at which the paper and its slides show Hessians.
PROGRESS = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)

#: Appendix B.3; and a reduced run.
PAPER, _REDUCED = Schedule(50_000, 1e-4, PROGRESS), Schedule(5_000, 1e-3, PROGRESS)

#: Draws for the numbers at initialisation and through training, and the paper's numbers of classes.
_DRAWS, _TRAINED, _CLASSES = 64, 4, (10, 50, 100, 1000)


def picture_task(
    case: str, problem: Problem, schedule: Schedule = AT_START, draw: int = 0, look: Look = PICTURE
) -> Task:
    """Return the task of one picture, or of a sequence along training."""
    label = f"{problem.loss}-c{problem.n_classes:04d}-draw{draw:02d}"
    inner = trajectory_task(label, problem, schedule, draw, look=look)

    def compute(checkpoint: Checkpoint) -> pd.DataFrame:
        table: pd.DataFrame = inner.compute(checkpoint)
        return table.assign(case=case)

    return Task(label, {**inner.parameters, "case": case}, compute, cost=inner.cost, resumable=True)


def simulated_norms_task(case: str, problem: Problem, draws: int = _DRAWS) -> Task:
    """Return the task of the norms of further draws at initialisation, without the matrix: those of ``simulate``."""
    point = problem.point
    assert point is not None

    def compute() -> pd.DataFrame:
        rows = simulate(point, range(1, draws), progress=False)
        place = rows["layer"].map(PARTS)
        long = rows.assign(layer=place.str[0], other=place.str[1]).melt(
            id_vars=["layer", "other", "draw", "seed"],
            value_vars=["diag_sqfro", "offdiag_sqfro"],
            var_name="quantity",
        )
        long = long.dropna(subset="value").assign(step=0, progress=0.0, i=0, j=0)
        return long[[*COLUMNS, "draw", "seed"]].assign(**described(problem, AT_START), case=case)

    parameters: dict[str, Any] = {**problem.parameters(), "case": case, "draws": draws}
    cost = float(draws * problem.n_samples**2 * (problem.n_classes + problem.dim))
    return Task(f"{problem.loss}-c{problem.n_classes:04d}-norms", parameters, compute, cost=cost)


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
            parts.append(rows.assign(**described(problem, AT_START), case=case, **data_columns(problem)))
        return pd.concat(parts, ignore_index=True)

    cost = sum(len(draws) * p.n_samples**2 * (p.n_classes + p.dim) for p in problems.values())
    return Task(f"{label}-norms".replace(" ", "-"), settings, compute, cost=float(cost))


def _norms(problem: Problem, draw: int) -> Iterator[dict[str, Any]]:
    X, (W, V), y = problem.draw(draw)
    for layer, norms in block_norms(
        X, V, W=W, y=y, loss=check_choice("loss", problem.loss, LOSSES), threads=1, progress=False
    ).items():
        values = {"diag_sqfro": norms.diag_sqfro, "offdiag_sqfro": norms.offdiag_sqfro}
        for quantity, value in values.items():
            if value is not None:
                row = (0, 0.0, *PARTS[layer], quantity, 0, 0, float(value))
                yield dict(zip(COLUMNS, row, strict=True)) | {"draw": draw, "seed": 0}


def data_columns(problem: Problem) -> dict[str, Any]:
    """Columns that tell clustered data sets from each other."""
    if not isinstance(problem.data, Clusters):
        return {"n_clusters": 0, "scale": ""}
    return {"n_clusters": problem.data.n_clusters, "scale": problem.data.scale}


def at_initialisation(
    name: str, loss: str, classes: Sequence[int], hidden: tuple[int, ...] = (), dim: int = 64
) -> Experiment:
    """Pictures over numbers of classes at the paper's Appendix B.3: d = 64, one sample a class."""
    tasks = []
    for C in classes:
        problem = Problem(loss, C, dim, C, hidden)
        tasks += [picture_task(f"$C = {C}$", problem), simulated_norms_task(f"$C = {C}$", problem)]
    return Experiment(name, tasks)


def fig4(full: bool = False) -> Experiment:
    """Linear model, MSE."""
    return at_initialisation("fig4", "mse", _CLASSES)


def fig5(full: bool = False) -> Experiment:
    """Linear model, CE; the Hessian at C = 1000, of order 64 000, only in full: it takes minutes."""
    return at_initialisation("fig5", "ce", _CLASSES if full else (10, 50, 100, 300))


def fig6(full: bool = False) -> Experiment:
    """One hidden layer of 8 neurons, MSE."""
    return at_initialisation("fig6", "mse", _CLASSES, (8,))


def fig7(full: bool = False) -> Experiment:
    """One hidden layer of 8 neurons, CE."""
    return at_initialisation("fig7", "ce", _CLASSES, (8,))


def slides_classes(full: bool = False) -> Experiment:
    """Linear model, CE, at the slides' numbers of classes."""
    return at_initialisation("slides_classes", "ce", (2, 10, 100))


def along_training(name: str, problem: Problem, full: bool, look: Look = PICTURE) -> Experiment:
    """Pictures through training by Adam; further draws, of norms alone, where it is reduced.

    The paper trains "until convergence"; 50 000 steps from 1e-4 are what its public code takes. A reduced run takes a
    tenth of them from ten times that rate, and more draws. It is another training, not the same one sooner: Adam's
    steps are of the size of the rate, and where they end depends on it.
    """
    schedule = PAPER if full else _REDUCED
    case = problem.loss.upper()
    tasks = [picture_task(case, problem, schedule, draw, NORMS) for draw in range(1, 1 if full else _TRAINED)]
    return Experiment(name, [picture_task(case, problem, schedule, look=look), *tasks])


def two_layers(loss: str, full: bool) -> Problem:
    """Return the problem of Figures 2 and 3: d = C = 500, m = 8, 10 samples a class; reduced, d = C = 100."""
    size = 500 if full else 100
    return Problem(loss, size, size, 10 * size, (8,), dtype="float32")


def fig2(full: bool = False) -> Experiment:
    """One hidden layer through training, MSE."""
    return along_training("fig2", two_layers("mse", full), full, STRIPED)


def fig3(full: bool = False) -> Experiment:
    """One hidden layer through training, CE."""
    return along_training("fig3", two_layers("ce", full), full, STRIPED)


def deep(full: bool = False) -> Experiment:
    """Four layers of width 50, d = C = 50, N = 500, through training: the slides' last pictures. Always at full size.

    The slides do not say how long it was trained: in full it is Figure 3's schedule with one draw, else the reduced one
    with more draws.
    """
    return along_training("deep", Problem("ce", 50, 50, 500, (50, 50, 50), dtype="float32"), full)
