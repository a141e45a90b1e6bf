"""The Hessian of a network at initialisation and along training, as one long table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.arrays.backend import Array, array_module, get_backend, resolve
from rmtsim.arrays.machine import keep_freed_memory
from rmtsim.full_hessian.description import Look, describe
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint, Task

#: Seconds between two saved states.
_SAVE_EVERY = 20.0

#: What a step and a look at the Hessian take besides their flops, in Python and small arrays, and how many times longer
#: than products of large matrices the flops take: measured on a core of an AMD EPYC, P from 8 to 10 000, N to 1000.
_STEP_SECONDS, _LOOK_SECONDS, _SLOWER = 1.5e-4, 4e-3, 3.0

COLUMNS = ["step", "progress", "layer", "other", "quantity", "i", "j", "value"]


#: Nothing but norms; no training.
NORMS, AT_START = Look(), Schedule()


def trajectory(
    problem: Problem,
    schedule: Schedule = AT_START,
    draw: int = 0,
    *,
    seed: int = 0,
    look: Look = NORMS,
    checkpoint: Checkpoint | None = None,
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
    checkpoint
        Where the state of the run is saved about every 20 s: after a kill the same call goes on from there, with the
        same weights, bit for bit.
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
    keep_freed_memory()

    def look_at(step: int, run: Run) -> pd.DataFrame:
        return describe(X, run.weights, y, problem.loss, look, xp, problem.activation).assign(step=step)

    tables, run = tables_along(X, weights, y, problem.loss, schedule, look_at, checkpoint, problem.activation)
    curve = pd.DataFrame({"step": list(run.losses), "value": list(run.losses.values())})
    curve = curve[~curve["step"].isin(schedule.checkpoint_steps)]
    tables.append(curve.assign(layer=0, other=0, quantity="loss", i=0, j=0))
    whole = pd.concat(tables, ignore_index=True)
    whole["progress"] = whole["step"] / max(schedule.steps, 1)
    return whole[COLUMNS]


def train(
    X: Array,
    weights: Sequence[Array],
    y: Array,
    loss: str,
    schedule: Schedule,
    checkpoint: Checkpoint | None = None,
    activation: str = "relu",
) -> Iterator[tuple[int, Run]]:
    """Train a network; at each checkpoint of the schedule yield the steps done and the state of the run.

    The state is saved about every 20 s, and the same call goes on from there if the tables of all checkpoints of the
    schedule that it had passed are saved too (see `tables_along`); otherwise it starts again.

    Raises
    ------
    StoppedError
        If the task should end; the state is saved.
    """
    checkpoint = checkpoint or Checkpoint()
    run = _saved_run(checkpoint, weights, schedule) or Run([W.copy() for W in weights])
    last_saved = time.monotonic()
    for until in schedule.checkpoint_steps:
        for _ in run.advance(X, y, loss, schedule, until, activation):
            if checkpoint.stopping or time.monotonic() > last_saved + _SAVE_EVERY:
                checkpoint.save("run", run.save())
                last_saved = time.monotonic()
                checkpoint.check()
        yield until, run


def tables_along(
    X: Array,
    weights: Sequence[Array],
    y: Array,
    loss: str,
    schedule: Schedule,
    look_at: Callable[[int, Run], pd.DataFrame],
    checkpoint: Checkpoint | None = None,
    activation: str = "relu",
) -> tuple[list[pd.DataFrame], Run]:
    """Train a network; return what ``look_at`` makes of the steps done and the run at each checkpoint, and the run.

    These tables are saved, too, so that the same call goes on after a kill (see `train`).
    """
    checkpoint, tables = checkpoint or Checkpoint(), []
    for step, run in train(X, weights, y, loss, schedule, checkpoint, activation):

        def look(step: int = step, run: Run = run) -> pd.DataFrame:
            return look_at(step, run)

        tables.append(saved_table(checkpoint, f"step{step}", look))
    return tables, run


def saved_table(checkpoint: Checkpoint, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Return the table that was saved under a name; make and save it if there is none."""
    data = checkpoint.load(name)
    if data is None:
        data = _pack(make())
        checkpoint.save(name, data)
    return _unpack(data)


def _saved_run(checkpoint: Checkpoint, weights: Sequence[Array], schedule: Schedule) -> Run | None:
    """Return the run that was saved, if the tables of all checkpoints that it has passed are saved too."""
    saved = checkpoint.load("run")
    if saved is None:
        return None
    run = Run.load(saved, weights)
    passed = [step for step in schedule.checkpoint_steps if step < run.step]
    return None if any(checkpoint.load(f"step{step}") is None for step in passed) else run


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
    settings = problem.parameters() | asdict(schedule) | look.parameters() | {"draw": draw, "seed": seed}
    if backend != "numpy":
        settings["backend"] = backend

    def compute(checkpoint: Checkpoint) -> pd.DataFrame:
        table = trajectory(problem, schedule, draw, seed=seed, look=look, checkpoint=checkpoint, backend=backend)
        return table.assign(**described(problem, schedule), draw=draw, seed=seed)

    def warm_up() -> None:
        if get_backend(resolve(backend)).needs_gpu:
            _compile(_in_small(problem), bool(schedule.steps), look, backend)

    return Task(label, settings, compute, flops(problem, schedule), True, problem.memory, warm_up)


@cache
def _compile(problem: Problem, trained: bool, look: Look, backend: str) -> None:
    """Take a step and look at the Hessian, so that a GPU has all kernels for it from then on, in this process."""
    schedule = Schedule(1, checkpoints=(0.0, 1.0)) if trained else AT_START
    trajectory(problem, schedule, look=look, backend=backend)


def _in_small(problem: Problem) -> Problem:
    """Return a problem that needs the same kernels, of Gaussian data, which are always there."""
    C, d = min(problem.n_classes, 3), min(problem.dim, 4)
    hidden = tuple(min(width, 3) for width in problem.hidden)
    return Problem(
        problem.loss, C, d, min(problem.n_samples, 8), hidden, dtype=problem.dtype, activation=problem.activation
    )


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
        **problem.other_laws,
    }
