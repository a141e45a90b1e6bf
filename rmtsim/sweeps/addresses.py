"""Where a sweep runs, by address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rmtsim.arrays.backend import resolve
from rmtsim.sweeps.connection import OWN_RAY, connected
from rmtsim.sweeps.executor import Executor
from rmtsim.sweeps.ray_workers import RayWorkers
from rmtsim.sweeps.thread_workers import default_workers, thread_workers

#: The address that means threads of this process.
LOCAL = "local"

__all__ = ["HERE", "LOCAL", "OWN_RAY", "open_executor"]

#: Addresses that mean this machine, and nothing that others may use.
HERE = (LOCAL, OWN_RAY)


@contextmanager
def open_executor(address: str, workers: int | None, backend: str) -> Iterator[Executor]:
    """Open the executor for ``address``: ``local``, ``ray`` or the address of a Ray cluster.

    Raises
    ------
    InputError
        If the backend is not there, or no Ray answers.
    """
    if address == LOCAL:
        backend = resolve(backend)
        with thread_workers(workers or default_workers(backend), backend) as executor:
            yield executor
        return
    with connected(address, workers) as ray:
        yield RayWorkers(ray, workers, backend)
