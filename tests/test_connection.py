"""Every way to Ray: one of our own, a running cluster from one of its nodes, ray:// and job submission."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pandas as pd
import pyarrow.parquet as pq
import pytest

from harness.head import ROOT, TOKEN, Head, environment
from rmtsim.store import Store

pytestmark = pytest.mark.ray

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


def connect(*addresses: str, kind: str = "same version", **settings: str) -> list[tuple[str, float]]:
    """What comes of ``connected`` at these addresses, one after the other, in one process; it prints nothing else."""
    line = [sys.executable, "-c", CONNECT, kind, *addresses]
    done = subprocess.run(line, env=environment(**settings), capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(json.loads(answer)) for answer in done.stdout.splitlines()]


def test_a_cluster_and_a_ray_of_our_own_in_turns(head: Head, tmp_path: Path) -> None:
    """Each has its token, the cluster's from a file; and a Ray of our own does not leave its settings behind."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(f"{TOKEN}\n")
    addresses = [head.head, "ray", head.client]
    answers = connect(*addresses, HOME=str(tmp_path), RAY_ADDRESS=head.head)
    assert [answer for answer, _ in answers] == [f"{cpus} CPUs" for cpus in (2, 3, 2)]


@pytest.mark.parametrize(
    "settings",
    [{}, {"RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_TOKEN_PATH": "/nonexistent/token"}],
    ids=["none", "wrong", "mode without token", "no file"],
)
def test_without_the_token(head: Head, settings: dict[str, str]) -> None:
    answers = connect(head.head, head.client, **settings)
    assert len(answers) == 2
    for answer, seconds in answers:
        assert "wants a token that is not ours; put its token into RAY_AUTH_TOKEN" in answer
        assert seconds < 30  # Ray alone would go on for a minute


def test_another_version(head: Head) -> None:
    answers = connect(head.head, head.client, kind="other version", RAY_AUTH_TOKEN=TOKEN)
    assert len(answers) == 2
    for answer, _ in answers:
        assert "Version mismatch: The cluster was started with: Ray: " in answer
        assert "Ray: 2.1.0" in answer
        assert "\n" not in answer


def test_addresses_where_no_ray_is(head: Head) -> None:
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
            head.client.removeprefix("ray://"): "Method not found",
            f"ray://{head.head}": "unimplemented",
            "nowhere.invalid:6379": "known",
            "127.0.0.1:99999": "no address",
            "nowhere": "no address",
            head.dashboard: "no address",
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
def test_the_same_rows(tmp_path: Path, head: Head, expected: pd.DataFrame, way: str) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    address = head.client if way == "client" else "auto"
    done = rmtsim(tmp_path, address, RAY_AUTH_TOKEN=TOKEN, RAY_ADDRESS=head.head)
    assert done.returncode in (0, 4), done.stderr
    pd.testing.assert_frame_equal(Store(tmp_path / "store").read(), expected, check_exact=True)


def test_a_submitted_job(tmp_path: Path, head: Head, expected: pd.DataFrame) -> None:
    """With the code that is submitted, not with what is installed there."""
    job, store = tmp_path / "job", tmp_path / "store"
    shutil.copytree(ROOT / "rmtsim", job / "rmtsim", ignore=shutil.ignore_patterns("__pycache__"))
    version = job / "rmtsim" / "version.py"
    version.write_text(version.read_text().replace('"0.', '"9.'))
    (job / "spec.toml").write_text(SPEC)
    run = f"{sys.executable} -m rmtsim run spec.toml --store {store} --backend numpy --address auto"
    line = [Path(sys.executable).with_name("ray"), "job", "submit", "--address", head.dashboard]
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
