"""A cluster of several Ray nodes on this machine, the command rmtsim with faults, and SIGKILLs for both."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from rmtsim.sampling.schema import KEY
from rmtsim.store import Store

HERE = Path(__file__).parent

#: With Ray's own settings a lost node is noticed after 15 s.
QUICK_HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 4,
}

#: Quicker starts: no idle Python processes in store.
_NO_STOCK = {"prestart_worker_first_driver": False, "enable_worker_prestart": False}

#: Seconds after which what is waited for will not come.
PATIENCE = 180.0


class RayCluster:
    """A head without CPUs, and nodes that come and go; a context manager.

    Its environment, with the token, is in ``environment``; drivers need it.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._frozen: list[int] = []  # processes
        self._settings = settings | _NO_STOCK
        self._folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # sockets have short paths
        self.environment = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
            "RAY_TMPDIR": self._folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def __enter__(self) -> RayCluster:
        line = [sys.executable, str(HERE / "chaos_cluster.py"), json.dumps(self._settings)]
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
        """Processes of the workers on a node, those included that just start."""
        names = (b"default_worker.py", b"ray::Worker")
        return sorted(pid for pid, line in self._children(node).items() if any(name in line for name in names))

    def _children(self, node: int) -> dict[int, bytes]:
        """Processes that the raylet has started, with their command lines."""
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


class Driver:
    """The command `rmtsim run spec.toml --store s` in ``folder``, with the faults of `tests.chaos_driver`."""

    def __init__(
        self, folder: Path, *options: str, cluster: RayCluster | None = None, as_json: bool = True, **order: object
    ) -> None:
        self._journal, self._events = folder / "journal", []
        self._journal.touch()
        self._read = self._journal.stat().st_size
        self._err = tempfile.TemporaryFile("w+")  # noqa: SIM115  # a pipe would fill up; closed with the driver
        script = [sys.executable, str(HERE / "chaos_driver.py"), json.dumps({"folder": str(folder), **order})]
        line = [*script, "run", "spec.toml", "--store", "s", *options, *(["--json"] if as_json else [])]
        self.process = subprocess.Popen(
            [*line, "--address", cluster.address] if cluster else [*line, "--backend", "numpy"],
            cwd=folder,
            env=cluster.environment if cluster else os.environ,
            stdout=subprocess.PIPE,
            stderr=self._err,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._err.close()

    def events(self) -> list[dict[str, Any]]:
        """What has happened since this driver began."""
        with self._journal.open("rb") as file:
            file.seek(self._read)
            lines = file.read().rpartition(b"\n")[0]
        self._read += len(lines) + bool(lines)
        self._events += map(json.loads, lines.splitlines())
        return self._events

    def wait(self, found: Callable[[list[dict[str, Any]]], Any], what: str) -> Any:
        """Wait until something is found among the events, and return it."""
        end = time.monotonic() + PATIENCE
        while not (value := found(self.events())):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"no {what}; exit code {self.process.poll()}: {self.err()[-3000:]}")
            time.sleep(0.05)
        return value

    def kill(self) -> int:
        """Send SIGKILL, if it still runs; return the exit code."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        return self.process.returncode

    def end(self) -> tuple[int, dict[str, Any]]:
        """Wait for its end; return the exit code and the document it printed."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, json.loads(out) if out else {}

    def err(self) -> str:
        """What it said on stderr so far."""
        descriptor = self._err.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def reported(self) -> int:
        """Draws that it has reported as committed."""
        reports = [json.loads(line)["draws"] for line in self.err().splitlines() if line.startswith('{"sweep"')]
        return reports[-1] if reports else 0


def rows_in(folder: Path) -> pd.DataFrame:
    """What the store holds; the names of the backends, which may be pretended, left out."""
    store = Store(folder / "s")
    return store.read().drop(columns="backend")


def is_part(rows: pd.DataFrame, whole: pd.DataFrame) -> bool:
    """Whether each row is one of the whole, to the bit, and stands there once."""
    if rows.duplicated(KEY).any():
        return False
    there = whole.set_index(KEY).reindex(pd.MultiIndex.from_frame(rows[KEY])).reset_index()
    return there[whole.columns].equals(rows[whole.columns].reset_index(drop=True))
