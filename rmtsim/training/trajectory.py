"""The Hessian of a network at initialisation and along training, as one long table."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.arrays.backend import Array, array_module, resolve
from rmtsim.arrays.machine import keep_freed_memory
from rmtsim.errors import StoppedError
from rmtsim.full_hessian.description import Look, describe
from rmtsim.sweeps.experiment import Task
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem

#: Seconds between two saved states.
_SAVE_EVERY = 20.0

#: What a step and a look at the Hessian take besides their flops, in Python and small arrays, and how many times longer
#: than products of large matrices the flops take: measured on a core of an AMD EPYC, P from 8 to 10 000, N to 1000.
_STEP_SECONDS, _LOOK_SECONDS, _SLOWER = 1.5e-4, 4e-3, 3.0

COLUMNS = ["step", "progress", "layer", "other", "quantity", "i", "j", "value"]


class Memory(Protocol):
    """Where a task keeps what a kill shall not cost, and learns that it should end."""

    @property
    def stopping(self) -> bool:
        """Whether to save the state and end."""
        ...

    def load(self, name: str) -> bytes | None:
        """Return what was saved under a name, or None."""
        ...

    def save(self, name: str, data: bytes) -> None:
        """Save under a name, in place of what was there."""
        ...


class Forgetful:
    """Keeps nothing: where no store is in reach."""

    stopping = False

    def load(self, name: str) -> bytes | None:
        """Return None."""
        return None

    def save(self, name: str, data: bytes) -> None:
        """Do nothing."""


#: Nothing but norms; no training.
NORMS, AT_START = Look(), Schedule()


def trajectory(
    problem: Problem,
    schedule: Schedule = AT_START,
    draw: int = 0,
    *,
    seed: int = 0,
    look: Look = NORMS,
    memory: Memory | None = None,
    backend: str = "numpy",
) -> pd.DataFrame:
    """Train a network and describe its Hessian at every checkpoint.

    Parameters
    ----------
    problem, schedule
        Data, network and loss; steps, learning rate and checkpoints. Without steps the table is of initialisation.
    draw, seed
        Which draw of the problem.
    look
        What is kept of each Hessian.
    memory
        Where the state of the run is kept about every 20 s: after a kill the same call goes on from there, with
        the same weights, bit for bit.
    backend
        ``"numpy"``, ``"cupy"``, or ``"auto"``: CuPy where it finds a GPU.

    Returns
    -------
    DataFrame
        Columns ``step``, ``progress`` (step/steps), ``layer``, ``other``, ``quantity``, ``i``, ``j``, ``value``; as
        in ``rmtsim.full_hessian.description``.

    Examples
    --------
    >>> from rmtsim.training.problem import Problem
    >>> from rmtsim.training.adam import Schedule
    >>> from rmtsim.training.trajectory import trajectory
    >>> problem = Problem("ce", n_classes=5, dim=6, n_samples=20, hidden=(3,))
    >>> table = trajectory(problem, Schedule(steps=50, learning_rate=0.1, checkpoints=(0, 1)))
    >>> loss = table[table.quantity == "loss"].value
    >>> bool(loss.iloc[-1] < loss.iloc[0])
    True
    """
    xp = array_module(resolve(backend))
    X, weights, y = problem.draw(draw, seed, xp)
    memory = memory or Forgetful()
    run = _saved_run(memory, weights, schedule) or Run(list(weights))
    last_saved, tables = time.monotonic(), []
    keep_freed_memory()
    for until in schedule.checkpoint_steps:
        for _ in run.advance(X, y, problem.loss, schedule, until):
            if memory.stopping or time.monotonic() > last_saved + _SAVE_EVERY:
                memory.save("run", run.save())
                last_saved = time.monotonic()
            if memory.stopping:
                raise StoppedError(f"stopped after {run.step} of {schedule.steps} steps; the same call goes on")
        name = f"step{until}"
        table = memory.load(name)
        if table is None:
            table = _pack(describe(X, run.weights, y, problem.loss, look, xp).assign(step=until))
            memory.save(name, table)
        tables.append(_unpack(table))
    curve = pd.DataFrame({"step": list(run.losses), "value": list(run.losses.values())})
    curve = curve[~curve["step"].isin(schedule.checkpoint_steps)]
    tables.append(curve.assign(layer=0, other=0, quantity="loss", i=0, j=0))
    whole = pd.concat(tables, ignore_index=True)
    whole["progress"] = whole["step"] / max(schedule.steps, 1)
    return whole[COLUMNS]


def _saved_run(memory: Memory, weights: list[Array], schedule: Schedule) -> Run | None:
    """Return the run that was saved, if the tables of all checkpoints that it has left behind are there too."""
    saved = memory.load("run")
    if saved is None:
        return None
    run = Run.load(saved, weights)
    behind = [step for step in schedule.checkpoint_steps if step < run.step]
    return None if any(memory.load(f"step{step}") is None for step in behind) else run


def _pack(table: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), sink, compression="zstd")
    return bytes(sink.getvalue())


def _unpack(data: bytes) -> pd.DataFrame:
    table: pd.DataFrame = pq.read_table(pa.BufferReader(data)).to_pandas()
    return table


def trajectory_task(
    label: str,
    problem: Problem,
    schedule: Schedule,
    draw: int = 0,
    *,
    seed: int = 0,
    look: Look = NORMS,
    backend: str = "numpy",
) -> Task:
    """Return the task that computes ``trajectory``; the problem and schedule stand in columns of the table."""
    settings = problem.parameters() | asdict(schedule) | asdict(look) | {"draw": draw, "seed": seed}
    if backend != "numpy":
        settings["backend"] = backend

    def compute(memory: Memory) -> pd.DataFrame:
        table = trajectory(problem, schedule, draw, seed=seed, look=look, memory=memory, backend=backend)
        return table.assign(**described(problem, schedule), draw=draw, seed=seed)

    return Task(label, settings, compute, cost=flops(problem, schedule), resumable=True)


def flops(problem: Problem, schedule: Schedule) -> float:
    """Work of a trajectory: a Hessian takes N P² flops, a step 6 N P."""
    P = problem.n_parameters
    return float(problem.n_samples * P * (P * len(schedule.checkpoint_steps) + 6 * schedule.steps))


def core_seconds(problem: Problem, schedule: Schedule, speed: float) -> float:
    """About how long a trajectory takes on a core that multiplies matrices at ``speed`` flops per second."""
    overhead = _STEP_SECONDS * schedule.steps + _LOOK_SECONDS * len(schedule.checkpoint_steps)
    return _SLOWER * flops(problem, schedule) / speed + overhead


def described(problem: Problem, schedule: Schedule) -> dict[str, Any]:
    """Return problem and schedule as columns of a table."""
    return {
        "loss": problem.loss,
        "n_classes": problem.n_classes,
        "dim": problem.dim,
        "n_samples": problem.n_samples,
        "hidden": "-".join(map(str, problem.hidden)),
        "data": problem.data.text,
        "steps": schedule.steps,
        "learning_rate": schedule.learning_rate,
    }
