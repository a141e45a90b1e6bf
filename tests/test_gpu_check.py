"""The check on a GPU, as far as it goes without one: that the script runs, and tells of steps that do not end well."""

from __future__ import annotations

import json
import os
import re
import shlex
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
    steps = [step for step in benchmarks("[*module('benchmarks.gpu_steps').STEPS]") if step not in said_by_a_gpu_alone]
    code, rows, said = check(*steps, "--emulated", "--limit", "3600", "--out", str(tmp_path))
    assert (code, said) == (0, "")
    assert [json.loads(line) for line in (tmp_path / "gpu_check.jsonl").read_text().splitlines()] == rows
    assert [(row["step"], row["ended"]) for row in rows if "ended" in row] == [(step, "0") for step in steps]
    assert (rows[0]["device"], rows[0]["steps"], rows[0]["whole"]) == ("emulated", steps, False)
    assert {row["run"] for row in rows} == {rows[0]["run"]}
    (about,) = (row for row in rows if "library" in row)
    assert about["problem"] is None
    assert about["library"].startswith("cuBLAS 130100 sm_90")
    timed = [row for row in rows if "s_per_draw" in row]
    assert len(timed) == 4
    assert all(row["s_per_draw"] > 0 and row["batch"] == 64 for row in timed)
    of_bits = [row for row in rows if "again" in row]
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
    known = set(benchmarks("module('benchmarks.gpu_tests').gpu_modules()"))
    assert of_gpu <= known
    assert "tests/test_gpu_check.py" not in known


def test_nothing_is_kept_where_no_folder_is_given(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_check", "bits", "--emulated", "--limit", "10"]
    environment = {name: value for name, value in os.environ.items() if name != "OUT"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1])["ended"] == "no time left"
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


without_a_gpu = pytest.mark.skipif(get_backend("cupy").problem() is None, reason="there is a GPU")


@without_a_gpu
def test_without_a_gpu_it_says_so_and_writes_nothing(tmp_path: Path) -> None:
    code, rows, said = check("--out", str(tmp_path / "found"))
    assert (code, rows) == (2, [])
    assert f": a GPU is needed, but {get_backend('cupy').problem()}; or try it on the emulator" in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@without_a_gpu
def test_the_part_of_the_benchmarks_that_needs_a_gpu_says_so() -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "gpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = f"gpu: {get_backend('cupy').problem()}; run it where there is a GPU, or leave it out of --only\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_steps_without_time_are_told(tmp_path: Path) -> None:
    code, rows, _ = check("bits", "agree", "--emulated", "--limit", "10", "--out", str(tmp_path))
    assert code == 1
    assert [(row["step"], row["ended"]) for row in rows[1:]] == [("bits", "no time left"), ("agree", "no time left")]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["facts", "nonsense"], "STEP: nonsense is not known; choose one of facts, tests, speed"),
        (["--out", ""], "--out: it is empty, as from a variable that is not set; give a FOLDER"),
        (["--out", "/proc/found"], "--out: /proc/found is no folder to write to (No such file or directory); give"),
        (["--out", "README.md"], "--out: README.md is no folder to write to (it is a file); give another FOLDER"),
        (["--out", "README.md/found"], "--out: README.md/found is no folder to write to (Not a directory); give"),
        (["--out", "s3://found"], "--out: s3://found is an address; give a FOLDER on this machine"),
        (["--limit", "nan"], "--limit: nan is not valid; give seconds, from 1 to 86400"),
        (["--limit", "-3"], "--limit: -3.0 is not valid; give seconds, from 1 to 86400"),
        (["--limit", "inf"], "--limit: inf is not valid; give seconds, from 1 to 86400"),
        (["--here"], "unrecognized arguments: --here"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    there = [] if "--out" in words else ["--out", str(tmp_path / "none")]
    code, rows, said = check(*words, "--emulated", *there)
    assert (code, rows) == (2, [])
    assert f": {sentence}" in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_lines_that_cannot_be_added_are_refused(tmp_path: Path) -> None:
    (tmp_path / "gpu_check.jsonl").mkdir()
    code, rows, said = check("bits", "--emulated", "--out", str(tmp_path))
    assert (code, rows) == (2, [])
    assert "gpu_check.jsonl" in said
    assert len(said.splitlines()) == 1


def test_a_line_begins_after_one_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "gpu_check.jsonl").write_text('{"run": "older", "st')
    check("bits", "--emulated", "--limit", "10", "--out", str(tmp_path))
    older, header, *_ = (tmp_path / "gpu_check.jsonl").read_text().splitlines()
    assert older == '{"run": "older", "st'
    assert json.loads(header)["device"] == "emulated"


