"""A Ray cluster of several nodes on this machine, whose nodes can be killed, frozen or removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

#: With Ray's own settings a lost node is noticed after 15 s.
QUICK_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 4,
}

#: Quicker starts: no idle Python processes in store, and no numbers for a dashboard.
_QUICK_STARTS = {
    "prestart_worker_first_driver": False,
    "enable_worker_prestart": False,
    "enable_metrics_collection": False,
}


def environment_of(folder: str) -> dict[str, str]:
    """Return the environment of a Ray with a token, whose files are in a folder."""
    return os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
        "RAY_TMPDIR": folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "OPENBLAS_NUM_THREADS": "1",
    }


class RayCluster:
    """A head without CPUs, and nodes that come and go; a context manager.

    Its environment, with the token, is in ``environment``; drivers need it.
    """

    prefix: tuple[str, ...] = ()  # what begins the command line of a driver

    def __init__(self, settings: dict[str, Any]) -> None:
        self._frozen: list[int] = []  # processes
        self._settings = settings | _QUICK_STARTS
        self._folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # sockets have short paths
        self.environment = environment_of(self._folder)

    def __enter__(self) -> RayCluster:
        line = [sys.executable, str(HERE / "cluster_process.py"), json.dumps(self._settings)]
        self._process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environment,
            text=True,
            start_new_session=True,  # so that a Ctrl-C reaches only what it is sent to
        )
        self.address = self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("")
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, cpus: int, gpus: int = 0) -> int:
        """Add a node; return its number."""
        return self._ask("add", cpus, gpus)

    @contextmanager
    def node(self, cpus: int = 0, gpus: int = 0) -> Iterator[int]:
        """Have a node for a while; it may be killed or leave in between."""
        node = self.add(cpus, gpus)
        try:
            yield node
        finally:
            if str(node) in self._ask("raylets"):
                self.remove(node)

    def remove(self, node: int) -> None:
        """Have a node leave in good order."""
        self._ask("remove", node)

    def kill_raylet(self, node: int) -> None:
        """Send SIGKILL to the node's raylet, which takes its workers along."""
        os.kill(self._raylet(node), signal.SIGKILL)
        self.bury(node)

    def freeze(self, node: int) -> None:
        """Stop all processes of a node: to others it is as if its machine had lost its power, no connection closes."""
        self._frozen = [self._raylet(node), *self._children(node)]
        for pid in self._frozen:
            os.kill(pid, signal.SIGSTOP)

    def bury(self, node: int) -> None:
        """Clear away what is left of a node: processes that are stopped do not end with their raylet."""
        for pid in self._frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._frozen = []
        self._ask("bury", node)

    def workers(self, node: int) -> list[int]:
        """Return the processes of the workers on a node, those included that just start."""
        names = (b"default_worker.py", b"ray::Worker")
        return sorted(pid for pid, line in self._children(node).items() if any(name in line for name in names))

    def _children(self, node: int) -> dict[int, bytes]:
        """Return the processes that the raylet has started, with their command lines."""
        raylet, found = self._raylet(node), {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == raylet:
                    found[int(process.name)] = (process / "cmdline").read_bytes()
        return found

    def _raylet(self, node: int) -> int:
        return int(self._ask("raylets")[str(node)])

    def _ask(self, *order: object) -> Any:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the cluster is gone")
        return json.loads(line)
