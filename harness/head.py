"""A Ray cluster of one node with all that watches it: a dashboard, a server for ray://, metrics; it wants a token."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TOKEN = "0123456789abcdef" * 4

_START = """
import sys
from ray.cluster_utils import Cluster
client, dashboard, metrics = map(int, sys.argv[1:])
head = dict(num_cpus=2, include_dashboard=True, ray_client_server_port=client, dashboard_port=dashboard)
head |= dict(dashboard_agent_listen_port=0, metrics_export_port=metrics, object_store_memory=100 * 2**20)
settings = dict(prestart_worker_first_driver=False, enable_worker_prestart=False)  # none in stock
settings |= dict(metrics_report_interval_ms=2000)
cluster = Cluster(initialize_head=True, head_node_args=head | {"_system_config": settings})
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


class Head(NamedTuple):
    """The addresses of a cluster of one node with two CPUs, that wants a token; its metrics want none."""

    head: str
    client: str
    dashboard: str
    metrics: str


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def environment(**more: str) -> dict[str, str]:
    """Return a user's environment without anything of Ray's but what is given."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return mine | {"PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "RAY_USAGE_STATS_ENABLED": "0"} | more


@contextmanager
def started_head() -> Iterator[Head]:
    """Have such a cluster for a while."""
    client, dashboard, metrics = free_ports(3)
    with TemporaryDirectory(prefix="rmt", dir="/tmp") as folder:
        settings = {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        settings["RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S"] = "240"  # busy machines are slow to start it
        # The server that Ray starts for each client is forked from a process with threads of gRPC: with gRPC's own
        # handlers of forks it may die of a closed descriptor before it listens, and the client waits those 240 s.
        settings["GRPC_ENABLE_FORK_SUPPORT"] = "0"
        line = [sys.executable, "-c", _START, str(client), str(dashboard), str(metrics)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            line, env=environment(**settings), stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=folder
        )
        assert process.stdout is not None
        try:
            head = process.stdout.readline().strip()
            assert head, process.communicate()[1]
            pages = f"http://{head.partition(':')[0]}:{metrics}/metrics"
            yield Head(head, f"ray://127.0.0.1:{client}", f"http://127.0.0.1:{dashboard}", pages)
        finally:
            process.communicate("\n", timeout=60)
