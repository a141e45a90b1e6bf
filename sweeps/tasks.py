"""Units of work: a stretch of draws of one point, of a second or two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from rmtsim.cost import flops
from rmtsim.point import Point
from rmtsim.simulation import simulate
from sweeps.spec import Spec
from sweeps.state import PointState

#: Work of a task, in flops: one to two seconds on a core, so that little is lost at a kill and a shard is worth a file.
_TASK_FLOPS = 4e10
#: A normal number costs about as much as this many flops of a matrix product.
_FLOPS_PER_NORMAL = 300.0


@dataclass(frozen=True)
class Task:
    """Everything that a worker needs; its rows are a pure function of it."""

    point: Point
    draws: range
    layers: tuple[str, ...]
    seed: int
    backend: str
    dtype: str

    def compute(self) -> pd.DataFrame:
        """Simulate the draws."""
        return simulate(
            self.point, self.draws, seed=self.seed, backend=self.backend, dtype=self.dtype, layers=self.layers
        )


def cost(point: Point, layers: tuple[str, ...]) -> float:
    """Work of one draw in flops, the making of its normals included."""
    inputs = point.width or point.dim
    normals = point.n_samples * point.dim + point.n_classes * inputs
    return flops(point, layers) + _FLOPS_PER_NORMAL * normals


def tasks_for(state: PointState, spec: Spec, backend: str) -> Iterator[Task]:
    """Cut the draws that the point is missing into tasks."""
    size = max(1, round(_TASK_FLOPS / cost(state.point, spec.layers)))
    for stretch in _stretches(state.missing()):
        for start in range(stretch.start, stretch.stop, size):
            draws = range(start, min(start + size, stretch.stop))
            yield Task(state.point, draws, spec.layers, spec.sampling.seed, backend, spec.sampling.dtype)


def _stretches(draws: list[int]) -> Iterator[range]:
    """Group increasing numbers into ranges without gaps."""
    start = previous = None
    for draw in draws:
        if start is None or previous is None or draw != previous + 1:
            if start is not None and previous is not None:
                yield range(start, previous + 1)
            start = draw
        previous = draw
    if start is not None and previous is not None:
        yield range(start, previous + 1)
