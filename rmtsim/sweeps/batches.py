"""Batches: ranges of draws of one point. A worker computes one batch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import get_backend, resolve
from rmtsim.errors import RunError
from rmtsim.kernels.cost import ways
from rmtsim.model.layers import BY_NAME
from rmtsim.model.point import Point
from rmtsim.sampling.schema import SimulatedDraws
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.sweeps.jobs import never

#: Kinds of draws that this process has made on a GPU, each with how many of them at once.
_WARM: set[tuple[object, ...]] = set()


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
        self._warm_up()
        start = time.perf_counter()
        simulated = self._simulate(self.draws)
        if (np.isfinite(simulated.values) != self._has()).any():
            raise RunError("a value is not finite")
        return Result(simulated, time.perf_counter() - start)

    def _has(self) -> npt.NDArray[np.bool_]:
        """Return which values each layer has, (layers, 4), in the order of `SimulatedDraws.values`."""
        layers, sizes = [BY_NAME[name] for name in self.layers], (self.point.n_classes, self.point.width)
        return np.array([[layer.has_diagonal, layer.has_off_diagonal(*sizes), True, True] for layer in layers])

    def _simulate(self, draws: range) -> SimulatedDraws:
        return simulate_arrays(
            self.point,
            draws,
            seed=self.seed,
            backend=self.backend,
            dtype=self.dtype,
            layers=self.layers,
            diagonal=self.diagonal,
            weights_per_draw=self.weights_per_draw,
            threads=self.threads,
            memory=self.memory,
        )

    def _warm_up(self) -> None:
        """Make the first draws of this kind in a process on a GPU, one alone and two at once.

        CuPy compiles meanwhile, for some seconds. As a part of a batch, these would be taken for the time of its draws,
        and the next batches would be far too small. Two draws need other kernels than one: their arrays have an axis
        more, with gaps. What draws in doubt need, which are few, is compiled when the first of them comes.
        """
        if not get_backend(resolve(self.backend)).needs_gpu:
            return
        kind = ways(self.point, self.diagonal, self.weights_per_draw)
        for count in range(1, min(2, len(self.draws)) + 1):
            if (found := (kind, self.layers, self.dtype, count)) not in _WARM:
                self._simulate(range(self.draws.start, self.draws.start + count))
                _WARM.add(found)

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
