"""The backend that ``auto`` stands for on a cluster."""

from __future__ import annotations

import logging
from typing import Any

from rmtsim.sweeps.connection import check_head
from rmtsim.sweeps.last_words import last_words
from rmtsim.sweeps.remote_worker import cupy_problem

_log = logging.getLogger(__name__)

#: Times that a process may die which looks for CuPy.
_TRIES = 5

#: Seconds after which a message says that the answer is waited for, again and again.
_PATIENCE = 5.0


def found_backend(ray: Any) -> str:
    """Return CuPy if the cluster has GPUs and one of their nodes has it, else NumPy, and say why that is taken."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    # A node is asked, not a GPU of it: all may be in use, for as long as another sweep takes.
    node = next((node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0) >= 1), "")
    if not node:
        return "numpy"
    ask = ray.remote(num_cpus=0, max_retries=_TRIES, scheduling_strategy=On(node, soft=False))(cupy_problem)
    reference = ask.remote()
    while not ray.wait([reference], timeout=_PATIENCE)[0]:
        check_head()
        _log.info("run: waits for a node with GPUs to report whether it has CuPy; --backend numpy does without")
    try:
        problem = str(ray.get(reference))
    except ray.exceptions.RayError as error:
        problem = last_words(error)
    if problem:
        _log.warning("run: the cluster has GPUs, but %s there; takes NumPy, on its CPUs", problem)
    return "numpy" if problem else "cupy"
