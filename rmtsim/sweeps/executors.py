"""Open the executor at an address: threads of this process, a Ray of its own on this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rmtsim.arrays.backend import backend_choices, resolve
from rmtsim.sweeps.connection import OWN_RAY, check_address, connected
from rmtsim.sweeps.jobs import Executor
from rmtsim.sweeps.ray_workers import RayWorkers
from rmtsim.sweeps.thread_workers import default_workers, thread_workers
from rmtsim.text.checks import check_choice

#: The address of threads of this process.
LOCAL = "local"

__all__ = ["LOCAL", "OWN_RAY", "THIS_MACHINE", "check_place", "open_executor"]

#: Addresses at which all computing is done on this machine, by workers that no other run uses.
THIS_MACHINE = (LOCAL, OWN_RAY)


def check_place(address: str, backend: str) -> None:
    """Check where and with what to compute, as far as nothing has to be started for it.

    Whether a cluster answers, and whether its workers have a GPU, shows when it is needed.

    Raises
    ------
    InputError
        If the address has none of the forms that there are, the backend is not known, or it cannot compute on this
        machine where it should.
    """
    if address in THIS_MACHINE:
        resolve(backend)
        return
    check_address(address)
    check_choice("backend", backend, backend_choices())


@contextmanager
def open_executor(address: str, workers: int | None, backend: str, queued: int) -> Iterator[Executor]:
    """Open the executor at ``address``: ``local``, ``ray`` or the address of a Ray cluster.

    Each worker of a cluster has up to ``queued`` jobs at a time.

    Raises
    ------
    InputError
        If the backend is not there, or no Ray answers.
    """
    if address == LOCAL:
        backend = resolve(backend)
        with thread_workers(workers or default_workers(backend), backend, queued) as executor:
            yield executor
        return
    with connected(address, workers) as ray:
        yield RayWorkers(ray, workers, backend, queued)
