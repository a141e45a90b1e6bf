"""The experiments of training: their tables, sizes and schedules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from rmtsim.errors import StoppedError
from rmtsim.figures import get_figure
from rmtsim.paper.dynamic_force import dynamic_force
from rmtsim.paper.fan_out.networks import fan_out
from rmtsim.paper.fig10.networks import binary
from rmtsim.paper.training_rates.networks import training_rates
from rmtsim.paper.training_spectra.eigenvalues import spectra_task, training_spectra
from rmtsim.sweeps.experiment import Experiment, table_file
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint, Task
from rmtsim.training.trajectory import trajectory_task


def test_joined_experiments_keep_their_tables(tmp_path: Path) -> None:
    problem = Problem("mse", 2, 3, 4)
    tasks = [trajectory_task(name, problem, Schedule(), draw) for draw, name in enumerate(("a", "b"))]
    parts = [Experiment(task.label, [task]) for task in tasks]
    joined = Experiment("both", parts=parts)
    assert [table.task.label for table in joined.missing(tmp_path)] == ["a", "b"]
    run_tables(parts[0], tmp_path)
    assert [table.task.label for table in joined.missing(tmp_path)] == ["b"]
    assert run_tables(joined, tmp_path).new_tables == 1
    assert joined.missing(tmp_path) == []
    assert parts[0].missing(tmp_path) == parts[1].missing(tmp_path) == []
    pd.testing.assert_frame_equal(
        joined.read(tmp_path), pd.concat([part.read(tmp_path) for part in parts], ignore_index=True)
    )
    assert {task.label[:3] for task in get_figure("fig13").tables().tasks} == {"ce-", "mse"}


@pytest.mark.parametrize("make", [dynamic_force, training_rates, training_spectra])
def test_experiments_at_both_sizes(make: Callable[..., Experiment]) -> None:
    reduced, full = make(), make(full=True)
    assert reduced.name == full.name == make.__name__
    files = [{table_file(task) for task in experiment.tasks} for experiment in (reduced, full)]
    assert [len(names) for names in files] == [len(reduced.tasks), len(full.tasks)]
    assert not files[0] & files[1]
    for experiment in (reduced, full):
        schedules = {(task.parameters["steps"], task.parameters["learning_rate"]) for task in experiment.tasks}
        assert len(schedules) == 1
        assert {steps * rate for steps, rate in schedules} == {5.0}  # the paper's, of Appendix B.3
    paper = {(task.parameters["steps"], task.parameters["learning_rate"]) for task in dynamic_force(full=True).tasks}
    assert paper == {(50_000, 1e-4)}


def _interrupted(task: Task, stops: Sequence[int]) -> tuple[pd.DataFrame, int]:
    """Compute a table that is stopped at these looks whether to stop; return it, and how often it began again."""
    kept: dict[str, bytes] = {}
    for begun, stop in enumerate([*stops, 10**9]):
        looks = itertools.count(1)
        try:
            return task.table(Checkpoint(kept, lambda looks=looks, stop=stop: next(looks) >= stop)), begun
        except StoppedError:
            assert kept
    raise AssertionError("it was never let alone")


def loops() -> dict[str, Task]:
    """One task of each kind that trains a network to look at it in its own way."""
    schedule = Schedule(40, 0.02, (0.0, 0.1, 0.5, 1.0))
    pictures = binary("b", schedule, n_samples=32, draws=1, start_draws=2, cells=8).tasks
    small = (task for task in fan_out().tasks if "steps300" in task.label)
    return {
        "binary": pictures[0],
        "spectra": spectra_task(Problem("mse", 6, 10, 40, (4,), dtype="float32"), schedule),
        "fan_out": min(small, key=lambda task: task.cost),
    }


@pytest.mark.parametrize("name", ["binary", "spectra", "fan_out"])
def test_every_training_loop_goes_on_to_the_bit(name: str) -> None:
    task, stops = loops()[name], {"fan_out": (2, 3)}.get(name, (13, 22))
    table, begun = _interrupted(task, stops)
    assert begun == len(stops)
    pd.testing.assert_frame_equal(table, task.table(), check_exact=True)
