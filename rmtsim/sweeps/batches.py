"""Batches: ranges of draws of one point. A worker computes one batch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rmtsim.arrays.backend import get_backend, resolve
from rmtsim.errors import RunError
from rmtsim.model.point import Point
from rmtsim.sampling.schema import SimulatedDraws
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.sweeps.jobs import never


@dataclass(frozen=True)
class Batch:
    """A job that makes draws: everything that a worker needs. The result is a pure function of it."""

    point: Point
    draws: range
    layers: tuple[str, ...]
    seed: int
    backend: str
    dtype: str
    diagonal: str
    threads: int
    memory: float | None
    weights_per_draw: int = 1

    def compute(self, stopping: Callable[[], bool] = never) -> Result:
        """Simulate the draws; they are not stopped on the way, since a batch takes seconds.

        Raises
        ------
        RunError
            If a value is not a number: it would be stored as if the layer had no such block.
        """
        start = time.perf_counter()
        simulated = simulate_arrays(
            self.point,
            self.draws,
            seed=self.seed,
            backend=self.backend,
            dtype=self.dtype,
            layers=self.layers,
            diagonal=self.diagonal,
            weights_per_draw=self.weights_per_draw,
            threads=self.threads,
            memory=self.memory,
        )
        lacking = np.isnan(simulated.values)
        if np.isinf(simulated.values).any() or (lacking.any(axis=0) != lacking.all(axis=0)).any():
            raise RunError("a value is not finite")
        return Result(simulated, time.perf_counter() - start)

    def within(self, memory: float) -> Batch:
        """Return the batch for a worker that has ``memory`` bytes, if it computes in the machine's own memory."""
        on_device = get_backend(resolve(self.backend)).needs_gpu
        return self if on_device or self.memory is not None else replace(self, memory=memory)

    def document(self) -> dict[str, Any]:
        """Return the parameters as plain data."""
        return {**asdict(self), "draws": [self.draws.start, self.draws.stop]}

    def __str__(self) -> str:
        return f"draws {self.draws.start} to {self.draws.stop - 1} of {self.point}"


@dataclass(frozen=True)
class Result:
    """What a worker returns: a few kilobytes."""

    simulated: SimulatedDraws
    seconds: float
