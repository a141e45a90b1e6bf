"""Sources of work for `plan` and `run`, by file or name: a sweep, training runs, or the tables of a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from rmtsim.arrays.backend import resolve
from rmtsim.arrays.machine import usable_memory
from rmtsim.arrays.threads import cores
from rmtsim.cli.printing import print_message
from rmtsim.errors import InputError, RunError
from rmtsim.store import Store
from rmtsim.store.experiment_tables import experiment_names, spec_of
from rmtsim.sweeps.experiment import Experiment, Task, table_file
from rmtsim.text.sizes import format_bytes, format_flops, format_seconds
from rmtsim.text.words import number_of

if TYPE_CHECKING:
    from rmtsim.figures import Figure
    from rmtsim.sweeps.spec import Spec
    from rmtsim.sweeps.training_spec import TrainingSpec


class TableSource(Protocol):
    """A source that asks for tables of an experiment."""

    @property
    def name(self) -> str:
        """Name of the experiment."""
        ...

    @property
    def document(self) -> Mapping[str, Any]:
        """The request, as plain data; a store keeps it."""
        ...

    def backend(self, wanted: str, address: str) -> str:
        """Return the backend for the tables, ``"numpy"`` or ``"cupy"``; raise InputError if ``wanted`` cannot be."""
        ...

    def experiment(self, backend: str = "numpy") -> Experiment:
        """Return the experiment."""
        ...

    def plan(
        self, experiment: Experiment, missing: set[str], workers: int | None = None
    ) -> tuple[pd.DataFrame, str, float]:
        """Return a row for each table with its cost, a summary, and the seconds to go (infinite if unknown).

        ``missing`` has the files of the tables that are missing; ``workers`` tables are made at a time, by default one
        for each core.
        """
        ...


def load(source: str, full: bool = False) -> Spec | TableSource:
    """Return the sweep, or the source of tables, that a file or a name stands for.

    Raises
    ------
    InputError
        If there is none, if it is not valid, or if ``full`` is given for a spec, which has sizes of its own.
    """
    from rmtsim.sweeps.documents import is_path
    from rmtsim.sweeps.spec import Spec as Sweep
    from rmtsim.sweeps.spec import builtin_specs
    from rmtsim.sweeps.training_spec import builtin_trainings, load_any

    specs, figures = [*builtin_specs(), *builtin_trainings()], dict[str, "Figure"]()
    if not is_path(source) and source not in specs:
        from rmtsim.figures import all_figures

        figures = all_figures()
    if (source in specs or source in figures) and Path(source).is_file():
        print_message(
            f"spec: {source} is the one that comes with rmtsim; for the file of that name here, give ./{source}"
        )
    if source in figures:
        return FigureRuns(_with_experiment(figures[source], full), full)
    others = [name for name, figure in figures.items() if not figure.specs and not figure.data]
    spec = load_any(source, others)
    if full:
        raise InputError(
            f"--full: {source} is a spec, which has sizes of its own; leave it out, or give the name of a figure"
        )
    return spec if isinstance(spec, Sweep) else TrainingRuns(spec)


def stored_tasks(store: Store) -> dict[str, Task]:
    """Return the tasks of the experiments that were run into a store, by the paths of their tables.

    Tasks that cannot be made here are left out, for example those whose data do not exist any more.
    """
    found: dict[str, Task] = {}
    for name in experiment_names(store):
        for backend in dict.fromkeys(("numpy", resolve("auto"))):
            try:
                document = spec_of(store, name) or {"spec": {}}
                experiment = _stored_experiment(document["spec"], backend)
            except (InputError, RunError):
                continue
            found |= dict(zip(experiment.paths(), experiment.tasks, strict=True))
    return found


def _stored_experiment(spec: Mapping[str, Any], backend: str) -> Experiment:
    from rmtsim.figures import all_figures
    from rmtsim.sweeps.training_spec import from_document

    match spec:
        case {"figure": str(name), "full": bool(full), **rest}:
            data = rest.get("data")
            figure = all_figures().get(name) if data is None or isinstance(data, str) else None
            if figure is not None and (experiment := figure.experiment(full, data)) is not None:
                return experiment
            raise InputError(f"spec: {name!r} is not a figure that shows tables; choose one of `rmtsim figure --list`")
    return from_document(spec).experiment(backend)


def _with_experiment(figure: Figure, full: bool) -> Figure:
    """Return the figure; raise InputError unless it shows tables that need no data."""
    if figure.data:
        raise InputError(f"spec: {figure.name} needs {figure.data}; `{figure.command(full)}` makes it")
    if figure.specs:
        sweeps = ", ".join(figure.sweeps(full))
        raise InputError(f"spec: {figure.name} is a figure, which shows the draws of a sweep; give the sweep: {sweeps}")
    return figure


@dataclass(frozen=True)
class TrainingRuns:
    """The tables of a spec of training runs."""

    spec: TrainingSpec

    @property
    def name(self) -> str:
        """Name of the spec."""
        return self.spec.name

    @property
    def document(self) -> Mapping[str, Any]:
        """The spec."""
        return self.spec.document()

    def backend(self, wanted: str, address: str) -> str:
        """Return the backend asked for; of ``"auto"`` NumPy, or what threads of this process find a GPU with."""
        if wanted == "auto" and address != "local":
            return "numpy"
        return resolve(wanted) if address == "local" else wanted

    def experiment(self, backend: str = "numpy") -> Experiment:
        """Return the experiment of all runs; raise InputError if a run needs more memory than this machine has."""
        for problem, task in self.spec.runs():
            if problem.memory > usable_memory():
                raise InputError(
                    f"[grid]: {task.label} would hold {format_bytes(problem.memory)}, and this machine has "
                    f"{format_bytes(usable_memory())}; give smaller sizes"
                )
        return self.spec.experiment(backend)

    def plan(
        self, experiment: Experiment, missing: set[str], workers: int | None = None
    ) -> tuple[pd.DataFrame, str, float]:
        """Return a row for each run; times are for this machine."""
        from rmtsim.arrays.machine import flops_per_second
        from rmtsim.training.trajectory import core_seconds

        speed = flops_per_second("float64")
        table = pd.DataFrame(
            {
                "run": task.label,
                "state": "new" if table_file(task) in missing else "done",
                "n_classes": problem.n_classes,
                "dim": problem.dim,
                "n_samples": problem.n_samples,
                "parameters": problem.n_parameters,
                "steps": self.spec.schedule.steps,
                "flops": task.cost,
                "core_seconds": core_seconds(problem, self.spec.schedule, speed),
                "memory": problem.memory,
            }
            for problem, task in self.spec.runs()
        )
        left = table[table["state"] == "new"]
        at_once = workers or cores()
        seconds = float(left["core_seconds"].sum()) / min(at_once, cores(), max(1, len(left)))
        time = (
            f"{format_flops(left['flops'].sum())}, about {format_seconds(seconds)} with {number_of(at_once, 'worker')}"
        )
        summary = f"{self.name}: {number_of(len(table), 'run')}: {len(table) - len(left)} done, {len(left)} new; "
        return table, summary + (time if len(left) else "nothing to do"), seconds


@dataclass(frozen=True)
class FigureRuns:
    """The tables that a figure shows."""

    figure: Figure
    full: bool = False
    data: str | None = None

    @property
    def name(self) -> str:
        """Name of the figure, and of its experiment."""
        return self.figure.name

    @property
    def document(self) -> Mapping[str, Any]:
        """The figure, whether with ``--full``, and where its data are if it takes any."""
        data = {"data": self.data} if self.figure.data else {}
        return {"figure": self.name, "full": self.full, **data}

    def backend(self, wanted: str, address: str) -> str:
        """Return ``"numpy"``."""
        if wanted not in ("auto", "numpy"):
            raise InputError(f"--backend: the tables of {self.name} are made with NumPy; give numpy or auto")
        return "numpy"

    def experiment(self, backend: str = "numpy") -> Experiment:
        """Return the experiment of the figure."""
        experiment = self.figure.experiment(self.full, self.data)
        assert experiment is not None
        return experiment

    def plan(
        self, experiment: Experiment, missing: set[str], workers: int | None = None
    ) -> tuple[pd.DataFrame, str, float]:
        """Return a row for each table; times are shares of what the whole took where it was measured."""
        from rmtsim.figures.costs import cost_of

        whole, cost = sum(task.cost for task in experiment.tasks), cost_of(self.figure, self.full)
        core_seconds = cost.cores * cost.seconds if cost.measured else math.inf
        table = pd.DataFrame(
            {
                "run": task.label,
                "state": "new" if table_file(task) in missing else "done",
                "core_seconds": core_seconds * (task.cost / whole),
            }
            for task in experiment.tasks
        )
        new = table["state"] == "new"
        at_once = min(workers or cost.cores or 2, max(1, int(new.sum())))
        left = float(table["core_seconds"][new].sum()) / at_once
        if not new.any():
            time = "nothing to do"
        elif math.isinf(left):
            time = "its time was never measured"
        else:
            time = f"about {format_seconds(left)} on {number_of(at_once, 'core')}"
        summary = (
            f"{self.name}: {number_of(len(table), 'table')}: {len(table) - new.sum()} done, {new.sum()} new; {time}"
        )
        return table, summary, left
