"""The check on a GPU, as far as it goes without one: that the script runs, and tells of steps that do not end well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.simt.kernels import compiler
from rmtsim.arrays.backend import get_backend
from tests.benchmark_modules import Benchmarks, benchmarks

__all__ = ["benchmarks"]  # a fixture

ROOT = Path(__file__).parents[1]

#: What the steps that take times say besides the times of draws.
RATES = {"s_of_a_launch", "s_of_our_launch", "s_of_a_wait", "copied_TBs", "s_of_a_draw_in_it"}


def check(*words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Return the exit code, the rows that are printed, and what is said besides."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")
def test_all_steps_run_on_the_emulator(benchmarks: Benchmarks, tmp_path: Path) -> None:
    said_by_a_gpu_alone = {"tests", "profile", "compiling"}
    steps = [step for step in benchmarks("[*module('benchmarks.gpu_check').STEPS]") if step not in said_by_a_gpu_alone]
    code, rows, said = check(*steps, "--emulated", "--limit", "3600", "--out", str(tmp_path))
    assert (code, said) == (0, "")
    assert [json.loads(line) for line in (tmp_path / "gpu_check.jsonl").read_text().splitlines()] == rows
    assert [(row["step"], row["ended"]) for row in rows if "ended" in row] == [(step, "0") for step in steps]
    (about,) = (row for row in rows if row["step"] == "facts" and "library" in row)
    assert about["problem"] is None
    assert about["library"].startswith("cuBLAS 130100 sm_90")
    timed = [row for row in rows if "s_per_draw" in row]
    assert len(timed) == 4
    assert all(row["s_per_draw"] > 0 and row["batch"] == 64 for row in timed)
    of_bits = [row for row in rows if row["step"] == "bits" and "again" in row]
    assert len(of_bits) == 4
    assert all(row["limit_left_behind"] == 0 and row["two_threads"] == [True, True] for row in of_bits)
    assert all(value is True for row in of_bits for value in row.values() if isinstance(value, bool))
    assert sum("largest_difference" in row for row in rows) == 4
    assert {key for row in rows for key in row if key.startswith(("s_of_", "copied_"))} == RATES
    assert [row["while_62_percent_are_held"] for row in rows if "while_62_percent_are_held" in row] == ["done"]


def test_modules_with_tests_of_the_gpu_path_are_known_by_their_text(
    benchmarks: Benchmarks, request: pytest.FixtureRequest
) -> None:
    """Of all that pytest has found, so all are looked at in a run of all tests."""
    of_gpu = {f"tests/{item.path.name}" for item in request.session.items if item.get_closest_marker("gpu")}
    known = set(benchmarks("module('benchmarks.gpu_check').gpu_modules()"))
    assert of_gpu <= known
    assert "tests/test_gpu_check.py" not in known


def test_nothing_is_kept_where_no_folder_is_given(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_check", "bits", "--limit", "10"]
    environment = {name: value for name, value in os.environ.items() if name != "OUT"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout)["ended"] == "no time left"
    assert not list(tmp_path.iterdir())


def test_a_profile_without_pytorch_says_so() -> None:
    found = profiled('"torch.profiler": None')
    assert found["no_profile"].startswith("PyTorch is not there (")


def test_a_profile_adds_up_the_kernels() -> None:
    """In the words of PyTorch, which this machine need not have."""
    events = [("cudaLaunchKernel", 5, 0), ("normals", 4, 200), ("products", 1, 500)]
    made = f"[SimpleNamespace(key=k, count=n, self_device_time_total=t) for k, n, t in {events}]"
    profile = f"lambda activities: nullcontext(SimpleNamespace(key_averages=lambda: {made}))"
    profiler = f"SimpleNamespace(ProfilerActivity=SimpleNamespace(CUDA=0), profile={profile})"
    found = profiled(f'"torch": SimpleNamespace(), "torch.profiler": {profiler}')
    assert found.pop("seconds") > 0
    assert found == {
        "calls": 3,  # to warm up, timed, and profiled
        "device_seconds": 7e-4,
        "launches": 5,
        "kernels": [["products", 1, 5e-4], ["normals", 4, 2e-4]],
    }


def profiled(modules: str) -> dict[str, Any]:
    """Return what a profile says in a process that has these modules, with the number of calls."""
    code = f"""
import json, sys
from contextlib import nullcontext
from types import SimpleNamespace
from benchmarks.gpu_profile import profiled
sys.modules |= {{{modules}}}
calls = []
found = profiled(lambda: calls.append(1))
print(json.dumps(found | {{"calls": len(calls)}}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(get_backend("cupy").problem() is None, reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    code, (*_, row), _ = check("facts", "--out", str(tmp_path))
    assert code == 1
    assert row["ended"].startswith("1: ")
    assert "'cupy' was asked for, but" in row["ended"]


def test_steps_without_time_are_told(tmp_path: Path) -> None:
    code, rows, _ = check("bits", "agree", "--limit", "10", "--out", str(tmp_path))
    assert code == 1
    assert [row["ended"] for row in rows] == ["no time left"] * 2


def test_unknown_steps_are_refused(tmp_path: Path) -> None:
    code, rows, said = check("facts", "nonsense", "--out", str(tmp_path / "none"))
    assert (code, rows) == (2, [])
    assert "nonsense is not known; choose one of facts, tests, speed" in said
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("step", "limit", "said"),
    [
        ("print(1)", 600, "0"),
        ("print(1); import sys; sys.exit('why')", 600, "1: why\n"),
        ("print(1, flush=True); import time; time.sleep(600)", 5, "took more than 5 s"),
    ],
)
def test_how_a_step_ended_is_told_and_what_it_found_is_kept(step: str, limit: float, said: str, tmp_path: Path) -> None:
    code = f"""
import sys
from benchmarks import gpu_check
with open({str(tmp_path / "found")!r}, "w") as file:
    print(repr(gpu_check._run([sys.executable, "-c", {step!r}], {limit}, file)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(said)
    assert (tmp_path / "found").read_text() == "1\n"
