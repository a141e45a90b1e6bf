"""A command with a limit of time: how it ended is told, what it found is kept, and all that it started ends with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark_modules import ROOT, Benchmarks, benchmarks

__all__ = ["benchmarks"]  # a fixture


@pytest.mark.parametrize(
    ("command", "limit", "said"),
    [
        ("print(1)", 600, [0, "0", ""]),
        ("print(1); import sys; sys.exit('why')", 600, [1, "1", "why\n"]),
        (
            "print(1, flush=True); import sys, time; print('so far', file=sys.stderr, flush=True); time.sleep(600)",
            5,
            [None, "took more than 5 s", "so far\n"],
        ),
    ],
    ids=["well", "with a reason", "cut off"],
)
def test_how_a_command_ended_is_told_and_what_it_found_is_kept(
    command: str, limit: float, said: list[Any], benchmarks: Benchmarks, tmp_path: Path
) -> None:
    given = [[sys.executable, "-c", command], limit, str(tmp_path / "found")]
    assert benchmarks("module('benchmarks.limited').run(*given[:2], open(given[2], 'w'))", given) == said
    assert (tmp_path / "found").read_text() == "1\n"


#: A command that starts another, which a limit of time ends, too.
STARTS_ANOTHER = """
import subprocess, sys
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(other.pid, flush=True)
"""


@pytest.mark.parametrize("end", ["other.wait()", "sys.exit()"])
def test_with_a_command_ends_what_it_has_started(end: str, benchmarks: Benchmarks, tmp_path: Path) -> None:
    given = [[sys.executable, "-c", STARTS_ANOTHER + end], 5, str(tmp_path / "found")]
    benchmarks("module('benchmarks.limited').run(*given[:2], open(given[2], 'w'))", given)
    wait_until(lambda: not runs(int((tmp_path / "found").read_text())), "the end of what was started")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_check_ends_its_step_and_says_so(number: int, tmp_path: Path) -> None:
    """Pytest and its workers, as the step `tests` has them."""
    slow = tmp_path / "test_slow.py"
    slow.write_text(SLOW)
    code = f"""
import sys
from benchmarks import gpu_check, limited
run = limited.run
pytest = [sys.executable, "-m", "pytest", "-v", "-n", "2", "-c", "/dev/null", {str(slow)!r}]
limited.run = lambda _, *rest: run(["sh", "-c", '"$@" >&2', "sh", *pytest], *rest)
sys.exit(gpu_check.main(["tests", "--emulated", "--out", {str(tmp_path / "found")!r}]))
"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2, "two workers")
        pids = [int(file.stem) for file in tmp_path.glob("*.pid")]
        process.send_signal(number)
        out, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 3
    assert said.endswith(": stopped; the lines until then are kept\n")
    _, told, ended = (json.loads(line) for line in out.splitlines())
    assert "test_slow.py::test_slow[" in told["end"][-1]
    assert (ended["step"], ended["ended"]) == ("tests", "stopped")
    assert (tmp_path / "found" / "gpu_check.jsonl").read_text() == out
    wait_until(lambda: not any(map(runs, pids)), "the end of the workers")


SLOW = """
import os, time
from pathlib import Path
import pytest

@pytest.mark.parametrize("k", range(2))
def test_slow(k):
    (Path(__file__).parent / f"{os.getpid()}.pid").touch()
    time.sleep(600)
"""


def wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, f"no {what} in a minute"
        time.sleep(0.05)


def runs(pid: int) -> bool:
    """Whether a process runs: one that has ended and is not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
