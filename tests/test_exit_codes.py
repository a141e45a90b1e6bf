"""Exit codes: 3 says that the same command goes on, 4 that it does not, so that a loop over a run ends."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

from rmtsim.cli import exit_codes
from rmtsim.cli.exit_codes import DONE, FAILED, LIMITED, UNFINISHED, exit_code, joint_exit_code
from rmtsim.cli.main import main
from rmtsim.cli.parser import parser
from rmtsim.sweeps import loop as run_loop

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "command-line.md"

#: Three points; {rse} decides whether max_draws is enough.
SPEC = """
name = "loop"
model = "linear"
loss = "ce"
[grid]
n_classes = [2, 3, 4]
aspect_ratio = [0.5]
dim = [8]
[sampling]
min_draws = 4
max_draws = 6
target_rse = {rse}
"""


#: The command line on a clock on which an hour passes between any two looks at how long a run has taken.
LATE = """
from itertools import count
from types import SimpleNamespace
from rmtsim.cli.main import main
from rmtsim.sweeps import loop
hours = count()
loop.time = SimpleNamespace(monotonic=lambda: 3600.0 * next(hours))
raise SystemExit(main())
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SPEC.format(rse=1e-3))
    return tmp_path / "mine.toml"


def loop() -> str:
    """The script that the reference has."""
    [script] = re.findall(r"```sh\n(trap .*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(script)


def test_the_loop_of_the_reference_ends_with_4(spec: Path, tmp_path: Path) -> None:
    """In a real shell; every run stops after its first batches, so it takes several."""
    spec.write_text(SPEC.format(rse=1e-3).replace("[2, 3, 4]", "[2]"))
    (tmp_path / "late.py").write_text(LATE)
    command = shlex.join([sys.executable, "late.py", "run"])
    script = loop().replace("rmtsim run", f"echo >> runs; {command} --workers 1 --backend numpy")
    script = script.replace("55min", "1h")  # so that the first look of a run is in time, and the second late
    done = subprocess.run(
        ["sh", "-e", "-u", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("stopped (time limit)") == len((tmp_path / "runs").read_text()) - 1 > 0
    assert done.stderr.splitlines()[-1].endswith(
        "0 of 1 points done, 1 used up max_draws above target_rse (see rmtsim status)"
    )
    assert main(["run", str(spec), "--store", "results"]) == 4


@pytest.mark.parametrize("code", [0, 1, 2, 4, 137])
def test_the_loop_goes_on_after_3_alone_and_hands_the_last_code_on(code: int, tmp_path: Path) -> None:
    (tmp_path / "rmtsim").write_text(f"#!/bin/sh\necho >> runs\n[ $(wc -l < runs) -lt 3 ] && exit 3\nexit {code}\n")
    (tmp_path / "rmtsim").chmod(0o755)
    for shell in (["sh"], ["sh", "-eu"], ["bash", "-eu"]):
        path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run([*shell, "-c", loop()], cwd=tmp_path, env=path, check=False)
        assert done.returncode == code
        assert (tmp_path / "runs").read_text() == "\n" * 3
        (tmp_path / "runs").unlink()


def test_ctrl_c_ends_the_loop(tmp_path: Path) -> None:
    """A run that is interrupted ends with 3, as it should; the shell must not begin the next."""
    (tmp_path / "rmtsim").write_text(
        "#!/bin/sh\ntrap 'exit 3' INT\necho >> runs\n"
        "[ $(wc -l < runs) = 1 ] || exit 9  # a second run: the loop went on\n"
        "kill -INT $PPID $$\nexit 3\n"
    )
    (tmp_path / "rmtsim").chmod(0o755)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", loop()], cwd=tmp_path, env=path, check=False)
    assert done.returncode == 130
    assert (tmp_path / "runs").read_text() == "\n"


def test_help_and_reference_have_the_same_loop_and_codes() -> None:
    said = parser().format_help()
    script = loop().replace("mine.toml", "SPEC").replace("results", "DIR")
    assert re.sub(r"[\s;]+", " ", script) in re.sub(r"[\s;]+", " ", said)
    codes = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert codes == {0, 1, 2, 3, 4}
    page = PAGE.read_text("utf-8")
    for code in codes:
        assert f"\n  {code}  " in said
        assert f"\n| {code} | " in page


def test_a_limited_sweep_says_4_again_and_again(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["run", str(spec), "--store", "s", "--backend", "numpy"]
    assert main([*run, "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert (document["exit_code"], document["limited"], document["complete"]) == (4, 3, False)
    before = sorted((path, path.stat().st_mtime_ns) for path in Path("s").rglob("*"))
    for _ in range(2):
        assert main(run) == 4
        said = capsys.readouterr().err
        assert "nothing to do" in said
        assert "used up max_draws" in said
        assert "goes on" not in said
    assert sorted((path, path.stat().st_mtime_ns) for path in Path("s").rglob("*")) == before
    assert main(["status", "--store", "s"]) == 4
    spec.write_text(SPEC.format(rse=1e-3).replace("max_draws = 6", "max_draws = 7"))
    assert main(run) == 4
    assert "3 new draws" in capsys.readouterr().err


def test_stopped_says_3_then_the_same_command_goes_on(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec.write_text(SPEC.format(rse=0.9))
    run = ["run", str(spec), "--store", "s", "--backend", "numpy", "--workers", "1", "--json"]
    with monkeypatch.context() as patched:
        patched.setattr(run_loop, "time", _Late())
        assert main([*run, "--time-limit", "1h"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 3
    assert document["stopped"] == "time limit"
    assert 0 < document["new_draws"] < 12  # the first batches are always computed
    assert main(["status", "--store", "s", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["exit_code"] == 3
    assert main(run) == 0
    assert json.loads(capsys.readouterr().out)["exit_code"] == 0
    assert main(["status", "--store", "s"]) == 0


class _Late:
    """A clock on which an hour passes between any two looks."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 3600
        return self.now


def test_failures_come_first_then_what_is_left_to_do() -> None:
    assert exit_code() == DONE == 0
    assert exit_code(limited=[1]) == LIMITED == 4
    assert exit_code(limited=[1], unfinished=[1]) == UNFINISHED == 3
    assert exit_code(limited=[1], unfinished=[1], failed=[1]) == FAILED == 1
    assert joint_exit_code([]) == 0
    for codes in permutations([0, 4, 3, 1]):
        told = [joint_exit_code(codes[: k + 1]) for k in range(4)]
        assert told[-1] == 1
        assert told[0] == codes[0]
    assert joint_exit_code([0, 4, 3]) == 3
    assert joint_exit_code([4, 0]) == 4
