"""Specs of training runs: a grid of problems, a schedule, and how many draws of each."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rmtsim.arrays.backend import DTYPES
from rmtsim.data.datasets import parse_data
from rmtsim.errors import InputError
from rmtsim.full_hessian.description import Look
from rmtsim.model.losses import NETWORK_LOSSES
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.sweeps import spec as sweep_spec
from rmtsim.sweeps.documents import (
    builtin,
    check_keys,
    check_name,
    describes_training,
    list_of,
    read_document,
    table_of,
)
from rmtsim.sweeps.experiment import Experiment, Task, table_file
from rmtsim.text.checks import check_choice, check_size
from rmtsim.text.words import abridged
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory_task

_TOP = ("name", "loss", "grid", "training", "sampling", "look")
_GRID = ("n_classes", "dim", "n_samples", "samples_per_class", "hidden", "data")
_TRAINING = ("steps", "learning_rate", "checkpoints", "dtype")
_SAMPLING = ("seed", "draws")
_LOOK = ("cells", "blocks", "eigenvalues")

MAX_RUNS = 100_000

#: Letters of the name of a table, at most: file systems take 255, and what is saved on the way has longer names.
_LONGEST_NAME = 200


@dataclass(frozen=True)
class TrainingSpec:
    """Training runs: every problem of the grid, draws 0 … n − 1 of each."""

    name: str
    problems: tuple[Problem, ...]
    schedule: Schedule
    draws: int
    seed: int
    look: Look
    document: Mapping[str, Any]

    def runs(self, backend: str = "numpy") -> list[tuple[Problem, Task]]:
        """Return each run's problem, and the task that makes its table.

        Raises
        ------
        InputError
            If data cannot be read, or do not have the sizes of their problem.
        """
        runs = {}
        for problem in self.problems:
            problem.data.check(problem.n_classes, problem.dim, problem.n_samples)
            for draw in range(self.draws):
                label = _label(problem, draw)
                task = trajectory_task(
                    label, problem, self.schedule, draw, seed=self.seed, look=self.look, backend=backend
                )
                _check_name(table_file(task))
                runs[table_file(task)] = (problem, task)  # one, where two names stand for the same data
        return list(runs.values())

    def experiment(self, backend: str = "numpy") -> Experiment:
        """Return the tables that the runs make, one each; raises as ``runs`` does."""
        return Experiment(self.name, [task for _, task in self.runs(backend)])


def builtin_trainings() -> list[str]:
    """Names of the training specs that come with rmtsim."""
    return [name for name, text in builtin().items() if describes_training(text)]


def load_any(source: str, others: Sequence[str] = ()) -> sweep_spec.Spec | TrainingSpec:
    """Read a spec of a sweep or of training runs, from a TOML file or by the name of one that comes with rmtsim.

    ``others`` are names that the message on an unknown one offers, too.

    Raises
    ------
    InputError
        If there is no such spec, or anything in it is not valid.
    """
    document = read_document(source, [*sweep_spec.builtin_specs(), *builtin_trainings()], others)
    try:
        return from_document(document) if "training" in document else sweep_spec.from_document(document)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def from_document(document: Mapping[str, Any]) -> TrainingSpec:
    """Check plain data and make it a spec of training runs.

    Raises
    ------
    InputError
        At the first key or value that is not valid; the sentence names it and what would be.
    """
    check_keys(document, _TOP, "")
    name = check_name(document)
    grid = table_of(document, "grid")
    check_keys(grid, _GRID, "[grid] ")
    training, sampling, look = (table_of(document, key) for key in ("training", "sampling", "look"))
    check_keys(training, _TRAINING, "[training] ")
    check_keys(sampling, _SAMPLING, "[sampling] ")
    check_keys(look, _LOOK, "[look] ")
    dtype = training.get("dtype", "float64")
    check_choice("[training] dtype", dtype, DTYPES)
    draws = check_size("[sampling] draws", sampling.get("draws", 1))
    problems = _problems(document, grid, dtype, draws)
    seed = check_size("[sampling] seed", sampling.get("seed", 0), least=0, most=MAX_SEED)
    return TrainingSpec(name, problems, _schedule(training), draws, seed, _look(look), dict(document))


def _problems(document: Mapping[str, Any], grid: Mapping[str, Any], dtype: str, draws: int) -> tuple[Problem, ...]:
    losses = list_of(document, "loss", lambda where, loss: check_choice(where, loss, NETWORK_LOSSES))
    if ("n_samples" in grid) == ("samples_per_class" in grid):
        raise InputError("[grid]: give one of n_samples and samples_per_class")
    per_class = "samples_per_class" in grid
    counts = list_of(grid, "samples_per_class" if per_class else "n_samples", check_size, "[grid] ")
    sizes = {key: list_of(grid, key, check_size, "[grid] ") for key in ("n_classes", "dim")}
    networks = list_of(grid, "hidden", _check_hidden, "[grid] ")
    data = list_of(grid, "data", lambda where, text: _check_data(where, text), "[grid] ", default=["gaussian"])
    lists = (losses, data, networks, sizes["dim"], counts, sizes["n_classes"])
    n_problems = math.prod(map(len, lists))
    if n_problems * draws > MAX_RUNS:
        raise InputError(f"[grid]: {n_problems} problems of {draws} draws are too many; give at most {MAX_RUNS} runs")
    return tuple(
        Problem(loss, C, d, count * (C if per_class else 1), tuple(hidden), parse_data(text), dtype)
        for loss, text, hidden, d, count, C in itertools.product(*lists)
    )


def _schedule(training: Mapping[str, Any]) -> Schedule:
    values = {key: value for key, value in training.items() if key != "dtype"}
    if "steps" not in values:
        raise InputError("[training] steps: the key is missing; give the number of steps, 0 for none")
    if "checkpoints" in values:
        if not isinstance(values["checkpoints"], list):
            raise InputError("[training] checkpoints: give a list of numbers from 0 to 1, say [0, 0.5, 1]")
        values["checkpoints"] = tuple(values["checkpoints"])
    elif values["steps"]:
        values["checkpoints"] = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)
    try:
        return Schedule(**values)
    except InputError as error:
        raise InputError(f"[training] {error}") from None


def _look(table: Mapping[str, Any]) -> Look:
    for key in ("blocks", "eigenvalues"):
        if not isinstance(table.get(key, False), bool):
            raise InputError(f"[look] {key}: {abridged(table[key])} is not valid; give true or false")
    check_size("[look] cells", table.get("cells", 0), least=0, most=4096)
    return Look(**table)


def _check_hidden(where: str, widths: Any) -> None:
    if not isinstance(widths, list):
        raise InputError(f"{where}: {abridged(widths)} is not valid; give lists of widths, such as [[8], [50, 50, 50]]")
    for width in widths:
        check_size(where, width)


def _check_data(where: str, text: Any) -> None:
    if not isinstance(text, str):
        raise InputError(f"{where}: {abridged(text)} is not valid; give texts, such as 'gaussian' or 'clusters:20'")
    try:
        parse_data(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _check_name(file: str) -> None:
    if len(file) > _LONGEST_NAME:
        raise InputError(
            f"[grid] hidden: the name of a table would have {len(file)} letters, as it tells all layers and the data, "
            f"and files take {_LONGEST_NAME}; give fewer layers, or a data file of a shorter name"
        )


def _label(problem: Problem, draw: int) -> str:
    hidden = "-".join(map(str, problem.hidden)) or "linear"
    sizes = f"c{problem.n_classes:02d}-d{problem.dim}-n{problem.n_samples}-{hidden}"
    data = re.sub(r"[^A-Za-z0-9_.-]", "-", problem.data.text)
    return f"{problem.loss}-{sizes}-{data}-draw{draw:03d}"
