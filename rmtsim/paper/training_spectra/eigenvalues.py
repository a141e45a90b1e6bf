"""Eigenvalues of all diagonal blocks through training, beside those of decoupled blocks with the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.arrays.backend import Array, array_module
from rmtsim.errors import InputError
from rmtsim.full_hessian.description import Look, describe
from rmtsim.full_hessian.propagation import propagate
from rmtsim.model.choices import LOSSES
from rmtsim.model.ensemble import LECUN
from rmtsim.paper.block_eigenvalues import block_weights
from rmtsim.paper.hessian_pictures import PROGRESS
from rmtsim.paper.schedules import WIDTH, appendix_b3
from rmtsim.sampling.random_rows import STREAM, RandomRows
from rmtsim.sweeps.experiment import Experiment
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint, Task
from rmtsim.training.trajectory import COLUMNS, described, tables_along

#: Quantities made of a copy of the data each: the decoupled blocks, and a control that they are compared with.
COPIES = ("decoupled", "control")


def training_spectra(full: bool = False) -> Experiment:
    """Experiment of Appendix A's fourth question: eigenvalues of all diagonal blocks, through training.

    Linear CE with more samples than it can learn by heart and with fewer; one hidden layer with CE and MSE.
    d = 100 with 24 draws, or 200 with 8; C = 10 for the linear model, C = d with a hidden layer.
    """
    dim, draws, times = (200, 8, 5) if full else (100, 24, 10)
    schedule = appendix_b3(PROGRESS, times)
    problems = [
        Problem("ce", 10, dim, 10 * dim, dtype="float32"),
        Problem("ce", 10, dim, 2 * dim, dtype="float32"),
        *(Problem(loss, dim, dim, 10 * dim, (WIDTH,), dtype="float32") for loss in LOSSES),
    ]
    return Experiment(
        "training_spectra", [spectra_task(problem, schedule, draw) for problem in problems for draw in range(draws)]
    )


def spectra_task(problem: Problem, schedule: Schedule, draw: int = 0, *, seed: int = 0) -> Task:
    """Return the task that computes ``spectra``; the problem and schedule stand in columns of the table.

    Raises
    ------
    InputError
        As ``spectra`` does.
    """
    _check(problem)
    settings = problem.parameters() | asdict(schedule) | {"draw": draw, "seed": seed, "spectra": list(COPIES)}

    def compute(checkpoint: Checkpoint | None = None) -> pd.DataFrame:
        table = spectra(problem, schedule, draw, seed=seed, checkpoint=checkpoint)
        return table.assign(**described(problem, schedule), draw=draw, seed=seed)

    width = "-".join(map(str, ("linear", *problem.hidden)))
    label = f"{width}-{problem.loss}-c{problem.n_classes:04d}-n{problem.n_samples:05d}-draw{draw:02d}"
    cost = problem.n_samples * problem.n_parameters * (problem.n_parameters + schedule.steps)
    return Task(label, settings, compute, cost=float(cost), resumable=True)


def spectra(
    problem: Problem, schedule: Schedule, draw: int = 0, *, seed: int = 0, checkpoint: Checkpoint | None = None
) -> pd.DataFrame:
    """Train a network of at most one hidden layer and return the eigenvalues of its diagonal blocks.

    With a ``checkpoint`` the same call goes on after a kill, as `rmtsim.training.trajectory.trajectory` does.

    Returns
    -------
    DataFrame
        Columns as of `rmtsim.training.trajectory.trajectory`; at each checkpoint its norms and these quantities:
        ``eigenvalue``, the j-th of the i-th diagonal block of a layer; ``decoupled``, that of (1/N) X̃ᵀ Λ X̃ with the
        weights Λ of the block as they are, but a copy X̃ of the data on which they do not depend: Section 6, Step 2,
        the d × d blocks only; ``control``, the same with another copy; and at step 0 ``output_weight``, V_ij with a
        hidden layer.

    Raises
    ------
    InputError
        If the data have no such copies, or the blocks no such form.
    """
    _check(problem)
    X, weights, y = problem.draw(draw, seed)
    copies = {name: _copy(problem, name, draw, seed) for name in COPIES}

    def look_at(step: int, run: Run) -> pd.DataFrame:
        parts = [describe(X, run.weights, y, problem.loss, Look(eigenvalues=True), array_module("numpy"))]
        lambdas = list(diagonal_weights(X, run.weights, problem))
        for name, copy in copies.items():
            rows = [np.linalg.eigvalsh((copy.T * of_block) @ copy / len(copy)) for of_block in lambdas]
            parts.append(_rows(1, name, np.stack(rows)))
        if step == 0 and problem.hidden:
            parts.append(_rows(2, "output_weight", weights[-1]))
        return pd.concat(parts, ignore_index=True).assign(step=step)

    tables, _ = tables_along(X, weights, y, problem.loss, schedule, look_at, checkpoint)
    whole = pd.concat(tables, ignore_index=True)
    whole["progress"] = whole["step"] / max(schedule.steps, 1)
    return whole[COLUMNS]


def diagonal_weights(X: Array, weights: list[Array], problem: Problem) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the weights λ_n, (N,), of each d × d diagonal block: H_ii = (1/N) Σ_n λ_n x_n x_nᵀ."""
    X, weights = X.astype(np.float64), [W.astype(np.float64) for W in weights]
    V = weights[-1]
    U = X @ weights[0].T if problem.hidden else propagate(X, weights, array_module("numpy")).logits
    layer = "hidden" if problem.hidden else "linear"
    for i in range(U.shape[1]):
        first = V if layer == "linear" else np.roll(V, -i, axis=1)
        yield block_weights(np.roll(U, -i, axis=1), first, layer=layer, loss=problem.loss, block="diag")


def _check(problem: Problem) -> None:
    if problem.point is None or problem.point.ensemble != LECUN:
        raise InputError(
            f"problem: {problem.loss} with {len(problem.hidden)} hidden layers on {problem.data.name} data has no "
            "decoupled blocks; give loss 'ce' or 'mse', at most one hidden layer, and Gaussian data"
        )


def _copy(problem: Problem, name: str, draw: int, seed: int) -> Array:
    """Return data of the same law that nothing else depends on."""
    key, shape = f"{STREAM}/{seed}/{problem.id}/{name}", (problem.n_samples, problem.dim)
    return RandomRows(key, draw, shape, 1.0, dtype="float64", xp=array_module("numpy")).all()


def _rows(layer: int, quantity: str, values: Array) -> pd.DataFrame:
    """Long form of a matrix of one layer."""
    long = pd.DataFrame(values.astype(np.float64)).rename_axis("i").reset_index().melt("i", var_name="j")
    return long.astype({"j": np.int64}).assign(layer=layer, other=layer, quantity=quantity)
