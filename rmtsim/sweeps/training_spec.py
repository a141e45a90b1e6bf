"""Specs of training runs: a grid of problems, a schedule, and how many draws of each."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from rmtsim.arrays.backend import DTYPES
from rmtsim.data.datasets import parse_data
from rmtsim.data.labels import parse_labels
from rmtsim.errors import InputError
from rmtsim.full_hessian.description import Look
from rmtsim.model.activation import activation_names
from rmtsim.model.choices import WEIGHTS
from rmtsim.model.loss import loss_names
from rmtsim.sampling.simulation import MAX_SEED
from rmtsim.sweeps import spec as sweep_spec
from rmtsim.sweeps.declaration import document_of, key, titles_of
from rmtsim.sweeps.documents import builtin, describes_training, read_document
from rmtsim.sweeps.experiment import Experiment, Task, table_file
from rmtsim.sweeps.parsing import parse
from rmtsim.sweeps.values import Values, choice, flag, invalid, list_of, real, whole
from rmtsim.text.checks import check_choice, check_size
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory_task

MAX_RUNS = 100_000

#: Letters of the name of a table, at most: file systems take 255, and what is saved on the way has longer names.
_LONGEST_NAME = 200

#: Fractions of the steps after which the Hessian is looked at, where a spec names none.
_CHECKPOINTS = (0, 0.01, 0.1, 0.25, 0.5, 1)


def _check_widths(title: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise invalid(title, value, "give lists of widths, such as [[8], [50, 50, 50]]")
    return tuple(check_size(title, width) for width in value)


def _check_data(title: str, value: Any) -> str:
    if not isinstance(value, str):
        raise invalid(title, value, "give texts, such as 'gaussian' or 'clusters:20'")
    try:
        parse_data(value)
    except InputError as error:
        raise InputError(f"{title}: {str(error).removeprefix('data: ')}") from None
    return value


def _check_labels(title: str, value: Any) -> str:
    try:
        return parse_labels(value).text
    except InputError as error:
        raise InputError(f"{title.partition(' ')[0]} {error}") from None


_WIDTHS = Values("a list of widths; `[]` is the linear model", "give lists of widths", _check_widths)
_LOSS = attrs.evolve(  # one that a user registered, too
    choice(loss_names()), check=lambda title, value: check_choice(title, value, loss_names())
)
_ACTIVATION = attrs.evolve(
    choice(activation_names()), check=lambda title, value: check_choice(title, value, activation_names())
)
_DATA = Values(
    "`gaussian`, `rademacher`, `uniform`, `student_t:NU`, `sphere`, `ar1:RHO`, `spectrum:ALPHA`, `spiked:K:S`, "
    "`clusters:K`, `cifar100:FOLDER` or `FILE.npz`",
    "give texts",
    _check_data,
)
_LABELS = Values("`uniform` or `zipf:S`", "give a text, such as 'zipf:1'", _check_labels)

_in_grid = partial(key, table="grid")
_in_ensemble = partial(key, table="ensemble")
_in_training = partial(key, table="training")
_in_look = partial(key, table="look")
_in_sampling = partial(key, table="sampling")


@attrs.frozen(kw_only=True)
class TrainingSpec:
    """Training runs: every problem of the grid, draws 0 … n − 1 of each.

    The parameters are the keys of a spec's file, without their tables. Lists may be lists or tuples.

    Attributes
    ----------
    problems
        The problems of the grid.
    schedule
        The steps of Adam, and when the Hessian is looked at.
    look
        What is kept of each Hessian.

    Raises
    ------
    InputError
        If a value is not valid, or values do not go together.
    """

    name: str = key(sweep_spec.NAMES, "Name of the runs; a store keeps their tables under it.")
    loss: Sequence[str] = key(list_of(_LOSS), "Losses; the binary ones have one output and need two classes.")
    n_classes: Sequence[int] = _in_grid(list_of(whole()), "Numbers of classes C.")
    dim: Sequence[int] = _in_grid(list_of(whole()), "Input dimensions d.")
    n_samples: Sequence[int] | None = _in_grid(
        list_of(whole()), "Numbers of samples N; or give `samples_per_class`.", default=None, default_text="none"
    )
    samples_per_class: Sequence[int] | None = _in_grid(
        list_of(whole()), "Numbers of samples for each class, N / C.", default=None, default_text="none"
    )
    hidden: Sequence[tuple[int, ...]] = _in_grid(list_of(_WIDTHS), "Widths of the hidden layers of each network.")
    data: Sequence[str] = _in_grid(list_of(_DATA), "Data sets.", default=("gaussian",))
    weights: str = _in_ensemble(
        choice(WEIGHTS), "Law of the initial weights, of variance 1/fan_in, as in specs of sweeps.", default="gaussian"
    )
    activation: str = _in_ensemble(_ACTIVATION, "Activation of the hidden neurons.", default="relu")
    labels: str = _in_ensemble(
        _LABELS,
        "Law of the labels of data that have none of their own; with `zipf:S` class c = 1 … C has a probability "
        "proportional to c^−S.",
        default="uniform",
    )
    steps: int = _in_training(whole(0), "Steps of full-batch Adam; 0 for none.")
    learning_rate: float = _in_training(
        real("a positive number", "1e-4", lambda x: 0 < x < math.inf),
        "Rate of the first step, which falls to 0 along a cosine.",
        default=1e-4,
    )
    checkpoints: Sequence[float] = _in_training(
        list_of(real("a number from 0 to 1", "0.5", lambda x: 0 <= x <= 1)),
        "Fractions of the steps, ascending, after which the Hessian is looked at.",
        default=None,
        default_text=f"{list(_CHECKPOINTS)}, or [0] without steps",
    )
    dtype: str = _in_training(choice(DTYPES), "Precision of the training; Hessians are in float64.", default="float64")
    seed: int = _in_sampling(whole(0, MAX_SEED), "Seed of data, labels and initial weights.", default=0)
    draws: int = _in_sampling(whole(), "Runs of each problem, over data, labels and initial weights.", default=1)
    cells: int = _in_look(
        whole(0, 4096), "About how many cells a side of each map of the Hessian's entries has; 0: no maps.", default=0
    )
    blocks: bool = _in_look(flag(), "Whether norms of single blocks are kept.", default=False)
    eigenvalues: bool = _in_look(flag(), "Whether eigenvalues of the diagonal blocks are kept.", default=False)

    given: frozenset[str] = attrs.field(default=frozenset(), eq=False, repr=False)
    problems: tuple[Problem, ...] = attrs.field(init=False, eq=False, repr=False)
    schedule: Schedule = attrs.field(init=False, eq=False, repr=False)
    look: Look = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "problems", self._problems())
        object.__setattr__(self, "schedule", self._schedule())
        object.__setattr__(self, "look", Look(self.cells, self.blocks, self.eigenvalues))

    def _problems(self) -> tuple[Problem, ...]:
        if (self.n_samples is None) == (self.samples_per_class is None):
            raise InputError("[grid]: give one of n_samples and samples_per_class")
        counts = self.n_samples or self.samples_per_class or ()
        lists = (self.loss, self.data, self.hidden, self.dim, counts, self.n_classes)
        n_problems = math.prod(map(len, lists))
        if n_problems * self.draws > MAX_RUNS:
            raise InputError(
                f"[grid]: {n_problems} problems of {self.draws} draws are too many; give at most {MAX_RUNS} runs"
            )
        laws: dict[str, Any] = {"activation": self.activation, "weights": self.weights, "labels": self.labels}
        return tuple(
            Problem(loss, C, d, count if self.n_samples else count * C, hidden, parse_data(text), self.dtype, **laws)
            for loss, text, hidden, d, count, C in itertools.product(*lists)
        )

    def _schedule(self) -> Schedule:
        checkpoints = self.checkpoints or (_CHECKPOINTS if self.steps else (0,))
        try:
            return Schedule(self.steps, self.learning_rate, tuple(checkpoints))
        except InputError as error:
            raise InputError(f"[training] {error}") from None

    def document(self) -> dict[str, Any]:
        """Return the spec as plain data, with those keys that were given or differ from their default."""
        return document_of(self, defaults=False, given=self.given)

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

    ``others`` are further names that the message on an unknown one offers.

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
    """Make a spec of training runs of plain data, such as a stored document.

    Raises
    ------
    InputError
        If keys or values are not valid; a sentence for each names it and what would be.
    """
    return parse(TrainingSpec, document, given=titles_of(document) if isinstance(document, Mapping) else frozenset())


def _check_name(file: str) -> None:
    if len(file) > _LONGEST_NAME:
        raise InputError(
            f"[grid] hidden: the name of a table would have {len(file)} letters, as it names all layers and the data, "
            f"and files take {_LONGEST_NAME}; give fewer layers, or a data file of a shorter name"
        )


def _label(problem: Problem, draw: int) -> str:
    hidden = "-".join(map(str, problem.hidden)) or "linear"
    sizes = f"c{problem.n_classes:02d}-d{problem.dim}-n{problem.n_samples}-{hidden}"
    data = re.sub(r"[^A-Za-z0-9_.-]", "-", "-".join([problem.data.text, *problem.other_laws.values()]))
    return f"{problem.loss}-{sizes}-{data}-draw{draw:03d}"
