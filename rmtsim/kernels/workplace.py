"""The room a draw is worked out in: how it is cut up to fit in memory, and the threads that share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rmtsim.arrays.backend import Module, is_cupy, native_gpu
from rmtsim.arrays.machine import keep_freed_memory, usable_memory
from rmtsim.arrays.threads import Team, cores, single_threaded_blas
from rmtsim.kernels.cost import flops
from rmtsim.kernels.memory import fitting_tiling
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.point import Point

#: Work of a draw, in flops, from which threads that share it gain more than they cost.
_LARGE = 3e8


@contextmanager
def workplace(
    point: Point,
    layers: tuple[str, ...],
    dtype: str,
    xp: Module,
    *,
    threads: int | None = None,
    memory: float | None = None,
    batch: int = 1,
    tick: Callable[[], None] | None = None,
) -> Iterator[tuple[Tiling, Team]]:
    """Give a draw's tiling and its team of threads; BLAS has one thread inside, so results agree to the bit.

    Parameters
    ----------
    point, layers, dtype, xp
        What is computed, and by which array module.
    threads
        Threads for large draws on a CPU, by default one for every core; small draws have one, which is faster.
    memory
        Bytes that may be used; by default what the machine, or the GPU, can spare.
    batch
        Draws at once.
    tick
        Called now and then while the team works.

    Raises
    ------
    InputError
        If the batch does not fit, however its draws are cut.
    """
    gpu = is_cupy(xp)
    if memory is None:
        memory = native_gpu().free_memory() if gpu else usable_memory()
    large = not gpu and flops(point, layers) > _LARGE
    threads = (threads or cores()) if large else 1
    cut = fitting_tiling(point, layers, dtype, memory, threads=threads, batch=batch, gpu=gpu)
    keep_freed_memory()
    with (
        single_threaded_blas(),
        Team(threads, tick) as team,
        native_gpu().memory_limit(memory) if gpu else nullcontext(),
    ):
        yield cut, team
