"""Batches: ranges of draws of one point, what a worker takes at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from rmtsim.errors import RunError
from rmtsim.kernels.cost import flops, normals
from rmtsim.model.point import Point
from rmtsim.sampling.schema import SimulatedDraws
from rmtsim.sampling.simulation import simulate_arrays

#: A normal number costs about as much as this many flops of a matrix product.
_FLOPS_PER_NORMAL = 300.0


@dataclass(frozen=True)
class Batch:
    """Everything that a worker needs; what it returns is a pure function of it."""

    point: Point
    draws: range
    layers: tuple[str, ...]
    seed: int
    backend: str
    dtype: str
    diagonal: str
    threads: int
    memory: float | None

    def compute(self) -> Result:
        """Simulate the draws.

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
            threads=self.threads,
            memory=self.memory,
        )
        lacking = np.isnan(simulated.values)
        if np.isinf(simulated.values).any() or (lacking.any(axis=0) != lacking.all(axis=0)).any():
            raise RunError("a value is not finite")
        return Result(simulated, time.perf_counter() - start)

    def __str__(self) -> str:
        return f"draws {self.draws.start} to {self.draws.stop - 1} of {self.point}"


@dataclass(frozen=True)
class Result:
    """What a worker returns: a few kilobytes."""

    simulated: SimulatedDraws
    seconds: float


def cost(point: Point, layers: tuple[str, ...], diagonal: str = "exact") -> float:
    """Work of one draw in flops, the making of its normals included."""
    return flops(point, layers, diagonal) + _FLOPS_PER_NORMAL * normals(point, layers, diagonal)
