"""On a GPU: full Hessians, their structure and training give the same numbers as NumPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rmtsim.arrays.backend import array_module, to_numpy
from rmtsim.full_hessian.description import Look, describe
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory

pytestmark = pytest.mark.gpu

PROBLEMS = [
    Problem("ce", 30, 20, 200),
    Problem("ce", 30, 20, 200, (8,)),
    Problem("mse", 30, 20, 200, (8,)),
    Problem("binary_ce", 2, 20, 200, (8,)),
    Problem("ce", 10, 12, 100, (10, 9)),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: f"{p.loss}-{p.hidden}")
@pytest.mark.parametrize("steps", [0, 30])
def test_agrees_with_numpy_from_the_same_weights(problem: Problem, steps: int) -> None:
    X, weights, y = problem.draw()
    tables = []
    for xp in (np, array_module("cupy")):
        run = Run([xp.asarray(W.copy()) for W in weights])
        data, labels = xp.asarray(X), xp.asarray(y)
        for _ in run.advance(data, labels, problem.loss, Schedule(60, 0.01), steps):
            pass
        look = Look(cells=20, blocks=True)
        tables.append(describe(data, run.weights, labels, problem.loss, look, xp))
        again = Run.load(run.save(), run.weights)
        assert all(np.array_equal(to_numpy(a), to_numpy(b)) for a, b in zip(again.weights, run.weights, strict=True))
    host, device = tables
    pd.testing.assert_frame_equal(host.drop(columns="value"), device.drop(columns="value"))
    np.testing.assert_allclose(device["value"], host["value"], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("problem", PROBLEMS[1:], ids=lambda p: f"{p.loss}-{p.hidden}")
def test_trajectories_learn(problem: Problem) -> None:
    table = trajectory(problem, Schedule(100, 0.02, (0.0, 1.0)), backend="cupy")
    loss = table[(table["quantity"] == "loss") & table["step"].isin([0, 100])].set_index("step")["value"]
    assert loss[100] < loss[0]
