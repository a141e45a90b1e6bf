"""Norms of the blocks of a small network's Hessian, by automatic differentiation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from rmtsim.sweeps.experiment import Experiment
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.training.problem import Problem
from tests import autodiff, cases

SMALL = Problem("ce", 4, 5, 20, (3,))


def table_of(folder: Path, *tasks: object) -> pd.DataFrame:
    experiment = Experiment("test", tasks)  # type: ignore[arg-type]
    run_tables(experiment, folder)
    return experiment.read(folder)


def block_norms(problem: Problem, draw: int, order: np.ndarray | None = None) -> np.ndarray:
    """Squared norms of the blocks of the Hessian that JAX gives, its parameters in another order if wished."""
    X, weights, y = problem.draw(draw)
    H = autodiff.hessian(cases.Problem(X, weights[-1], weights[0] if len(weights) > 1 else None, y, problem.loss))
    H = H if order is None else H[np.ix_(order, order)]
    edges = np.concatenate([[0], np.cumsum([columns for rows, columns in problem.shapes for _ in range(rows)])])
    return np.array([[np.sum(H[a:b, c:d] ** 2) for c, d in pairwise(edges)] for a, b in pairwise(edges)])


def parts(norms: np.ndarray, m: int) -> dict[str, tuple[float, float]]:
    def off(B: np.ndarray) -> tuple[float, float]:
        return float(B.sum() - np.trace(B)), float(B.sum())

    return {
        "hidden": off(norms[:m, :m]),
        "output": off(norms[m:, m:]),
        "whole": off(norms),
        "cross": (2 * float(norms[:m, m:].sum()), float(norms.sum())),
    }
