"""Units of work: a stretch of draws of one point, of a second or two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from rmtsim.cost import flops, normals
from rmtsim.point import Point
from rmtsim.simulation import simulate
from sweeps.shares import Share
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
    diagonal: str
    threads: int
    memory: float | None

    def compute(self) -> pd.DataFrame:
        """Simulate the draws."""
        return simulate(
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


def cost(point: Point, layers: tuple[str, ...], diagonal: str = "exact") -> float:
    """Work of one draw in flops, the making of its normals included."""
    return flops(point, layers, diagonal) + _FLOPS_PER_NORMAL * normals(point, layers, diagonal)


def tasks_for(state: PointState, spec: Spec, backend: str, share: Share) -> Iterator[Task]:
    """Cut the draws that the point is missing into tasks."""
    sampling = spec.sampling
    size = max(1, round(_TASK_FLOPS / cost(state.point, spec.layers, sampling.diagonal)))
    for stretch in _stretches(state.missing()):
        for start in range(stretch.start, stretch.stop, size):
            draws = range(start, min(start + size, stretch.stop))
            yield Task(
                state.point,
                draws,
                spec.layers,
                sampling.seed,
                backend,
                sampling.dtype,
                sampling.diagonal,
                share.threads,
                share.memory,
            )


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
