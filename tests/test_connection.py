"""Every way to Ray: one of our own, a running cluster from one of its nodes, ray:// and job submission."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import NamedTuple

import pandas as pd
import pyarrow.parquet as pq
import pytest

from rmtsim.store import Store

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[1]
TOKEN = "0123456789abcdef" * 4

SPEC = """
name = "small"
model = "linear"
loss = "ce"
[grid]
n_classes = [2, 10, 30]
aspect_ratio = [0.5, 1.0]
dim = [30]
[sampling]
seed = 5
min_draws = 8
max_draws = 60
target_rse = 0.2
"""

START = """
import sys
from ray.cluster_utils import Cluster
client, dashboard = map(int, sys.argv[1:])
head = dict(num_cpus=2, include_dashboard=True, ray_client_server_port=client, dashboard_port=dashboard)
head["dashboard_agent_listen_port"] = 0
head["_system_config"] = dict(prestart_worker_first_driver=False, enable_worker_prestart=False)  # none in stock
cluster = Cluster(initialize_head=True, head_node_args=head | {"object_store_memory": 100 * 2**20})
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""

#: Connects to one address after the other; prints what came of each, and the seconds.
CONNECT = """
import json, os, signal, sys, time
import rmtsim.sweeps.connection as connection
from rmtsim.errors import InputError
if sys.argv[1] == "other version":
    import ray
    ray.__version__ = "2.1.0"
connection._TIMEOUT = 2.0
before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
for address in sys.argv[2:]:
    start = time.monotonic()
    try:
        with connection.connected(address, 3) as ray:
            assert ray.get(ray.remote(lambda: 42).remote()) == 42
            answer = "%d CPUs" % ray.cluster_resources()["CPU"]
        assert not ray.is_initialized()
    except InputError as error:
        answer = str(error)
    print(json.dumps([answer, time.monotonic() - start]))
    assert dict(os.environ) == before
    assert signal.getsignal(signal.SIGTERM) is handler
"""


class Cluster(NamedTuple):
    """A cluster of one node with two CPUs, that wants a token."""

    head: str
    client: str
    dashboard: str


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def environment(**more: str) -> dict[str, str]:
    """A user's environment without anything of Ray's but what is given."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return mine | {"PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "RAY_USAGE_STATS_ENABLED": "0"} | more


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    client, dashboard = free_ports(2)
    with TemporaryDirectory(prefix="rmt", dir="/tmp") as folder:
        settings = {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        settings["RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S"] = "240"  # busy machines are slow to start it
        # The server that Ray starts for each client is forked from a process with threads of gRPC: with gRPC's own
        # handlers of forks it may die of a closed descriptor before it listens, and the client waits those 240 s.
        settings["GRPC_ENABLE_FORK_SUPPORT"] = "0"
        line = [sys.executable, "-c", START, str(client), str(dashboard)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            line, env=environment(**settings), stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=folder
        )
        assert process.stdout is not None
        try:
            head = process.stdout.readline().strip()
            assert head, process.communicate()[1]
            yield Cluster(head, f"ray://127.0.0.1:{client}", f"http://127.0.0.1:{dashboard}")
        finally:
            process.communicate("\n", timeout=60)


def connect(*addresses: str, kind: str = "same version", **settings: str) -> list[tuple[str, float]]:
    """What comes of ``connected`` at these addresses, one after the other, in one process; it prints nothing else."""
    line = [sys.executable, "-c", CONNECT, kind, *addresses]
    done = subprocess.run(line, env=environment(**settings), capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(json.loads(answer)) for answer in done.stdout.splitlines()]


def test_a_cluster_and_a_ray_of_our_own_in_turns(cluster: Cluster, tmp_path: Path) -> None:
    """Each has its token, the cluster's from a file; and a Ray of our own does not leave its settings behind."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(f"{TOKEN}\n")
    addresses = [cluster.head, "ray", cluster.client]
    answers = connect(*addresses, HOME=str(tmp_path), RAY_ADDRESS=cluster.head)
    assert [answer for answer, _ in answers] == [f"{cpus} CPUs" for cpus in (2, 3, 2)]


@pytest.mark.parametrize(
    "settings",
    [{}, {"RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_TOKEN_PATH": "/nonexistent/token"}],
    ids=["none", "wrong", "mode without token", "no file"],
)
def test_without_the_token(cluster: Cluster, settings: dict[str, str]) -> None:
    answers = connect(cluster.head, cluster.client, **settings)
    assert len(answers) == 2
    for answer, seconds in answers:
        assert "wants a token that is not ours; put its token into RAY_AUTH_TOKEN" in answer
        assert seconds < 30  # Ray alone would go on for a minute


