"""What one draw is computed with: a tiling that fits in memory, and a team of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rmtsim.arrays.backend import Module, backend_of
from rmtsim.arrays.machine import keep_freed_memory
from rmtsim.arrays.threads import ThreadTeam, cores, single_threaded_blas
from rmtsim.kernels.cost import flops
from rmtsim.kernels.memory import fitting_tiling
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.point import Point

#: Work of a draw, in flops, from which threads that share it gain more than they cost.
_LARGE = 3e8


@contextmanager
def draw_resources(
    point: Point,
    layers: tuple[str, ...],
    dtype: str,
    xp: Module,
    *,
    threads: int | None = None,
    memory: float | None = None,
    batch: int = 1,
    weights: int = 1,
    tick: Callable[[], None] | None = None,
) -> Iterator[tuple[Tiling, ThreadTeam]]:
    """Give a draw's tiling and its team of threads; BLAS has one thread inside, so results agree to the bit.

    Parameters
    ----------
    point, layers, dtype, xp
        What is computed, and by which array module.
    threads
        Threads for large draws on a CPU, by default one for every core; small draws have one, which is faster.
    memory
        Bytes that may be used; by default what the machine, or the GPU, can spare.
    batch, weights
        Draws at once, and last layers of each.
    tick
        Called now and then while the team works.

    Raises
    ------
    InputError
        If the batch does not fit, however its draws are cut.
    """
    backend = backend_of(xp)
    if memory is None:
        memory = backend.free_memory()
    large = not backend.needs_gpu and flops(point, layers, weights=weights) > _LARGE
    threads = (threads or cores()) if large else 1
    counts: dict[str, Any] = {"threads": threads, "batch": batch, "weights": weights}
    tiling = fitting_tiling(point, layers, dtype, memory, gpu=backend.needs_gpu, **counts)
    keep_freed_memory()
    with (
        single_threaded_blas(),
        ThreadTeam(threads, tick) as team,
        backend.memory_limit(memory),
    ):
        yield tiling, team
