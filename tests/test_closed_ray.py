"""A Ray of our own is closed: no port of it answers without the token, and nothing leaves the machine.

Every check is made on an open Ray too, where it must find what it looks for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import NamedTuple

import pytest

from harness.ports import SERVICES, answers_http, calls, entries

pytestmark = [pytest.mark.ray, pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")]

#: One of what watches a Ray; a Ray of our own has none.
WATCHING = "ReporterService/HealthCheck"
#: Where there are such services, Ray answers this one to anybody.
HEALTH = "/api/local_raylet_healthz"

HOLD = """
import json, os, sys
if sys.argv[1] == "closed":
    from rmtsim.sweeps.connection import connected
    context = connected("ray", 1)
else:
    from contextlib import nullcontext
    import ray
    from ray._common.usage import usage_lib
    usage_lib.set_usage_stats_enabled_via_env_var = lambda enabled: None
    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False,
             _system_config={"prestart_worker_first_driver": False})
    context = nullcontext(ray)
before = dict(os.environ)
with context as ray:
    from ray._common.usage import usage_lib
    actor = ray.remote(type("Actor", (), {"answer": lambda self: 42})).remote()
    assert ray.get(actor.answer.remote()) == 42
    node = ray._private.worker._global_node
    held = {
        "token": os.environ.get("RAY_AUTH_TOKEN"), "head": node.gcs_address, "folder": node.get_temp_dir_path(),
        "usage": usage_lib.usage_stats_enabled(), "session": node.get_session_dir_path(),
    }
    print(json.dumps(held), flush=True)
    sys.stdin.readline()
assert dict(os.environ) == before, dict(os.environ).items() ^ before.items()
"""

JOIN = """
import sys
from rmtsim.errors import InputError
from rmtsim.sweeps.connection import connected
try:
    with connected(sys.argv[1]) as ray:
        print(ray.cluster_resources()["CPU"])
except InputError as error:
    print(error)