def test_another_version(cluster: Cluster) -> None:
    answers = connect(cluster.head, cluster.client, kind="other version", RAY_AUTH_TOKEN=TOKEN)
    assert len(answers) == 2
    for answer, _ in answers:
        assert "Version mismatch: The cluster was started with: Ray: " in answer
        assert "Ray: 2.1.0" in answer
        assert "\n" not in answer


def test_addresses_where_no_ray_is(cluster: Cluster) -> None:
    with (
        HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as web,
        socket.create_server(("127.0.0.1", 0)) as mute,
        socket.socket() as unheard,
    ):
        Thread(target=web.serve_forever, daemon=True).start()
        unheard.bind(("127.0.0.1", 0))  # and does not listen
        nobody = unheard.getsockname()[1]
        wrong = {
            f"127.0.0.1:{nobody}": "Connection refused",
            f"ray://127.0.0.1:{nobody}": "Connection refused",
            f"127.0.0.1:{web.server_port}": "something else does",
            f"ray://127.0.0.1:{web.server_port}": "something else does",
            f"127.0.0.1:{mute.getsockname()[1]}": "timed out",
            cluster.client.removeprefix("ray://"): "Method not found",
            f"ray://{cluster.head}": "unimplemented",
            "nowhere.invalid:6379": "known",
            "127.0.0.1:99999": "no address",
            "nowhere": "no address",
            cluster.dashboard: "no address",
            "auto": "it stands for http://127.0.0.1:8265, which is no address",
        }
        answers = connect(*wrong, RAY_AUTH_TOKEN=TOKEN, RAY_ADDRESS="http://127.0.0.1:8265")
        web.shutdown()
    assert len(answers) == len(wrong)
    for (address, reason), (answer, seconds) in zip(wrong.items(), answers, strict=True):
        assert answer.startswith(f"address: no Ray answers at {address!r} (")
        assert reason in answer
        assert answer.endswith("; give local, ray, or a running cluster's address such as auto, HOST:6379 or "
                               "ray://HOST:10001")  # fmt: skip
        assert seconds < 30


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("local")
    (folder / "spec.toml").write_text(SPEC)
    done = rmtsim(folder, "local")
    assert done.returncode in (0, 4), done.stderr
    return Store(folder / "store").read()


def rmtsim(folder: Path, address: str, **settings: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "rmtsim", "run", "spec.toml", "--store", "store", "--backend", "numpy"]
    return subprocess.run(
        [*line, "--workers", "2", "--address", address],
        env=environment(**settings),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("way", ["auto", "client"])
def test_the_same_rows(tmp_path: Path, cluster: Cluster, expected: pd.DataFrame, way: str) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    address = cluster.client if way == "client" else "auto"
    done = rmtsim(tmp_path, address, RAY_AUTH_TOKEN=TOKEN, RAY_ADDRESS=cluster.head)
    assert done.returncode in (0, 4), done.stderr
    pd.testing.assert_frame_equal(Store(tmp_path / "store").read(), expected, check_exact=True)


def test_a_submitted_job(tmp_path: Path, cluster: Cluster, expected: pd.DataFrame) -> None:
    """With the code that is submitted, not with what is installed there."""
    job, store = tmp_path / "job", tmp_path / "store"
    shutil.copytree(ROOT / "rmtsim", job / "rmtsim", ignore=shutil.ignore_patterns("__pycache__"))
    version = job / "rmtsim" / "version.py"
    version.write_text(version.read_text().replace('"0.', '"9.'))
    (job / "spec.toml").write_text(SPEC)
    run = f"{sys.executable} -m rmtsim run spec.toml --store {store} --backend numpy --address auto"
    line = [Path(sys.executable).with_name("ray"), "job", "submit", "--address", cluster.dashboard]
    line += ["--working-dir", job, "--", "bash", "-c", f"{run} || [ $? = 3 ]"]
    refused = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False, timeout=300)
    assert refused.returncode != 0
    assert not store.exists()
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "HOME": str(tmp_path)}
    done = subprocess.run(line, env=environment(**settings), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    pd.testing.assert_frame_equal(Store(store).read(), expected, check_exact=True)
    metadata = [pq.read_metadata(path).metadata or {} for path in (store / "draws").glob("*.parquet")]
    assert metadata
    assert all(b"9." in b" ".join(each.values()) for each in metadata)
