"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pandas as pd
    from xdist.scheduler import Scheduling

    from harness.cluster import RayCluster
    from harness.head import Head

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small arrays: more threads only wait for each other
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.pop("COLUMNS", None)  # xdist gives its workers 80, and tables are as wide as that says
if "PYTEST_XDIST_WORKER" not in os.environ:  # one for the session, its workers and their subprocesses
    os.environ["RMTSIM_CACHE"] = tempfile.mkdtemp(prefix="rmtsim-theory-")

from harness.simt.kernels import compiler
from rmtsim.arrays.backend import array_module, get_backend
from rmtsim.arrays.threads import cores
from rmtsim.store import Store

# Compiled files are kept, whatever the environment says: the workers and hundreds of processes would compile them anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Whatever is started in the background, or by nohup, ignores these signals, and so does all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


pytest_plugins = ["tests.durations", "tests.examples"]

#: The modules that share a cluster below, each of which takes seconds of a core to start.
ON_THE_CLUSTER = ("tests/test_ray_workers.py", "tests/test_interrupts.py", "tests/test_kills.py")
ON_THE_HEAD = ("tests/test_connection.py", "tests/test_metrics.py")

#: A script for mypy; looking for doctests in it would run its sweep.
collect_ignore = ["typed_session.py"]


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are cores: the modules that start Ray, which come first, wait most of their time."""
    return cores() + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Return a scheduler that gives the modules that share a cluster to one process, and any other to some process."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Modules(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = str(super()._split_scope(nodeid))
            return next((group[0] for group in (ON_THE_CLUSTER, ON_THE_HEAD) if module in group), module)

    return Modules(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = getattr(item, "fixturenames", ())
        for fixture, mark in (("cluster", pytest.mark.ray), ("head", pytest.mark.ray), ("s3_server", pytest.mark.s3)):
            if fixture in names:
                item.add_marker(mark)
    problem = no_gpu()
    if problem and os.environ.get("RMTSIM_GPU") == "1":
        raise pytest.UsageError(f"RMTSIM_GPU=1 asks for the tests on a GPU, but {problem}")
    if problem and not compiler():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=f"{problem}, and there is no g++ to emulate a GPU with"))


@cache
def no_gpu() -> str | None:
    """Say why there is no GPU, or return None if there is one."""
    return get_backend("cupy").problem()


@pytest.fixture(autouse=True)
def emulated_gpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put the emulator in the place of the GPU, for the tests that need one where there is none."""
    if request.node.get_closest_marker("gpu") and no_gpu():
        from harness.simt.cupy_module import emulated

        with emulated():
            yield
    else:
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(os.environ["RMTSIM_CACHE"], ignore_errors=True)


@pytest.fixture(params=["numpy", "array_api_strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """Array modules that the kernels must run under."""
    if request.param == "array_api_strict":
        return pytest.importorskip("array_api_strict")
    return array_module(request.param)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the rows of the sweep ``SPEC``, made by one thread."""
    from harness.specs import SPEC, spec_of
    from rmtsim.sweeps.runner import run

    folder = tmp_path_factory.mktemp("undisturbed")
    run(spec_of(SPEC, folder), Store(folder / "s"), workers=1, backend="numpy")
    return Store(folder / "s").read()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return the rows of the sweep ``TINY``, made by one thread."""
    from harness.specs import TINY, spec_of
    from rmtsim.sweeps.runner import run

    folder = tmp_path_factory.mktemp("tiny")
    run(spec_of(TINY, folder), Store(folder / "s"), workers=1, backend="numpy")
    return Store(folder / "s").read()


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    """A Ray cluster that notices quickly what dies; it has no nodes but those that a test adds."""
    from harness.cluster import QUICK_HEALTH_CHECKS, RayCluster

    with RayCluster(QUICK_HEALTH_CHECKS) as started:
        yield started


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """A Ray cluster of one node with two CPUs, a dashboard, a server for ray:// and metrics."""
    from harness.head import started_head

    with started_head() as started:
        yield started