@pytest.mark.parametrize(
    "said",
    [
        """
tests/test_a.py::test_b[linear ce] PASSED                     [ 25%]
tests/test_a.py::test_b[mse] SKIPPED (there is no GPU)        [ 50%]
tests/test_a.py::test_c FAILED                                [ 75%]
tests/test_a.py::test_d """,
        """
4 workers [4 items]
tests/test_a.py::test_b[linear ce]
tests/test_a.py::test_c
[gw0] [ 25%] PASSED tests/test_a.py::test_b[linear ce]
[gw1] [ 50%] SKIPPED tests/test_a.py::test_b[mse]
[gw1] [ 75%] FAILED tests/test_a.py::test_c
tests/test_a.py::test_d """,
    ],
)
def test_what_pytest_said_until_it_was_cut_off_is_told(said: str, benchmarks: Benchmarks) -> None:
    summary = (
        "\n=== short test summary info ===\nFAILED tests/test_a.py::test_c - E\n=== 1 failed, 1 passed in 2.00s ==="
    )
    for more, end in (("", "tests/test_a.py::test_d"), (summary, "1 failed, 1 passed in 2.00s")):
        told = benchmarks("module('benchmarks.gpu_tests').told(given)", said + more)
        assert told["counts"] == {"passed": 1, "skipped": 1, "failed": 1}
        assert told["failed"] == ["tests/test_a.py::test_c"]
        assert told["end"][-1] == end


@pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")
def test_the_step_of_tests_tells_what_pytest_said() -> None:
    code, rows, said = check("tests", "--emulated", "--limit", "3600")
    assert (code, said) == (0, "")
    _, by_step, told, ended = rows
    assert by_step["code"] == 0
    assert told["failed"] == []
    assert told["counts"].keys() == {"passed"}
    assert told["end"][-1].startswith(f"{told['counts']['passed']} passed")
    assert ended["ended"] == "0"


def test_an_error_in_a_thread_is_an_answer_of_its_own(benchmarks: Benchmarks) -> None:
    found = benchmarks("(lambda ways: module('benchmarks.gpu_steps').in_two_threads(lambda: 1 / ways.pop()))([0, 1])")
    assert sorted(found, key=str) == [1.0, "ZeroDivisionError: division by zero"]


def test_the_counts_have_a_help() -> None:
    """And count nothing then: the file of counts stays as it is."""
    stored = (ROOT / "docs" / "results" / "gpu_counts.json").stat().st_mtime_ns
    command = [sys.executable, "-m", "benchmarks.gpu_counts", "--help"]
    assert "What draws ask of a GPU" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert (ROOT / "docs" / "results" / "gpu_counts.json").stat().st_mtime_ns == stored


@pytest.mark.parametrize("target", ["gpu-check", "reproduce"])
def test_out_may_have_a_space(target: str) -> None:
    line = ["make", "--no-print-directory", "-n", target, "OUT=a b"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(line, cwd=ROOT, env=plain, capture_output=True, text=True, check=True)
    words = shlex.split(done.stdout.splitlines()[-1])
    assert words[words.index("--out") + 1 :] == ["a b"]


def test_the_guide_says_what_steps_there_are_and_how_long_they_take(benchmarks: Benchmarks) -> None:
    steps = benchmarks("{name: step.limit for name, step in module('benchmarks.gpu_steps').STEPS.items()}")
    total = benchmarks("module('benchmarks.gpu_check').TOTAL")
    _, _, guide = (ROOT / "docs" / "how-to" / "gpu.md").read_text("utf-8").partition("## Check a GPU")
    section = " ".join(guide.partition("\n## ")[0].split())
    assert list(dict.fromkeys(re.findall(rf"`({'|'.join(steps)})`", section))) == list(steps)
    assert total == 9 * 60
    assert "This takes nine minutes at most" in section
    assert (sum(steps.values()) > total) == ("the last steps are left out where time is up" in section)
