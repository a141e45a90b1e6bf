"""What training does to the Hessian: the dynamic force, the rates in C, and the blocks' spectra."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.arrays.backend import Array, array_module
from rmtsim.draws import STREAMS, NormalRows
from rmtsim.experiment import Experiment, Location, Task
from rmtsim.experiments.eigenvalues import block_weights
from rmtsim.experiments.pictures import fig2, fig3
from rmtsim.full_hessian.description import Look, describe
from rmtsim.full_hessian.layers import propagate
from rmtsim.point import LOSSES
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import COLUMNS, described, trajectory_task

#: Where the paper looks, as fractions of the steps; and some places between, where the first steps do most.
PAPER = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)
DENSE = (0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)

#: Hidden neurons, and samples a class, of Section 3.1.
WIDTH, PER_CLASS = 8, 10

#: Appendix B.3: Adam from 1e-4, 50 000 steps.
_FULL_RATE, _FULL_STEPS = 1e-4, 50_000

#: The reduced sizes have fewer steps of a larger rate: with twice as many the final CE at C = 64 is 1 % less.
_RATE, _STEPS = 1e-2, 2000


class Joined(Experiment):
    """Experiments whose tables are shown together; each keeps its own, so none is computed twice."""

    def __init__(self, name: str, parts: list[Experiment]) -> None:
        super().__init__(name, [task for part in parts for task in part.tasks])
        self._parts = parts

    def missing(self, store: Location) -> list[Task]:
        """Tasks whose tables are not there."""
        return [task for part in self._parts for task in part.missing(store)]

    def run(
        self,
        store: Location,
        workers: int | None = None,
        done: Callable[[Task], None] | None = None,
        stopping: Callable[[], bool] = lambda: False,
        failed: Callable[[Task, Exception], None] | None = None,
    ) -> int:
        """Compute what is missing of each in turn; return the number of new tables."""
        return sum(part.run(store, workers, done, stopping, failed) for part in self._parts)

    def prepare(self, store: Location) -> None:
        """Make the folders of the tables."""
        for part in self._parts:
            part.prepare(store)

    def keep(self, store: Location, task: Task, table: pd.DataFrame) -> None:
        """Write the table of a task where its experiment keeps it."""
        next(part for part in self._parts if task in part.tasks).keep(store, task, table)

    def read(self, store: Location) -> pd.DataFrame:
        """Return the tables of all, one below the other."""
        return pd.concat([part.read(store) for part in self._parts], ignore_index=True)


def fig13(full: bool = False) -> Experiment:
    """Experiment of Figure 13: the runs of Figures 2 and 3."""
    return Joined("fig13", [fig2(full), fig3(full)])


def dynamic_force(full: bool = False) -> Experiment:
    """Experiment of Section 3.1, Finding 2: one hidden layer, d = C, N = 10 C, random labels, CE and MSE.

    And with one sample a class, as in Section 8, where 8 neurons can learn all labels by heart, so that the residual
    vanishes. d = C = 64 with 10 draws, or 500 with 3.
    """
    size, draws = (500, 3) if full else (64, 10)
    steps, rate = (_FULL_STEPS, _FULL_RATE) if full else (_STEPS, _RATE)
    schedule = Schedule(steps, rate, DENSE)
    tasks = [
        trajectory_task(f"{loss}-n{per_class * size:04d}-draw{draw}", problem, schedule, draw)
        for loss in LOSSES
        for per_class in (PER_CLASS, 1)
        for problem in [Problem(loss, size, size, per_class * size, (WIDTH,), dtype="float32")]
        for draw in range(draws)
    ]
    return Experiment("dynamic_force", tasks)


def training_rates(full: bool = False) -> Experiment:
    """Experiment of Appendix A's second question: one hidden layer at fixed d and many C, through training.

    The theorems vary C at fixed d and N; the paper's runs have N = 10 C, so that every class has as many samples. Both
    are done. C to 256 (128 with N = 10 C), d = 64, N = 640, 10 draws; or to 1024 (512), d = 100, N = 1000, 8 draws.
    """
    dim, most, draws = (100, 1024, 8) if full else (64, 256, 10)
    schedule = Schedule(10_000, 1e-3, DENSE) if full else Schedule(_STEPS, _RATE, DENSE)
    fixed = PER_CLASS * dim
    classes = [2**k for k in range(2, 11) if 2**k <= most]
    sizes = {(C, fixed) for C in classes} | {(C, PER_CLASS * C) for C in classes if most >= 2 * C}
    tasks = [
        trajectory_task(
            f"{loss}-c{C:04d}-n{N:05d}-draw{draw}",
            Problem(loss, C, dim, N, (WIDTH,), dtype="float32"),
            schedule,
            draw,
        )
        for loss in LOSSES
        for C, N in sorted(sizes)
        for draw in range(draws)
    ]
    return Experiment("training_rates", tasks)


def training_spectra(full: bool = False) -> Experiment:
    """Experiment of Appendix A's fourth question: eigenvalues of all diagonal blocks, through training.

    Linear CE with more samples than it can learn by heart and with fewer; one hidden layer with CE and MSE.
    d = 100, or 200, with 8 draws; C = 10 for the linear model, C = d with a hidden layer.
    """
    dim, draws = (200, 8) if full else (100, 8)
    schedule = Schedule(5000, 3e-3, PAPER) if full else Schedule(_STEPS, _RATE, PAPER)
    problems = [
        Problem("ce", 10, dim, 10 * dim, dtype="float32"),
        Problem("ce", 10, dim, 2 * dim, dtype="float32"),
        *(Problem(loss, dim, dim, 10 * dim, (WIDTH,), dtype="float32") for loss in LOSSES),
    ]
    return Experiment(
        "training_spectra", [spectra_task(problem, schedule, draw) for problem in problems for draw in range(draws)]
    )


def spectra_task(problem: Problem, schedule: Schedule, draw: int = 0, *, seed: int = 0) -> Task:
    """Return the task that computes ``spectra``; the problem and schedule stand in columns of the table."""
    settings = problem.parameters() | asdict(schedule) | {"draw": draw, "seed": seed, "spectra": True}

    def compute() -> pd.DataFrame:
        table = spectra(problem, schedule, draw, seed=seed)
        return table.assign(**described(problem, schedule), draw=draw, seed=seed)

    width = "-".join(map(str, ("linear", *problem.hidden)))
    label = f"{width}-{problem.loss}-c{problem.n_classes:04d}-n{problem.n_samples:05d}-draw{draw}"
    cost = problem.n_samples * problem.n_parameters * (problem.n_parameters + schedule.steps)
    return Task(label, settings, compute, cost=float(cost))


def spectra(problem: Problem, schedule: Schedule, draw: int = 0, *, seed: int = 0) -> pd.DataFrame:
    """Train a network of at most one hidden layer and return the eigenvalues of its diagonal blocks.

    Returns
    -------
    DataFrame
        Columns as of `rmtsim.training.trajectory.trajectory`; at each checkpoint its norms and these quantities:
        ``eigenvalue``, the j-th of the i-th diagonal block of a layer; ``decoupled``, that of (1/N) X̃ᵀ Λ X̃ with the
        weights Λ of the block as they are, but a copy X̃ of the data on which they do not depend: Section 6, Step 2,
        the d × d blocks only; and at step 0 ``output_weight``, V_ij with a hidden layer.
    """
    xp = array_module("numpy")
    X, weights, y = problem.draw(draw, seed)
    key = f"{STREAMS['numpy']}/{seed}/{problem.id}/copy"
    copy = NormalRows(key, draw, X.shape, 1.0, dtype="float64", xp=xp).all()
    run, tables = Run([W.copy() for W in weights]), []
    for until in schedule.checkpoint_steps:
        for _ in run.advance(X, y, problem.loss, schedule, until):
            pass
        parts = [describe(X, run.weights, y, problem.loss, Look(eigenvalues=True), xp)]
        rows = [np.linalg.eigvalsh((copy.T * w) @ copy / len(copy)) for w in diagonal_weights(X, run.weights, problem)]
        parts.append(_matrix(1, "decoupled", np.stack(rows)))
        if until == 0 and problem.hidden:
            parts.append(_matrix(2, "output_weight", weights[-1]))
        tables.append(pd.concat(parts, ignore_index=True).assign(step=until))
    whole = pd.concat(tables, ignore_index=True)
    whole["progress"] = whole["step"] / max(schedule.steps, 1)
    return whole[COLUMNS]


def diagonal_weights(X: Array, weights: list[Array], problem: Problem) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the weights λ_n, (N,), of each d × d diagonal block: H_ii = (1/N) Σ_n λ_n x_n x_nᵀ."""
    X, weights = X.astype(np.float64), [W.astype(np.float64) for W in weights]
    V = weights[-1]
    U = X @ weights[0].T if problem.hidden else propagate(X, weights, array_module("numpy")).logits
    layer = "hidden" if problem.hidden else "linear"
    for i in range(U.shape[1]):
        first = V if layer == "linear" else np.roll(V, -i, axis=1)
        yield block_weights(np.roll(U, -i, axis=1), first, layer=layer, loss=problem.loss, block="diag")


def _matrix(layer: int, quantity: str, values: Array) -> pd.DataFrame:
    i, j = np.indices(values.shape)
    where = {"layer": layer, "other": layer, "quantity": quantity, "i": i.ravel(), "j": j.ravel()}
    return pd.DataFrame(where | {"value": values.ravel().astype(np.float64)})
