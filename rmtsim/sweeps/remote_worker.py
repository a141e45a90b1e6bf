"""What runs on a cluster: the actor that computes jobs, and a look at whether a node has CuPy."""

from __future__ import annotations

import os
import socket
from typing import Any

import numpy as np

from rmtsim.arrays import tensor_cores
from rmtsim.arrays.backend import get_backend
from rmtsim.arrays.machine import processor, usable_memory
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
        return place_here(here.get_node_id(), ", ".join(here.get_accelerator_ids().get("GPU", [])))

    def hello(self, backend: str) -> dict[str, str]:
        """Load all that a job needs; return what this worker is. Raises InputError where the backend is not there."""
        dtype = "float32" if tensor_cores.wanted() else "float64"  # which draws have with tensor cores
        draws = simulate_arrays(Point("linear", "ce", 2, 2, 2), 1, backend=backend, dtype=dtype)
        return {"version": __version__, "kernel": draws.blas, "machine": machine(backend)}

    def compute(self, job: Job) -> Any:
        """Compute a job with a core's part of this machine's memory, until it is done: Ray ends the process to stop."""
        with single_threaded_blas():
            return job.within(usable_memory() / cores()).compute(never)


def place_here(node: str, gpu: str = "", machine: str = "") -> Place:
    """Return the place of this process on a node of a cluster."""
    from ray.util import get_node_ip_address

    return Place(node, socket.gethostname(), get_node_ip_address(), os.getpid(), gpu, machine)


def machine(backend: str) -> str:
    """Return what the last digits of results depend on here: libraries, and the processor or the GPU.

    On a processor they depend on the sizes of its caches, too, by which BLAS cuts its products.
    """
    if get_backend(backend).needs_gpu:
        return get_backend(backend).library()
    return f"{get_backend(backend).library()}; numpy {np.__version__}; {processor()}"


def cupy_problem() -> str:
    """Return why CuPy cannot compute here; "" if it can."""
    return str(get_backend("cupy").problem() or "")


def worker_environment() -> dict[str, str]:
    """Return the environment of a worker: one thread, and the kernel and tensor cores that this process asked for."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kernel = os.environ.get("OPENBLAS_CORETYPE")
    asked = {"OPENBLAS_CORETYPE": kernel} if kernel else {}
    return threads | asked | {tensor_cores.VARIABLE: str(int(tensor_cores.wanted()))}  # whatever its node has set
