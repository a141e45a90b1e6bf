"""The settings that Ray gets and those kept from it; messages on a cluster that is full or gone; without a Ray."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rmtsim
from rmtsim.errors import RunError
from rmtsim.sweeps import connection
from rmtsim.sweeps.first_worker import check_worker
from rmtsim.sweeps.last_words import last_words
from rmtsim.sweeps.ray_settings import absolute_paths, environment, own_signals, private_folder
from rmtsim.sweeps.ray_workers import RayWorkers


def test_paths_mean_the_same_in_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its working directory is another; and an empty entry, which means that, is left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["lib", "", "/opt/own"]))
    monkeypatch.setenv("RMTSIM_CACHE", "cache")
    found = absolute_paths()
    root = str(Path(rmtsim.__file__).parents[1])
    assert found["PYTHONPATH"].split(os.pathsep)[:2] == [str(tmp_path / "lib"), "/opt/own"]
    assert {*found["PYTHONPATH"].split(os.pathsep)[2:]} <= {root}
    assert found["RMTSIM_CACHE"] == str(tmp_path / "cache")
    monkeypatch.setenv("RMTSIM_CACHE", "")  # no cache: stays so
    assert "RMTSIM_CACHE" not in absolute_paths()


def test_a_closed_environment_has_no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import ray_constants

    for name in ("RAY_RUNTIME_ENV_HOOK", "RAY_ADDRESS", "RAY_num_workers_soft_limit"):
        monkeypatch.setenv(name, "7")
    before = dict(os.environ)
    assert ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV
    with environment({"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}, closed=True):
        assert {name for name in os.environ if name.startswith("RAY_")} == {"RAY_ENABLE_UV_RUN_RUNTIME_ENV"}
        assert not ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV
    assert dict(os.environ) == before
    assert ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV


def test_settings_that_ray_cannot_read() -> None:
    """Ray's C++ part would end the process that imports it. A Ray of our own does not look at them."""
    script = """
from rmtsim.errors import InputError
from rmtsim.sweeps.connection import connected
from rmtsim.sweeps.ray_workers import RayWorkers
from rmtsim.sweeps.ray_settings import environment
with environment({}, closed=True):
    print("inside")
print("outside")
try:
    with connected("127.0.0.1:1"):
        pass
except InputError as error:
    print(error)
"""
    variables = {"RAY_health_check_period_ms": "abc", "RAY_enable_worker_prestart": "true"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    said = "environment: Ray cannot read the value of RAY_health_check_period_ms; correct it, or unset it"
    assert (done.returncode, done.stdout.splitlines()) == (0, ["inside", "outside", said]), done.stderr


def test_ray_leaves_the_handler_of_sigterm() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with own_signals():
        signal.signal(signal.SIGTERM, lambda *_: None)
    assert signal.getsignal(signal.SIGTERM) is before


class DeafRay:
    """A Ray of which no worker answers before the given wait."""

    def __init__(self, answers_at: int) -> None:
        self.waits, self._answers_at = 0, answers_at

    def remote(self, **_: object) -> Any:
        return lambda function: SimpleNamespace(remote=lambda: function)

    def wait(self, references: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        self.waits += 1
        return (references, []) if self.waits >= self._answers_at else ([], references)


def test_workers_that_never_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a ``sitecustomize.py`` ends them: Ray would start them again for ever."""
    import ray._private.worker as worker

    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "raylet.err").write_text("not today\n[2026-01-01 10:00:00,1 E 1 1] (raylet) of Ray\n")
    monkeypatch.setattr(worker, "_global_node", SimpleNamespace(get_session_dir_path=lambda: str(tmp_path)))
    caplog.set_level(logging.INFO, "rmtsim")
    words = r"in 120 s no worker process of it got as far as rmtsim \(the last one with the words: not today\); see"
    with pytest.raises(RunError, match=words):
        check_worker(DeafRay(3))
    assert caplog.messages == ["ray: waits for its first worker process, for 100 s at most"]
    check_worker(DeafRay(2))
    caplog.clear()
    check_worker(DeafRay(1))
    assert not caplog.messages


def test_the_folder_is_ours_alone() -> None:
    with private_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(folder / "r")) + 80 <= 107  # paths of sockets
    assert not folder.exists()


def test_a_head_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray._private.worker as worker

    monkeypatch.setattr(connection, "_PATIENCE", (0.5, 0.01))
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        monkeypatch.setattr(worker, "_global_node", SimpleNamespace(gcs_address=address))
        connection.check_head()
    with pytest.raises(RunError, match=rf"the connection to {address} broke \(the head .* does not answer\); what was"):
        connection.check_head()
    monkeypatch.setattr(worker, "_global_node", None)  # a client
    connection.check_head()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("The actor died\nModuleNotFoundError: No module named 'rmtsim'", "'rmtsim'; install rmtsim on all nodes"),
        ("The actor died\n\tpid: 1\nWorker exit detail: It was killed. By nobody. Common causes", "killed. By nobody"),
        ("Only this", "Only this"),
    ],
)
def test_what_a_worker_died_of(monkeypatch: pytest.MonkeyPatch, said: str, words: str) -> None:
    assert words in last_words(RuntimeError(said))


def test_what_a_worker_wrote_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray._private.worker as worker

    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "worker-ab-01-77.err").write_text(":job_id:01\n:actor_name:A\nmine, run\n\n*** SIGSEGV\n")
    monkeypatch.setattr(worker, "_global_node", SimpleNamespace(get_session_dir_path=lambda: str(tmp_path)))
    assert last_words(RuntimeError("It died\n\tpid: 77\nso")) == "the last one with the words: mine, run"


class FullRay:
    """A cluster with no CPU free, of which nothing is asked but how full it is."""

    def __init__(self, cpus: float, free: float) -> None:
        self._cpus, self._free = cpus, free

    def available_resources(self) -> dict[str, float]:
        return {"CPU": self._free} if self._free else {}

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self._cpus} if self._cpus else {}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": "a", "Alive": True, "Resources": self.cluster_resources()}]

    def remote(self, **_: object) -> Any:
        return lambda worker: SimpleNamespace(options=lambda: SimpleNamespace(remote=worker_that_waits))


def worker_that_waits() -> Any:
    return SimpleNamespace(place=SimpleNamespace(remote=object))


@pytest.mark.parametrize(
    ("cpus", "free", "words"),
    [
        (4.0, 0.0, "run: waits for workers: all 4 CPUs of the cluster are in use"),
        (0.0, 0.0, "run: waits for workers: the cluster has no CPU"),
        (4.0, 2.0, ""),
    ],
)
def test_runs_say_that_they_wait(
    cpus: float, free: float, words: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "rmtsim")
    monkeypatch.setattr("rmtsim.sweeps.crew.check_head", lambda: None)
    executor = RayWorkers(FullRay(cpus, free), 2, "numpy", 1)
    assert (executor.workers, executor.free) == (0, 0)
    assert "".join(caplog.messages) == words
