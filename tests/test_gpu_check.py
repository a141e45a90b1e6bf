"""The check on a GPU, as far as it goes without one: that the script runs, and tells of steps that do not end well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.simt.kernels import compiler
from rmtsim.arrays.backend import get_backend

ROOT = Path(__file__).parents[1]


def check(*words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Return the exit code, the rows that are printed, and what is said besides."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")
def test_all_steps_run_on_the_emulator(tmp_path: Path) -> None:
    steps = ["facts", "speed", "bits", "agree", "tensor", "memory"]  # the tests run here anyway, compiling says nothing
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
    assert [row["while_62_percent_are_held"] for row in rows if "while_62_percent_are_held" in row] == ["done"]


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
        ("print(1, flush=True); import time; time.sleep(600)", 2, "took more than 2 s"),
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
