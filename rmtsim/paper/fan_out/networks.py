"""What drives the block structure of deep networks: widths varied one at a time, and all at once.

Appendix A of the paper, third point: "For deeper models, we conjecture the block-diagonal structure will be primarily
driven by the number of output neurons in each layer (a.k.a., the “fan-out dimension”)." That can be read as the
layer's own neurons, the rows of W_a, or as the neurons that they feed, the next layer's. Both are varied, apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rmtsim.full_hessian.layer_norms import own_norms
from rmtsim.model.choices import LOSSES
from rmtsim.sweeps.experiment import Experiment
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint, Task
from rmtsim.training.trajectory import AT_START, described, saved_table, train

#: Numbers of weight layers of the networks: the theorems' two, and more.
DEPTHS = (2, 3, 4)

#: Checkpoints of the trained networks, as fractions of the steps.
_PROGRESS = (0.0, 0.1, 1.0)

_SEED = 20250509


class Case(NamedTuple):
    """A network of a design."""

    design: str  #: "one" size varied at a time, or "all" drawn at random
    varied: int  #: the size that differs from the base: 0 for d, a for the neurons of layer a; −1: none, or all
    sizes: tuple[int, ...]  #: d, n_1, …, n_{L−1}, C


def one_at_a_time(depth: int, base: int, values: Sequence[int]) -> list[Case]:
    """Return the network with all sizes equal to ``base``, then those where one of them is each of ``values``."""
    equal = (base,) * (depth + 1)
    others = [
        Case("one", k, (*equal[:k], value, *equal[k + 1 :]))
        for k in range(depth + 1)
        for value in values
        if value != base
    ]
    return [Case("one", -1, equal), *others]


def all_at_random(depth: int, least: int, most: int, count: int) -> list[Case]:
    """Return networks whose sizes are independent, log-uniform from ``least`` to ``most``."""
    rng = np.random.default_rng([_SEED, depth, least, most])
    sizes = np.exp(rng.uniform(np.log(least), np.log(most), (count, depth + 1))).round().astype(int)
    return [Case("all", -1, tuple(row)) for row in sizes.tolist()]


def fan_out_draws(
    case: Case,
    loss: str,
    n_samples: int,
    draws: range,
    schedule: Schedule = AT_START,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
) -> pd.DataFrame:
    """Measure the block norms of every layer of networks of one case, and train them.

    Parameters
    ----------
    case, loss, n_samples
        Sizes of the network; ``"ce"`` or ``"mse"``; N. Gaussian data, random labels, LeCun initialisation.
    draws, seed
        Those of `rmtsim.training.problem.Problem.draw`.
    schedule
        Steps of Adam; without, initialisation alone.
    checkpoint
        Where the rows of every draw are saved; by default nowhere.

    Returns
    -------
    DataFrame
        One row per draw, checkpoint and layer: ``design``, ``varied``, ``depth`` and what the problem and schedule are
        (``loss``, ``n_classes``, ``dim``, ``n_samples``, ``hidden``, …); ``draw``, ``seed``, ``step``, ``progress``,
        ``layer`` from 1; ``diag_sqfro``, ``offdiag_sqfro``, means over the layer's own blocks; and ``mean_loss``,
        that of the last kept step before, NaN at the start.
    """
    problem = Problem(loss, case.sizes[-1], case.sizes[0], n_samples, case.sizes[1:-1])
    tables = []
    for draw in draws:

        def of_draw(draw: int = draw) -> pd.DataFrame:
            return pd.DataFrame(_of_draw(problem, schedule, draw, seed))

        if checkpoint is None:
            tables.append(of_draw())
        else:
            checkpoint.check()
            tables.append(saved_table(checkpoint, f"draw{draw}", of_draw))
    about: dict[str, Any] = {"design": case.design, "varied": case.varied, "depth": len(case.sizes) - 1}
    return pd.concat(tables, ignore_index=True).assign(**about, **described(problem, schedule), seed=seed)


def _of_draw(problem: Problem, schedule: Schedule, draw: int, seed: int) -> Iterator[dict[str, Any]]:
    X, weights, y = problem.draw(draw, seed)
    for step, run in train(X, weights, y, problem.loss, schedule):
        here = {"draw": draw, "step": step, "progress": step / max(schedule.steps, 1)}
        here["mean_loss"] = run.losses[max(run.losses)] if run.losses else np.nan
        for layer, norms in enumerate(own_norms(X, run.weights, problem.loss), 1):
            yield {**here, "layer": layer, "diag_sqfro": norms.diag, "offdiag_sqfro": norms.offdiag}


def fan_out(full: bool = False) -> Experiment:
    """Experiment of Appendix A's third question: ReLU networks of 2, 3 and 4 weight layers, CE and MSE.

    One size at a time from 16 to 256 about a base of 64, N = 128, 16 draws; all sizes at random, 24 networks a depth of
    3 and 4 layers, 8 draws; and four layers trained, 6 draws. In full: to 512 about 128, N = 256, 32, 16 and 8 draws.
    """
    base, most, n_samples, scale = (128, 512, 256, 2) if full else (64, 256, 128, 1)
    values = [2**k for k in range(4, 10) if 2**k <= most]
    trained = Schedule(2000, 1e-3, _PROGRESS) if full else Schedule(300, 1e-3, _PROGRESS)
    tasks = []
    for loss in LOSSES:
        for depth in DEPTHS:
            for case in one_at_a_time(depth, base, values):
                tasks.append(_task(case, loss, n_samples, 16 * scale))
        for depth in DEPTHS[1:]:
            for case in all_at_random(depth, 16, 256, 24 * scale):
                tasks.append(_task(case, loss, n_samples, 8 * scale))
        for case in one_at_a_time(DEPTHS[-1], base, [values[0], most]):
            tasks.append(_task(case, loss, n_samples, 8 if full else 6, trained))
    return Experiment("fan_out", tasks)


def _task(case: Case, loss: str, n_samples: int, draws: int, schedule: Schedule = AT_START) -> Task:
    trained = schedule.steps > 0  # the others are done in a moment

    def compute(checkpoint: Checkpoint | None = None) -> pd.DataFrame:
        return fan_out_draws(case, loss, n_samples, range(draws), schedule, checkpoint=checkpoint)

    settings = case._asdict() | asdict(schedule) | {"loss": loss, "n_samples": n_samples, "draws": draws}
    sizes = np.array(case.sizes, dtype=float)
    label = f"{case.design}-{loss}-{'-'.join(map(str, case.sizes))}-steps{schedule.steps}"
    products = float(np.sum(sizes[1:-1] * sizes[2:]) * sizes[-1] + n_samples * np.sum(sizes[1:] ** 2))
    work = products * len(schedule.checkpoints) + 3 * schedule.steps * float(sizes[1:] @ sizes[:-1])
    return Task(label, settings, compute, cost=draws * n_samples * work, resumable=trained)
