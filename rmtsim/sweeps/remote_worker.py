"""What runs on a cluster: the actor that computes jobs, and a look at whether a node has CuPy."""

from __future__ import annotations

import os
import socket
from typing import Any

from rmtsim.arrays.backend import get_backend
from rmtsim.arrays.machine import usable_memory
from rmtsim.arrays.threads import cores, single_threaded_blas
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.sweeps.jobs import Job, Place, never
from rmtsim.version import __version__


class RemoteWorker:
    """An actor, with a process of its own."""

    def place(self) -> Place:
        """Return where the process is; nothing is loaded for it."""
        import ray

        here = ray.get_runtime_context()
        gpus = ", ".join(here.get_accelerator_ids().get("GPU", []))
        return Place(here.get_node_id(), socket.gethostname(), ray.util.get_node_ip_address(), os.getpid(), gpus)

    def hello(self, backend: str) -> dict[str, str]:
        """Load all that a job needs; return what this worker is. Raises InputError where the backend is not there."""
        draws = simulate_arrays(Point("linear", "ce", 2, 2, 2), 1, backend=backend)
        return {"version": __version__, "kernel": draws.blas}

    def compute(self, job: Job) -> Any:
        """Compute a job with a core's part of this machine's memory, until it is done: Ray ends the process to stop."""
        with single_threaded_blas():
            return job.within(usable_memory() / cores()).compute(never)


def cupy_problem() -> str:
    """Return why CuPy cannot compute here; "" if it can."""
    return str(get_backend("cupy").problem() or "")


def blas_settings() -> dict[str, str]:
    """Return the environment of a worker: one thread, and the kernel that this process has asked for."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kernel = os.environ.get("OPENBLAS_CORETYPE")
    return threads | ({"OPENBLAS_CORETYPE": kernel} if kernel else {})
