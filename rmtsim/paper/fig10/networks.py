"""The experiment behind Figure 10: one output and two classes, CE and MSE, through training (Collobert 2004).

A hidden block is H_ij = (1/N) Σ_n s_n v_i v_j 1_{n,i} 1_{n,j} x_n x_nᵀ, s_n the second derivative of the sample's loss
by the output: p_n(1 − p_n) with CE, 2 with MSE. At the weights that either loss has trained, both are taken: the one
is the other without the factor p(1 − p).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from rmtsim.arrays.backend import Array, array_module
from rmtsim.data.clusters import Clusters
from rmtsim.data.datasets import DataLaw
from rmtsim.data.gaussian import Gaussian
from rmtsim.full_hessian.description import Look, describe
from rmtsim.full_hessian.propagation import propagate
from rmtsim.model.loss import get_loss
from rmtsim.paper.hessian_pictures import PROGRESS
from rmtsim.sweeps.experiment import Experiment
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint, Task
from rmtsim.training.trajectory import AT_START, COLUMNS, NORMS, described, tables_along

#: Input dimension and hidden neurons, as elsewhere in Appendix B; samples where a network is trained.
DIM, WIDTH, SAMPLES = 64, 8, 640

#: Data sets, by what figures call them: random labels, and classes that are one or more clusters.
DATA: dict[str, DataLaw] = {
    "Gaussian": Gaussian(),
    "2 clusters": Clusters(2, scale="standard"),
    "16 clusters": Clusters(16, scale="standard"),
}

#: Numbers of samples at which the initial ratio is compared with theory, and draws for that and for training.
_START_SAMPLES, _START_DRAWS, _DRAWS = (32, 128, 640), 160, 16

#: The losses of one output.
_LOSSES = ("binary_ce", "binary_mse")

_QUANTITIES = ["loss", "diag_sqfro", "offdiag_sqfro"]


def fig10(full: bool = False) -> Experiment:
    """One output, one hidden layer of 8 neurons, d = 64, N = 640: 16 draws, Gaussian with random labels or clustered.

    Collobert's own data and network are not those: his thesis is not restated in enough detail. In full 50 000 steps
    from 1e-4; reduced a twentieth of them at twenty times the rate, so that their product is the same.
    """
    steps, rate = (50_000, 1e-4) if full else (2_500, 2e-3)
    return binary("fig10", Schedule(steps, rate, (0.0, 1 / steps, *PROGRESS[1:])))


def binary(
    name: str,
    schedule: Schedule,
    *,
    n_samples: int = SAMPLES,
    draws: int = _DRAWS,
    start_draws: int = _START_DRAWS,
    cells: int = 128,
) -> Experiment:
    """Experiment over ``DATA`` and both losses, and of Gaussian data at initialisation over numbers of samples.

    Returns
    -------
    Experiment
        The columns of ``rmtsim.training.trajectory``; ``case``, the data set; ``curvature``, the loss whose second
        derivative is taken, where ``loss`` trained the network; ``purpose``: ``"training"``, or ``"start"`` for the
        draws at initialisation alone. Beside the quantities of ``rmtsim.full_hessian.description``, of the hidden layer
        only, there is ``factor``, the mean of p(1 − p) over samples. The first draw of each has a map.
    """
    tasks = []
    for case, data in DATA.items():
        for loss in _LOSSES:
            problem = Problem(loss, 2, DIM, n_samples, (WIDTH,), data=data)
            for draw in range(draws):
                tasks.append(_training_task(case, problem, schedule, draw, Look(cells=0 if draw else cells)))
    for N in sorted({*_START_SAMPLES, n_samples}):
        problem = Problem("binary_mse", 2, DIM, N, (WIDTH,))
        tasks.append(_start_task("Gaussian", problem, start_draws))
    return Experiment(name, tasks)


def _training_task(case: str, problem: Problem, schedule: Schedule, draw: int, look: Look) -> Task:
    settings = problem.parameters() | asdict(schedule) | look.parameters() | {"draw": draw, "case": case}
    label = f"{problem.loss}-{case}-draw{draw:02d}".replace(" ", "-")

    def compute(checkpoint: Checkpoint) -> pd.DataFrame:
        X, weights, y = problem.draw(draw)

        def both(step: int, run: Run) -> pd.DataFrame:
            return _both(X, run.weights, y, problem.loss, look).assign(step=step)

        tables, _ = tables_along(X, weights, y, problem.loss, schedule, both, checkpoint)
        return _whole(tables, problem, schedule, case).assign(draw=draw, purpose="training")

    return Task(label, settings, compute, cost=float(problem.n_samples * (schedule.steps + 5000)), resumable=True)


def _start_task(case: str, problem: Problem, draws: int) -> Task:
    """Return the task of the draws at initialisation; theirs are other numbers than those of the training's draws."""
    settings = problem.parameters() | {"draws": draws, "case": case, "seed": 1}

    def compute() -> pd.DataFrame:
        tables = []
        for draw in range(draws):
            X, weights, y = problem.draw(draw, seed=1)
            tables.append(_both(X, weights, y, problem.loss, NORMS).assign(step=0, draw=draw))
        return _whole(tables, problem, AT_START, case).assign(purpose="start", seed=1)

    return Task(f"start-n{problem.n_samples:04d}", settings, compute, cost=float(draws * problem.n_samples * 500))


def _both(X: Array, weights: list[Array], y: Array, loss: str, look: Look) -> pd.DataFrame:
    """Describe the hidden layer's Hessian with the curvature of either loss at the same weights."""
    xp, tables = array_module("numpy"), []
    for each in _LOSSES:
        found = describe(X, weights, y, each, look if each == loss else NORMS, xp)
        kept = (found["layer"] == 1) & (found["other"] == 1) | (found["quantity"] == "loss") & (each == loss)
        kept &= found["quantity"].isin(_QUANTITIES) | (found["quantity"].isin(["edge", "mean", "largest"]))
        tables.append(found[kept].assign(curvature=each))
    logits = propagate(X, weights, xp).logits
    factor = float(np.mean(get_loss("binary_ce").curvature(logits, y, xp).diagonal))
    row: dict[str, Any] = {"layer": 0, "other": 0, "quantity": "factor", "i": 0, "j": 0, "value": factor}
    return pd.concat([*tables, pd.DataFrame([row | {"curvature": "binary_ce"}])], ignore_index=True)


def _whole(tables: list[pd.DataFrame], problem: Problem, schedule: Schedule, case: str) -> pd.DataFrame:
    whole = pd.concat(tables, ignore_index=True)
    columns = [*COLUMNS, "curvature", *(["draw"] if "draw" in whole else [])]
    whole["progress"] = whole["step"] / max(schedule.steps, 1)
    return whole[columns].assign(**described(problem, schedule), case=case, seed=0)
