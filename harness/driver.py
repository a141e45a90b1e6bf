"""The command ``rmtsim run`` in a process of its own, with faults, and what it leaves: its journal and its rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from harness.cluster import RayCluster
from harness.lossy_network import LossyCluster
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store

Events = list[dict[str, Any]]

#: Seconds after which what is waited for will not come.
PATIENCE = 180.0


class Driver:
    """The command `rmtsim run spec.toml --store s` in ``folder``, with the faults of `harness.driver_process`."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        cluster: RayCluster | LossyCluster | None = None,
        as_json: bool = True,
        **order: object,
    ) -> None:
        self._journal, self._events = folder / "journal", []
        self._journal.touch()
        self._read = self._journal.stat().st_size
        self._err = tempfile.TemporaryFile("w+")  # noqa: SIM115  # a pipe would fill up; closed with the driver
        script = [
            sys.executable,
            str(Path(__file__).with_name("driver_process.py")),
            json.dumps({"folder": str(folder), **order}),
        ]
        line = [*script, "run", "spec.toml", "--store", "s", *options, *(["--json"] if as_json else [])]
        self.process = subprocess.Popen(
            [*cluster.prefix, *line, "--address", cluster.address] if cluster else [*line, "--backend", "numpy"],
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
        """Return what has happened since this driver began."""
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
        """Return what it has printed on stderr so far."""
        descriptor = self._err.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def reported(self) -> int:
        """Draws that it has reported as committed."""
        reports = [json.loads(line)["draws"] for line in self.err().splitlines() if line.startswith('{"sweep"')]
        return reports[-1] if reports else 0


def rows_in(folder: Path) -> pd.DataFrame:
    """Return the rows of the store, without the names of the backends, which may be pretended."""
    store = Store(folder / "s")
    return store.read().drop(columns="backend")


def is_part(rows: pd.DataFrame, whole: pd.DataFrame) -> bool:
    """Whether each row is one of the whole, to the bit, and stands there once."""
    if rows.duplicated(KEY).any():
        return False
    there = whole.set_index(KEY).reindex(pd.MultiIndex.from_frame(rows[KEY])).reset_index()
    return there[whole.columns].equals(rows[whole.columns].reset_index(drop=True))


def given_again(events: Events, since: float, until: float = float("inf")) -> list[float]:
    """Return the seconds until each batch lost since then was given out again; nothing while one was not."""
    lost = [event for event in events if event["event"] == "lost" and since <= event["at"] < until]
    again = []
    for loss in lost:
        out = [e for e in events if e["event"] == "out" and e["batch"] == loss["batch"] and e["at"] >= loss["at"]]
        if not out:
            return []
        again.append(out[0]["at"] - since)
    return again
