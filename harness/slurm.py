"""A real SLURM on this machine: a controller, and nodes with processes, a /tmp, an address and a name of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

#: Seconds after which what is waited for will not come.
PATIENCE = 180.0

#: The namespaces of the machines. What ends there all processes of a kind, as `ray stop` does, sees none of ours.
_APART = ["unshare", "--pid", "--fork", "--mount-proc", "--mount", "--net", "--uts", "--kill-child"]


def lacking() -> str:
    """Return what this machine lacks for a SLURM of its own, as a sentence; "" if nothing."""
    programs = ("slurmctld", "slurmd", "sbatch", "ip", "setpriv", "nsenter", "unshare")
    if missing := [name for name in programs if not shutil.which(name)]:
        return f"there is no {', '.join(missing)} (apt-get install slurm-wlm iproute2 util-linux)"
    if subprocess.run(
        [*_APART, "ip", "link", "add", "x", "type", "bridge"], capture_output=True, check=False
    ).returncode:
        return "this user may not make namespaces with a network (root may)"
    return ""


class Slurm:
    """The machines; a context manager.

    Parameters
    ----------
    folder
        What all machines see, beside this checkout. The user who submits jobs works in ``home`` there.
    nodes
        Number of nodes n1, n2, … with a core each.
    """

    def __init__(self, folder: Path, nodes: int) -> None:
        self._folder, self._nodes = folder, nodes
        self.home = folder / "home"
        folder.chmod(0o755)
        self.home.mkdir()
        shutil.chown(self.home, "nobody", "nogroup")
        (self.home / ".venv").symlink_to(sys.prefix)

    def __enter__(self) -> Slurm:
        paths = {str(ROOT), sys.base_prefix, sys.prefix, str(self._folder)}
        kept = sorted(path for path in paths if not any(path.startswith(f"{other}/") for other in paths))
        script = str(Path(__file__).with_name("slurm_process.py"))
        with (self._folder / "machines.log").open("w") as log:
            self._process = subprocess.Popen(
                [*_APART, sys.executable, script, str(self._folder), str(self._nodes), json.dumps(kept)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._answer()
        self.wait(lambda: self.call("sinfo", "-h", "-o", "%D %t") == f"{self._nodes} idle", "idle nodes")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("")

    def call(self, *line: str, node: int = 0, user: bool = True) -> str:
        """Run a command that must succeed in the user's folder on a node, or (0) beside the controller."""
        self._process.stdin.write(json.dumps({"line": line, "node": node, "user": user}) + "\n")
        self._process.stdin.flush()
        code, out, err = self._answer()
        if code:
            raise AssertionError(f"{' '.join(line)} ends with {code}: {out}{err}")
        return str(out).strip()

    def submit(self, *line: str) -> int:
        """Submit a job; return its number."""
        return int(self.call("sbatch", "--parsable", *line))

    def state(self, job: int) -> str:
        """Return the state of a job, and why it waits or has ended."""
        return self.call("squeue", "--noheader", f"--jobs={job}", "--states=all", "--format=%T %r")

    def wait(self, found: Callable[[], Any], what: str) -> Any:
        """Wait until something is found, and return it."""
        end = time.monotonic() + PATIENCE
        while not (value := found()):
            if time.monotonic() > end:
                logs = "".join(path.read_text()[-3000:] for path in sorted(self.home.glob("*.log")))
                raise AssertionError(f"no {what} in {PATIENCE:.0f} s: {logs}")
            time.sleep(0.1)
        return value

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the machines are gone: {(self._folder / 'machines.log').read_text()[-2000:]}")
        return json.loads(line)