"""


class Held(NamedTuple):
    """A Ray that runs in a process of its own, with a HOME of its own."""

    pid: int
    home: Path
    token: str
    head: str
    folder: Path
    session: Path
    usage: bool


class Reports(BaseHTTPRequestHandler):
    """Takes what Ray would send home."""

    def do_POST(self) -> None:
        self.server.got.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def reports() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Reports) as server:
        server.got = []  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def holding(kind: str, home: Path, reports: HTTPServer, **more: str) -> Iterator[Held]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
        "HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "RAY_USAGE_STATS_REPORT_URL": f"http://127.0.0.1:{reports.server_port}/{kind}",
        "RAY_USAGE_STATS_REPORT_INTERVAL_S": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, kind],
        env=environment | more,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line, process.communicate()[1]
        held = json.loads(line)
        held |= {name: Path(held[name]) for name in ("folder", "session")}
        yield Held(pid=process.pid, home=home, **held)
    finally:
        _, said = process.communicate("\n", timeout=60)
    assert process.returncode == 0, said
    if kind == "closed":
        assert said == ""


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory, reports: HTTPServer) -> Iterator[Held]:
    hooks = {"RAY_RUNTIME_ENV_HOOK": "no_such_module.hook", "RAY_JOB_CONFIG_JSON_ENV_VAR": "no JSON"}
    with holding("closed", tmp_path_factory.mktemp("home"), reports, **hooks) as held:
        yield held
        members = family(held.pid)
    assert not held.folder.exists()
    assert list(held.home.iterdir()) == []  # no ~/.ray, no token
    assert len(members) > 2
    assert not family_left(members)  # it is gone, and its processes are


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, reports: HTTPServer) -> Iterator[Held]:
    settings = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "1"}
    with (
        TemporaryDirectory(prefix="rmt", dir="/tmp") as folder,  # short: sockets go there
        holding("open", tmp_path_factory.mktemp("opened"), reports, RAY_TMPDIR=folder, **settings) as held,
    ):
        yield held


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = {pid} & parents.keys()
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def family_left(members: set[int]) -> set[int]:
    """Those that run on after ten seconds."""
    end = time.monotonic() + 10
    while left := {pid for pid in members if running(pid)}:
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return left


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def sockets(pid: int) -> tuple[set[tuple[str, int]], set[str]]:
    """Where the family of ``pid`` listens (address, port), and the hosts that it is connected to."""
    inodes = set()
    for member in family(pid):
        for path in Path(f"/proc/{member}/fd").glob("*"):
            try:
                inodes.add(str(path.readlink()).removeprefix("socket:[").rstrip("]"))
            except OSError:
                continue
    ours = [entry for entry in entries() if entry.inode in inodes]
    listening = {(entry.host, entry.port) for entry in ours if entry.listens}
    return listening, {entry.peer for entry in ours if not entry.listens}


def test_it_listens_on_the_loopback_interface_only(closed: Held, opened: Held) -> None:
    assert all(ip_address(host).is_loopback for host, _ in sockets(closed.pid)[0])
    assert any(ip_address(host).is_unspecified for host, _ in sockets(opened.pid)[0])


def test_no_other_user_gets_at_its_files(closed: Held, opened: Held) -> None:
    """Ray lets all users into its own folder, sockets and logs; nobody but us gets as far as that."""
    assert closed.folder.parent.stat().st_mode & 0o777 == 0o700
    assert (closed.session / "sockets").stat().st_mode & 0o002  # negative control: without the folder above it
    assert opened.session.stat().st_mode & 0o002


def test_no_port_answers_without_the_token(closed: Held, opened: Held) -> None:
    ports = sockets(closed.pid)[0]
    with_token: dict[str, bool] = {}
    for host, port in ports:
        assert not answers_http(host, port, "/"), port
        assert not answers_http(host, port, "/metrics"), port
        assert not any(calls(host, port, None).values()), port
        assert not any(calls(host, port, "0" * 64).values()), port
        with_token |= calls(host, port, closed.token)
    assert with_token == dict.fromkeys({*SERVICES} - {WATCHING}, True)
    assert not any(answers_http(host, port, HEALTH) for host, port in ports)

    without: dict[str, bool] = {}
    for _, port in sockets(opened.pid)[0]:
        without |= calls("127.0.0.1", port, None)
    assert without == dict.fromkeys(SERVICES, True)
    assert any(answers_http("127.0.0.1", port, HEALTH) for _, port in sockets(opened.pid)[0])
    assert any(answers_http("127.0.0.1", port, "/metrics") for _, port in sockets(opened.pid)[0])


@pytest.mark.parametrize(("whose", "message"), [("none", "token"), ("wrong", "token"), ("right", "1.0")])
def test_no_one_joins_without_the_token(closed: Held, whose: str, message: str) -> None:
    token = {"none": {}, "wrong": {"RAY_AUTH_TOKEN": "0" * 64}, "right": {"RAY_AUTH_TOKEN": closed.token}}[whose]
    root = str(Path(__file__).parents[1])
    environment = {"PATH": os.environ["PATH"], "HOME": str(closed.home), "PYTHONPATH": root} | token
    done = subprocess.run(
        [sys.executable, "-c", JOIN, closed.head],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert message in done.stdout
    assert (done.stdout.strip() == "1.0") is (whose == "right")
    assert done.stderr == ""


def test_nothing_leaves_the_machine(closed: Held, opened: Held, reports: HTTPServer) -> None:
    deadline = time.monotonic() + 20
    while not reports.got and time.monotonic() < deadline:  # type: ignore[attr-defined]
        assert all(ip_address(host).is_loopback for host in sockets(closed.pid)[1])
        time.sleep(0.2)
    assert [json.loads(report)["ray_version"] for report in reports.got]  # type: ignore[attr-defined]
    assert not any(json.loads(report)["session_id"] in closed.session.name for report in reports.got)  # type: ignore[attr-defined]
    assert opened.usage
    assert not closed.usage
    assert (opened.session / "usage_stats.json").exists()
    assert not (closed.session / "usage_stats.json").exists()
    reporters = [list((held.session / "logs").glob("dashboard.*")) for held in (closed, opened)]
    assert [bool(found) for found in reporters] == [False, True]  # the process that would report is not there
