"""Adam against its definition, the schedule against its formula, resuming to the bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rmtsim import InputError
from rmtsim.experiment import Experiment
from rmtsim.full_hessian.description import Look
from rmtsim.full_hessian.layers import loss_and_gradient
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory, trajectory_task

PROBLEM = Problem("ce", 6, 5, 40, (4,))
SCHEDULE = Schedule(60, 0.02, (0.0, 0.1, 1.0))


def test_the_schedule_is_the_cosine() -> None:
    schedule = Schedule(100, 1e-4)
    assert [schedule.rate(t) for t in (0, 50, 100)] == pytest.approx([1e-4, 5e-5, 0.0], abs=1e-20)
    assert Schedule(1000, checkpoints=(0, 0.0001, 0.25, 1)).checkpoint_steps == (0, 1, 250, 1000)


def test_adam_is_its_definition() -> None:
    """Kingma & Ba's Algorithm 1, written out with bias-corrected moments, in one vector."""
    X, weights, y = PROBLEM.draw()
    run = Run([W.copy() for W in weights])
    shapes, w = [W.shape for W in weights], np.concatenate([W.ravel() for W in weights])
    m, v = np.zeros_like(w), np.zeros_like(w)
    cuts = np.cumsum([W.size for W in weights])[:-1]
    for t in range(1, 31):
        parts = [part.reshape(shape) for part, shape in zip(np.split(w, cuts), shapes, strict=True)]
        g = np.concatenate([part.ravel() for part in loss_and_gradient(X, parts, y, "ce")[1]])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        rate = 0.01 * (1 + np.cos(np.pi * (t - 1) / 60))
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    for _ in run.advance(X, y, "ce", SCHEDULE, 30):
        pass
    np.testing.assert_allclose(np.concatenate([W.ravel() for W in run.weights]), w, rtol=1e-10)


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("hidden", [(), (4,), (6, 5)])
def test_losses_fall(loss: str, hidden: tuple[int, ...]) -> None:
    table = trajectory(Problem(loss, 6, 5, 40, hidden), Schedule(200, 0.02, (0.0, 0.5, 1.0)))
    losses = table[(table["quantity"] == "loss") & table["progress"].isin([0.0, 0.5, 1.0])].set_index("step")["value"]
    assert losses[0] > losses[100] > losses[200]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_saved_run_goes_on_to_the_bit(dtype: str) -> None:
    X, weights, y = Problem("ce", 6, 5, 40, (4,), dtype=dtype).draw()
    whole, half = (Run([W.copy() for W in weights]) for _ in range(2))
    for _ in whole.advance(X, y, "ce", SCHEDULE, 60):
        pass
    for _ in half.advance(X, y, "ce", SCHEDULE, 23):
        pass
    again = Run.load(half.save(), weights)
    for _ in again.advance(X, y, "ce", SCHEDULE, 60):
        pass
    for mine, theirs in zip(again.weights, whole.weights, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_array_equal(mine, theirs)
    assert again.losses == whole.losses


_KILLED = """
import sys
import rmtsim.training.trajectory
from rmtsim.experiment import Experiment
from tests.test_training import long_task
rmtsim.training.trajectory._SAVE_EVERY = 0.05
Experiment("killed", [long_task()]).run(sys.argv[1])
"""


def long_task() -> object:
    problem = Problem("ce", 20, 10, 400, (8,))
    return trajectory_task("killed", problem, Schedule(4000, 0.01, (0.0, 0.01, 0.5, 1.0)), look=Look(cells=20))


def test_a_killed_run_resumes_to_the_bit(tmp_path: Path) -> None:
    """SIGKILL at three moments; the table then equals that of an undisturbed run, and nothing is left beside it."""
    store, resumed = tmp_path / "store", 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", _KILLED, str(store)], cwd=Path(__file__).parents[1]) as process:
            folder, seen = store / "experiments" / "killed", resumed
            while resumed <= seen and process.poll() is None:
                states = list(folder.glob("*.run")) if folder.is_dir() else []
                resumed = states[0].stat().st_mtime_ns if states else 0
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
    assert resumed
    assert not list(folder.glob("*.parquet"))
    experiment = Experiment("killed", [long_task()])  # type: ignore[list-item]
    assert experiment.run(store) == 1
    undisturbed = Experiment("killed", [long_task()])  # type: ignore[list-item]
    undisturbed.run(tmp_path / "other")
    pd.testing.assert_frame_equal(experiment.read(store), undisturbed.read(tmp_path / "other"), check_exact=True)
    assert [path.suffix for path in folder.iterdir()] == [".parquet"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"steps": -1}, "steps: -1 is not valid"),
        ({"steps": 2.5}, "steps: 2.5 is not valid"),
        ({"steps": 10, "learning_rate": 0}, "learning_rate: 0 is not valid"),
        ({"steps": 10, "learning_rate": float("nan")}, "learning_rate: nan is not valid"),
        ({"steps": 10, "checkpoints": ()}, r"checkpoints: \(\) is not valid"),
        ({"steps": 10, "checkpoints": (0.5, 0.1)}, "checkpoints: .* give ascending numbers"),
        ({"steps": 10, "checkpoints": (0, 2)}, "checkpoints: .* from 0 to 1"),
        ({"checkpoints": (0, 1)}, "checkpoints: .* is not valid without steps"),
    ],
)
def test_bad_schedules(arguments: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Schedule(**arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"loss": "hinge"}, "loss: 'hinge' is not known"),
        ({"n_classes": 0}, "n_classes: 0 is not valid"),
        ({"hidden": (3, 0)}, "hidden: 0 is not valid"),
        ({"loss": "binary_ce"}, "n_classes: 6 does not go with loss 'binary_ce'; give 2"),
        ({"dtype": "float16"}, "dtype: 'float16' is not known"),
    ],
)
def test_bad_problems(arguments: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Problem(**({"loss": "ce", "n_classes": 6, "dim": 5, "n_samples": 40} | arguments))


def test_draws_are_those_of_the_sweeps() -> None:
    import rmtsim

    table = trajectory(PROBLEM, draw=3)
    rows = rmtsim.simulate(PROBLEM.point, range(3, 4)).set_index("layer")
    for layer, a, b in (("hidden", 1, 1), ("output", 2, 2), ("cross", 1, 2)):
        part = table[(table["layer"] == a) & (table["other"] == b)].set_index("quantity")["value"]
        assert part["offdiag_sqfro"] == pytest.approx(rows.loc[layer, "offdiag_sqfro"], rel=1e-10)
    other = Problem("ce", 6, 5, 40, (4, 4))
    assert np.var(other.draw(0).weights[1]) == pytest.approx(1 / 4, rel=1.0)
    assert not np.array_equal(other.draw(0).X, other.draw(1).X)
