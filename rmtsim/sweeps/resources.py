"""The threads and the memory that each worker on this machine gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmtsim.arrays.machine import total_memory, usable_memory
from rmtsim.arrays.threads import cores
from rmtsim.errors import InputError
from rmtsim.kernels.memory import BASE, least_memory
from rmtsim.sweeps.spec import Spec
from rmtsim.text.sizes import format_bytes
from rmtsim.training.task import Task


@dataclass(frozen=True)
class Resources:
    """How many workers there are, and what each of them gets.

    Attributes
    ----------
    workers
        Draws at a time; None for as many as a cluster has room for.
    threads
        Threads that share a draw: more than one only where there are fewer workers than cores, since a core does more
        (measured) as a worker with draws of its own than as a second thread on the draw of another.
    memory
        Bytes for each worker; None for what its own machine can spare.
    """

    workers: int | None
    threads: int
    memory: float | None


def allocate(
    spec: Spec, workers: int | None, wanted: int, memory: float | None, *, processes: bool = False
) -> Resources:
    """Divide this machine among ``workers``, or among at most ``wanted`` as memory allows.

    Parameters
    ----------
    spec
        The sweep, whose largest draw must fit.
    workers, wanted
        Workers that were asked for, or None; workers otherwise.
    memory
        Bytes for all of them; by default what the machine can spare.
    processes
        Whether workers are processes, each with a Python of its own, rather than threads.

    Raises
    ------
    InputError
        If a single draw, or one for each of ``workers``, does not fit.
    """
    budget, layers, dtype = _budget(memory), spec.layers, spec.sampling.dtype
    weights, threads = spec.sampling.weights, cores()
    needs = ((least_memory(point, layers, dtype, threads, weights(point, layers)), point) for point in spec.points())
    need, largest = max(needs, key=lambda item: item[0])
    # Threads share one Python.
    at_most = max(0, int(budget // (BASE + need) if processes else (budget - BASE) // need))
    wants = format_bytes((workers or 1) * (BASE + need) if processes else BASE + (workers or 1) * need)
    there = f"{wants}, Python included, and there are {format_bytes(budget)}"
    if at_most == 0:
        where = "[grid]" if memory is None else "memory"
        raise InputError(f"{where}: a draw at {largest.sizes} needs {there}; give more memory, or smaller sizes")
    if workers and workers > at_most:
        raise InputError(
            f"workers: {workers} draws at a time at {largest.sizes} need {there}; give at most {at_most} workers, "
            "or more memory"
        )
    count = workers or min(wanted, at_most)
    each = budget / count if processes else (budget - BASE) / count + BASE
    return Resources(count, 1 if processes else max(1, cores() // count), each)


def allocate_tables(
    tasks: Sequence[Task], workers: int | None, wanted: int, memory: float | None, *, processes: bool = False
) -> int:
    """Return how many of these tables to make at a time: ``workers``, or at most ``wanted`` as memory allows.

    Tables are not made in pieces. Where the memory of a table is not known, it counts as Python's alone.

    Raises
    ------
    InputError
        If the largest table, or one for each of ``workers``, does not fit.
    """
    budget, largest = _budget(memory), max(tasks, key=lambda task: task.memory)
    need = max(0, largest.memory - BASE)
    own, shared = (BASE + need, 0) if processes else (need, BASE)
    at_most = (int((budget - shared) // own) if own else wanted) if budget >= BASE + need else 0
    if at_most == 0:
        raise InputError(
            f"{'[grid]' if memory is None else 'memory'}: the table {largest.label} takes "
            f"{format_bytes(BASE + need)}, Python included, and there are {format_bytes(budget)}; give more memory, or "
            "smaller sizes"
        )
    if workers and own and workers > at_most:
        raise InputError(
            f"workers: {workers} tables at a time as large as {largest.label} take "
            f"{format_bytes(shared + workers * own)}, Python included, and there are {format_bytes(budget)}; give at "
            f"most {at_most} workers, or more memory"
        )
    return workers or min(wanted, at_most)


def _budget(memory: float | None) -> float:
    """Return the bytes that all workers on this machine may use."""
    budget = usable_memory() if memory is None else memory
    if budget > total_memory():
        raise InputError(
            f"memory: {format_bytes(budget)} is more than this machine has, or than limits leave to this job; give "
            f"at most {format_bytes(total_memory())}"
        )
    return budget
