"""The experiments of training: their tables, sizes and schedules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from rmtsim.paper.experiments.training_experiments import (
    Joined,
    dynamic_force,
    fig13,
    training_rates,
    training_spectra,
)
from rmtsim.store import Store
from rmtsim.sweeps.experiment import Experiment
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory_task


def test_joined_experiments_keep_their_tables(tmp_path: Path) -> None:
    problem = Problem("mse", 2, 3, 4)
    tasks = [trajectory_task(name, problem, Schedule(), draw) for draw, name in enumerate(("a", "b"))]
    parts = [Experiment(task.label, [task]) for task in tasks]
    joined = Joined("both", parts)
    assert [task.label for task in joined.missing(tmp_path)] == ["a", "b"]
    parts[0].run(tmp_path)
    done: list[str] = []
    assert joined.run(tmp_path, done=lambda task: done.append(task.label)) == 1
    assert done == ["b"]
    assert joined.missing(tmp_path) == []
    elsewhere = tmp_path / "elsewhere"
    with Store(elsewhere).writer(joined.folders) as writer:
        joined.keep(writer, tasks[1], tasks[1].compute(None))
    assert parts[0].missing(elsewhere)
    assert not parts[1].missing(elsewhere)
    pd.testing.assert_frame_equal(
        joined.read(tmp_path), pd.concat([part.read(tmp_path) for part in parts], ignore_index=True)
    )
    assert {task.label[:3] for task in fig13().tasks} == {"ce-", "mse"}


@pytest.mark.parametrize("make", [dynamic_force, training_rates, training_spectra])
def test_experiments_at_both_sizes(make: Callable[..., Experiment]) -> None:
    reduced, full = make(), make(full=True)
    assert reduced.name == full.name == make.__name__
    files = [{task.file for task in experiment.tasks} for experiment in (reduced, full)]
    assert [len(names) for names in files] == [len(reduced.tasks), len(full.tasks)]
    assert not files[0] & files[1]
    for experiment in (reduced, full):
        schedules = {(task.parameters["steps"], task.parameters["learning_rate"]) for task in experiment.tasks}
        assert len(schedules) == 1
        assert {steps * rate for steps, rate in schedules} == {5.0}  # the paper's, of Appendix B.3
    paper = {(task.parameters["steps"], task.parameters["learning_rate"]) for task in dynamic_force(full=True).tasks}
    assert paper == {(50_000, 1e-4)}
