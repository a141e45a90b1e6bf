"""A Ray cluster of two nodes with a network between them that loses packets, delays them, and goes down: as root.

Each node is in a network namespace. The cable between them is a process that reads the packets of one and hands them to
the other, or not: so it needs nothing of the kernel but TUN devices, and counts what it drops.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.cluster import QUICK_HEALTH_CHECKS, environment_of

#: Seconds after which what is waited for will not come.
PATIENCE = 90.0

_ADDRESSES = "10.217.0.1", "10.217.0.2"


def lacking() -> str:
    """Return what this machine lacks for such a network, as a sentence; "" if nothing."""
    if not shutil.which("ip"):
        return "there is no ip (apt-get install iproute2)"
    line = ["unshare", "--net", "ip", "tuntap", "add", "t0", "mode", "tun"]
    if subprocess.run(line, capture_output=True, check=False).returncode:
        return "this user may not make namespaces with a network (root may), or the kernel has no TUN devices"
    return ""


class LossyCluster:
    """A head without CPUs, and a node of one; a context manager.

    Attributes
    ----------
    address, environment, prefix
        Where drivers find the cluster, what they need in their environment, and what begins their command line.
    """

    def __init__(self) -> None:
        self._names = [f"rmtsim-{kind}-{os.getpid()}" for kind in ("head", "node")]
        self._folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # sockets have short paths
        self._processes: list[subprocess.Popen[bytes]] = []
        self._cable: subprocess.Popen[str] | None = None
        self.address = f"{_ADDRESSES[0]}:6379"
        self.prefix = ("ip", "netns", "exec", self._names[0])
        self.environment = environment_of(self._folder)

    def __enter__(self) -> LossyCluster:
        try:
            for name, address in zip(self._names, _ADDRESSES, strict=True):
                _run("ip", "netns", "add", name)
                _run("ip", "-n", name, "tuntap", "add", "cable", "mode", "tun")
                _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "cable")
                _run("ip", "-n", name, "link", "set", "cable", "up")
                _run("ip", "-n", name, "link", "set", "lo", "up")
            script = str(Path(__file__).with_name("cable_process.py"))
            self._cable = subprocess.Popen(
                [sys.executable, script, *self._names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            settings = json.dumps(QUICK_HEALTH_CHECKS | {"enable_metrics_collection": False})
            options = ("--port=6379", "--num-cpus=0", "--include-dashboard=false", f"--system-config={settings}")
            self._start(0, "--head", *options)
            self.add()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            _end(process)
        if self._cable:
            self._cable.communicate("")
        for name in self._names:
            done = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
            for pid in map(int, done.stdout.split()):
                os.kill(pid, signal.SIGKILL)  # what outlived its raylet; only ours are in there
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self) -> None:
        """Start the node, or start it again once it has ended."""
        self._start(1, f"--address={self.address}", "--num-cpus=1")

    @property
    def node_is_gone(self) -> bool:
        """Whether the node has ended, as one does that the head takes for dead."""
        return self._processes[-1].poll() is not None

    def disturb(self, loss: float = 0.0, delay: float = 0.0) -> int:
        """Lose that share of the packets from now on, all of them at 1, and hold each up for that many seconds.

        Returns
        -------
        int
            How many packets were lost so far.
        """
        assert self._cable
        assert self._cable.stdin
        assert self._cable.stdout
        self._cable.stdin.write(json.dumps([loss, delay]) + "\n")
        self._cable.stdin.flush()
        return int(self._cable.stdout.readline())

    def _start(self, place: int, *options: str) -> None:
        ray, address = str(Path(sys.executable).with_name("ray")), f"--node-ip-address={_ADDRESSES[place]}"
        path = Path(self._folder, f"log{len(self._processes)}")
        with path.open("wb") as log:
            line = ["ip", "netns", "exec", self._names[place], ray, "start", "--block", address, *options]
            self._processes.append(
                subprocess.Popen(line, stdout=log, stderr=log, env=self.environment, start_new_session=True)
            )
        end = time.monotonic() + PATIENCE
        while "Ray runtime started" not in (said := path.read_text(errors="replace")):
            if self._processes[-1].poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no Ray: {said[-2000:]}")
            time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _run(*line: str) -> None:
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: {done.stderr.strip()}")
