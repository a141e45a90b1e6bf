"""Training runs of small networks, and a theory that takes no time, for tests of what is made of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory_task

SCHEDULE = Schedule(60, 0.05, (0.0, 0.1, 1.0))
C, D, N, M = 5, 6, 20, 3


def runs_of(loss: str, draws: int = 3, **sizes: int) -> pd.DataFrame:
    """Return the tables of some draws of a network with a hidden layer."""
    shape = {"n_classes": C, "dim": D, "n_samples": N} | sizes
    problem = Problem(loss, **shape, hidden=(M,))
    return pd.concat(
        [trajectory_task("run", problem, SCHEDULE, draw).compute(None) for draw in range(draws)], ignore_index=True
    )


@pytest.fixture
def quick_theory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the quadratures of the figures of training: they have tests of their own."""
    monkeypatch.setattr("rmtsim.paper.dynamic_force.outside_at_start", lambda *sizes: 0.125)
    monkeypatch.setattr("rmtsim.paper.training_rates.powers.theory", lambda at: 1 / np.sort(at["n_classes"].unique()))
