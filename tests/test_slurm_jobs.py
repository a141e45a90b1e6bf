"""sweeps/slurm.sh on a real SLURM: its limit, its return, a second job, preemption, scancel, and what goes on then.

Run by ``make slurm``: it needs root, and Debian's slurm-wlm.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from harness.driver import is_part
from harness.ports import CLIENT, SERVICES
from harness.slurm import ROOT, Slurm, lacking
from harness.specs import spec_of
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store
from rmtsim.store.failures import StoreError
from rmtsim.sweeps.runner import run

pytestmark = pytest.mark.slurm

SPEC = """
name = "mine"
model = "linear"
loss = "ce"
[grid]
n_classes = [30, 100]
aspect_ratio = [0.5]
dim = [300]
[sampling]
min_draws = 2000
max_draws = 2000
target_rse = 0.5
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    if problem := lacking():
        pytest.skip(problem)
    with Slurm(tmp_path, 3) as machines:
        yield machines


def rows_in(store: Path) -> pd.DataFrame:
    """The rows of a store, in order; none while it begins."""
    try:
        return Store(store).read().sort_values(KEY, ignore_index=True)
    except (StoreError, FileNotFoundError):
        return pd.DataFrame()


def ray_processes(slurm: Slurm, node: int) -> list[str]:
    found = slurm.call("ps", "-eo", "args", node=node).splitlines()
    return [line for line in found if "ray" in line and "slurmd" not in line]


def test_a_sweep_goes_through_its_jobs(slurm: Slurm, tmp_path: Path) -> None:
    """Its time limit, an urgent job and scancel end it midway; it ends on other nodes, with the rows of a quiet run."""
    spec = spec_of(SPEC, slurm.home)
    run(spec, Store(tmp_path / "quiet"), workers=2, backend="numpy")
    whole = rows_in(tmp_path / "quiet")
    store = slurm.home / "results"
    two_nodes = ("--nodes=2", "--cpus-per-task=1")
    job = (str(ROOT / "sweeps" / "slurm.sh"), "spec.toml", "results")

    # It stops by itself before its end, which squeue tells it, and queues itself again.
    first = slurm.submit(*two_nodes, "--time=2", "--signal=B:USR1@1", *job)
    second = slurm.submit(
        "--output=second.log",
        "--wrap=until [ -e begin ]; do sleep 0.1; done; . .venv/bin/activate; rmtsim run spec.toml --store results",
    )
    slurm.wait(lambda: slurm.state(first).startswith("PENDING BeginTime"), "requeue at the time limit")
    said = (slurm.home / f"rmtsim-{first}.log").read_text()
    assert f"--time-limit: job {first} of SLURM ends in 1 min " in said
    assert "stopped (time limit): what was committed is safe, the same command goes on" in said
    stopped = rows_in(store)
    assert 0 < len(stopped) < len(whole)
    assert is_part(stopped, whole)
    assert ray_processes(slurm, 1) == ray_processes(slurm, 2) == []

    # It goes on, and holds the store against a second job. No port of its nodes answers without its token.
    # Not within the second of its return, in which SLURM still revokes the credential that it had before.
    slurm.call("scontrol", "update", f"JobId={first}", "TimeLimit=60", "StartTime=now+2")
    slurm.wait(lambda: len(rows_in(store)) > len(stopped), "new rows")
    process = slurm.call("pgrep", "-f", "rmtsim run", node=1).splitlines()[0]
    slurm.call("kill", "-STOP", process, node=1)  # for as long as this takes
    (slurm.home / "begin").touch()
    slurm.wait(lambda: slurm.state(second).startswith("FAILED"), "end of the second job")
    refusal = (slurm.home / "second.log").read_text()
    assert (
        f"results is being written by process {process} of nobody on n1; wait for it, or use another store" in refusal
    )
    raylet = slurm.call("pgrep", "-f", "raylet/raylet", node=1).splitlines()[0]
    environment = slurm.call("cat", f"/proc/{raylet}/environ", node=1)
    token = environment.partition("RAY_AUTH_TOKEN=")[2].partition("\0")[0]
    assert len(token) == 64
    let_in: set[str] = set()
    for node in (1, 2):
        ports = json.loads(slurm.call(sys.executable, str(ROOT / "harness" / "ports.py"), "nobody", token, node=node))
        for port, answers in ports.items():
            assert not answers["http"], port
            assert not any(answers["without"].values()), port
            assert not any(answers["wrong"].values()), port
            let_in |= {service for service, open_ in answers["with"].items() if open_}
    assert {*SERVICES, CLIENT} - let_in <= {"CoreWorkerService/GetCoreWorkerStats"}  # of a process that stands still

    # An urgent job takes its nodes. It is warned, makes room with what came in, and queues itself again.
    slurm.call("kill", "-CONT", process, node=1)
    urgent = slurm.submit("--partition=urgent", "--nodes=3", "--output=urgent.log", "--wrap=squeue --noheader --me")
    slurm.wait(lambda: slurm.state(urgent).startswith("COMPLETED"), "end of the urgent job")
    slurm.wait(lambda: slurm.state(first).startswith("PENDING"), "requeue of the job that made room")
    said = (slurm.home / f"rmtsim-{first}.log").read_text()
    assert said.count("stopped (interrupted): what was committed is safe, the same command goes on") == 1
    own = [line for line in said.splitlines() if not line.startswith("slurmstepd")]  # which may say that it requeues
    assert "rror" not in "\n".join(own)
    made_room = rows_in(store)
    assert len(stopped) < len(made_room) < len(whole)
    assert is_part(made_room, whole)
    assert ray_processes(slurm, 1) == ray_processes(slurm, 2) == []

    # scancel ends it at once, for good, with all of Ray.
    slurm.call("scontrol", "update", f"JobId={first}", "StartTime=now+2")
    slurm.wait(lambda: len(rows_in(store)) > len(made_room), "new rows")
    slurm.call("scancel", str(first))
    slurm.wait(lambda: slurm.state(first).startswith("CANCELLED"), "end by scancel")
    cancelled = rows_in(store)
    assert len(made_room) < len(cancelled) < len(whole)
    assert is_part(cancelled, whole)
    assert ray_processes(slurm, 1) == ray_processes(slurm, 2) == []
    assert slurm.call("ls", "/tmp", node=2).count("rmtsim-") == 0

    # The same command goes on, here on one node.
    third = slurm.submit("--nodes=1", "--cpus-per-task=1", "--time=60", *job)
    slurm.wait(lambda: slurm.state(third).split()[0] in ("COMPLETED", "FAILED"), "end")
    said = (slurm.home / f"rmtsim-{third}.log").read_text()
    assert slurm.state(third).startswith("COMPLETED"), said
    assert "2 of 2 points done" in said
    assert whole.equals(rows_in(store))
