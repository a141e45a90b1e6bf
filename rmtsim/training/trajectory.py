"""The Hessian of a network at initialisation and along training, as one long table."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.arrays.backend import array_module
from rmtsim.arrays.machine import keep_freed_memory
from rmtsim.experiment import StoppedError, Task
from rmtsim.full_hessian.description import Look, describe
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem

#: Seconds between two saved states.
_SAVE_EVERY = 20.0

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
    """Keeps nothing."""

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
        ``"numpy"`` or ``"cupy"``.

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
    xp = array_module(backend)
    X, weights, y = problem.draw(draw, seed, xp)
    memory = memory or Forgetful()
    saved = memory.load("run")
    run = Run(list(weights)) if saved is None else Run.load(saved, weights)
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

    P = problem.n_parameters  # a Hessian takes N P² flops, a step 6 N P
    flops = problem.n_samples * P * (P * len(schedule.checkpoints) + 6 * schedule.steps)
    return Task(label, settings, compute, cost=float(flops), resumable=True)


def described(problem: Problem, schedule: Schedule) -> dict[str, Any]:
    """Return problem and schedule as columns of a table."""
    return {
        "loss": problem.loss,
        "n_classes": problem.n_classes,
        "dim": problem.dim,
        "n_samples": problem.n_samples,
        "hidden": "-".join(map(str, problem.hidden)),
        "data": problem.data.kind,
        "steps": schedule.steps,
        "learning_rate": schedule.learning_rate,
    }
