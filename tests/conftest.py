"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.chaos import RayCluster

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small arrays: more threads only wait for each other
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RMTSIM_CACHE"] = tempfile.mkdtemp(prefix="rmtsim-theory-")  # for the session and its subprocesses

from rmtsim.arrays.backend import array_module
from rmtsim.errors import InputError

# Whatever is started in the background, or by nohup, ignores these signals, and so does all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    try:
        array_module("cupy")
    except InputError as error:
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason=str(error)))


def pytest_sessionfinish() -> None:
    shutil.rmtree(os.environ["RMTSIM_CACHE"], ignore_errors=True)


@pytest.fixture(params=["numpy", "array_api_strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """Array modules that the kernels must run under."""
    if request.param == "array_api_strict":
        return pytest.importorskip("array_api_strict")
    return array_module(request.param)


@pytest.fixture(scope="session")
def cluster() -> Iterator[RayCluster]:
    """A Ray cluster that notices quickly what dies; it has no nodes but those that a test adds."""
    from tests.chaos import QUICK_HEALTH_CHECKS, RayCluster

    with RayCluster(QUICK_HEALTH_CHECKS) as started:
        yield started
