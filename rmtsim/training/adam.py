"""Full-batch Adam with a cosine schedule, by closed-form gradients: Appendix B.3 of the paper.

A run can stop at any step and go on from its saved state with the same weights, bit for bit.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from rmtsim.arrays.backend import Array, namespace, to_numpy
from rmtsim.errors import InputError, RunError
from rmtsim.full_hessian.propagation import loss_and_gradient
from rmtsim.text.checks import check_size
from rmtsim.text.words import abridge

#: Adam's constants (Kingma & Ba 2014, as PyTorch has them).
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

#: About how many values of the loss a run keeps.
_CURVE_POINTS = 400


@dataclass(frozen=True)
class Schedule:
    """Steps of Adam with learning rate (lr/2)(1 + cos(π t/T)) at step t of T, and where to look.

    Parameters
    ----------
    steps
        T; 0 for no training.
    learning_rate
        lr, that of the first step.
    checkpoints
        Fractions of the steps, ascending, at which the Hessian is described.

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> Schedule(steps=1000, checkpoints=(0, 0.01, 1)).checkpoint_steps
    (0, 10, 1000)
    """

    steps: int = 0
    learning_rate: float = 1e-4
    checkpoints: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", check_size("steps", self.steps, least=0))
        rate, places = _number(self.learning_rate), self.checkpoints
        if not 0 < rate < math.inf:
            raise InputError(
                f"learning_rate: {abridge(self.learning_rate)} is not valid; give a positive number, say 1e-4"
            )
        numbers = tuple(map(_number, places)) if isinstance(places, Iterable) else ()
        shown = abridge(list(places) if isinstance(places, tuple) else places)  # as a file of TOML has it
        if not numbers or not all(0 <= at <= 1 for at in numbers) or sorted(set(numbers)) != list(numbers):
            advice = "give ascending numbers from 0 to 1, such as 0, 0.5, 1"
            raise InputError(f"checkpoints: {shown} is not valid; {advice}")
        if not self.steps and numbers != (0,):
            raise InputError(f"checkpoints: {shown} is not valid without steps; give 0 alone, or steps")
        object.__setattr__(self, "learning_rate", rate)  # floats, whose texts make the identity of a table
        object.__setattr__(self, "checkpoints", numbers)

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """Steps done at each checkpoint, each once; those below one step are the first."""
        return tuple(dict.fromkeys(max(round(at * self.steps), 1 if at else 0) for at in self.checkpoints))

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * step / self.steps))

    @property
    def every(self) -> int:
        """Steps between kept values of the loss."""
        return max(1, self.steps // _CURVE_POINTS)


def _number(value: Any) -> float:
    """Return a real number as a float, NaN for all else."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


@dataclass
class Run:
    """State of a training run: all that its next step depends on, and the losses so far.

    ``weights``, ``first`` and ``second`` are the layers and Adam's moments; ``step`` counts the steps done; ``losses``
    maps step to loss.
    """

    weights: list[Array]
    step: int = 0
    first: list[Array] = field(default_factory=list)
    second: list[Array] = field(default_factory=list)
    losses: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        xp = namespace(self.weights[0])
        self.first = self.first or [xp.zeros_like(W) for W in self.weights]
        self.second = self.second or [xp.zeros_like(W) for W in self.weights]

    def advance(
        self, X: Array, y: Array, loss: str, schedule: Schedule, until: int, activation: str = "relu"
    ) -> Iterator[int]:
        """Take steps until ``until`` of them are done; yield their number after each."""
        while self.step < until:
            with np.errstate(over="ignore", invalid="ignore"):  # an error message follows
                value, gradient = loss_and_gradient(X, self.weights, y, loss, activation)
            if not math.isfinite(value):
                raise RunError(f"training: the loss is {value} after {self.step} steps; give a smaller learning_rate")
            if self.step % schedule.every == 0:
                self.losses[self.step] = float(value)
            self._adam(gradient, schedule.rate(self.step))
            self.step += 1
            yield self.step

    def _adam(self, gradient: Sequence[Array], rate: float) -> None:
        xp, t = namespace(gradient[0]), self.step + 1
        size = rate / (1 - BETA1**t)
        correction = math.sqrt(1 - BETA2**t)
        for W, g, m, v in zip(self.weights, gradient, self.first, self.second, strict=True):
            m *= BETA1
            m += (1 - BETA1) * g
            v *= BETA2
            v += (1 - BETA2) * g * g
            W -= size * m / (xp.sqrt(v) / correction + EPSILON)

    def save(self) -> bytes:
        """Return the state as a NumPy archive."""
        arrays: dict[str, Any] = {"step": self.step, "losses": np.array(list(self.losses.items())).reshape(-1, 2)}
        for k, group in enumerate(zip(self.weights, self.first, self.second, strict=True)):
            for name, array in zip(("weights", "first", "second"), group, strict=True):
                arrays[f"{name}{k}"] = to_numpy(array)
        sink = io.BytesIO()
        np.savez(sink, **arrays)
        return sink.getvalue()

    @classmethod
    def load(cls, data: bytes, like: Sequence[Array]) -> Run:
        """Return the run that was saved, with arrays of the module that ``like`` belongs to."""
        xp = namespace(like[0])
        with np.load(io.BytesIO(data), allow_pickle=False) as saved:
            groups = [
                [xp.asarray(saved[f"{name}{k}"]) for k in range(len(like))] for name in ("weights", "first", "second")
            ]
            losses = {int(step): float(value) for step, value in saved["losses"]}
            return cls(groups[0], int(saved["step"]), groups[1], groups[2], losses)
