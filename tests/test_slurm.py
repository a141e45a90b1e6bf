"""The time that a job of SLURM leaves to a run, and sweeps/slurm.sh with stand-ins for SLURM, Ray and the sweep.

On a real SLURM it is run by `tests/test_slurm_jobs.py`.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rmtsim.cli import slurm
from rmtsim.cli.main import main
from rmtsim.cli.parser import parser
from rmtsim.cli.slurm import MARGIN, seconds_to_run
from rmtsim.errors import GOES_ON, InputError
from rmtsim.store.lock import _refused
from rmtsim.store.storage import LocalFiles
from tests.cluster_files import ray_version

ROOT = Path(__file__).parents[1]
SCRIPT = (ROOT / "sweeps" / "slurm.sh").read_text("utf-8")
HOW_TO, TRANSCRIPT = (
    (ROOT / "docs" / "how-to" / f"{name}.md").read_text("utf-8") for name in ("slurm", "slurm-transcript")
)


SPEC = """
name = "mine"
model = "linear"
loss = "ce"
[grid]
n_classes = [2, 3, 4]
aspect_ratio = [0.5]
dim = [8]
[sampling]
min_draws = 4
max_draws = 6
target_rse = 0.9
"""


def executable(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Job 7 of a SLURM, whose programs are those of the folder that is returned; it is 1000 s since 1970."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "time", lambda: 1000.0)
    return tmp_path


def test_the_end_of_the_environment_less_a_margin(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(job / "squeue", "exit 1")  # is not asked
    monkeypatch.setenv("SLURM_JOB_END_TIME", "8200")
    assert seconds_to_run() == 7200 - MARGIN


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("59:10", 59 * 60 + 10),
        ("8:00:00", 8 * 3600),
        ("2-03:04:05", 2 * 86400 + 3 * 3600 + 4 * 60 + 5),
        ("UNLIMITED", math.inf),
    ],
)
def test_squeue_is_asked_where_the_environment_has_no_end(job: Path, said: str, left: float) -> None:
    executable(job / "squeue", f'[ "$*" = "--noheader --jobs=7 --format=%L" ] && echo {said}')
    assert seconds_to_run() == left - MARGIN


def test_little_time_is_said_and_used(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    executable(job / "squeue", "echo 1:40")
    assert seconds_to_run() == 0
    assert capsys.readouterr().err == (
        "--time-limit: job 7 of SLURM ends in 1 min 40 s, and to stop takes up to 2 min: "
        "stops after the first results; give the job more time\n"
    )


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo NOT_SET", "'NOT_SET'"),
        ("true", "'it prints nothing'"),
        ("echo error: first >&2; echo slurm_load_jobs error: Invalid job id specified >&2; exit 1", "Invalid job id"),
        ("echo 1:00; exit 1", "'1:00'"),
    ],
)
def test_an_end_that_is_not_known(job: Path, script: str, why: str) -> None:
    executable(job / "squeue", script)
    with pytest.raises(InputError, match=f"^when job 7 of SLURM ends is not known: .*{why}.*; give a time such as 90s"):
        seconds_to_run()


def test_there_is_no_squeue(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(job))
    with pytest.raises(InputError, match="FileNotFoundError"):
        seconds_to_run()


@pytest.mark.parametrize("verb", [["run", "spec.toml", "--store", "s"], ["reproduce", "--out", "s"]])
def test_outside_of_a_job(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    (tmp_path / "spec.toml").write_text(SPEC)
    with pytest.raises(SystemExit) as ended:
        main([*verb, "--time-limit", "slurm"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"rmtsim {verb[0]}: --time-limit: SLURM_JOB_ID is not set, so this is no job of SLURM; "
        f"give a time such as 90s, 30min or 2h; see rmtsim {verb[0]} --help\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]


def test_a_run_stops_for_the_end_of_its_job(
    job: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And goes on in the next."""
    (job / "spec.toml").write_text(SPEC)
    line = ["run", str(job / "spec.toml"), "--store", str(job / "s"), "--backend", "numpy", "--workers", "1"]
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1010")
    assert main([*line, "--time-limit", "slurm"]) == 3
    assert "stopped (time limit): what was committed is safe, the same command goes on" in capsys.readouterr().err
    monkeypatch.setenv("SLURM_JOB_END_TIME", "8200")
    assert main([*line, "--time-limit", "slurm"]) == 0


# --- sweeps/slurm.sh ---

#: `srun` is one node, `ray` runs the command that it is given, `scontrol` writes down what it is asked for.
STAND_INS = {
    "srun": 'while [ "$1" != bash ]; do shift; done; SLURM_NODEID=0 SLURM_STEP_ID=0 exec "$@"',
    "scancel": 'echo "$*" >> ended',
    "ray": 'printf "%s\\n" "$*" >> ray; while [ "$1" != -- ]; do shift; done; shift; "$@"; exit 0',
    "scontrol": 'if [ "$1" = show ]; then printf "n1\\nn2\\n"; else echo "$*" >> asked; fi',
}


class Script:
    """The script in a folder, with stand-ins, of which `rmtsim` is the one given."""

    def __init__(self, folder: Path, rmtsim: str, **environment: str) -> None:
        programs = folder / "programs"
        programs.mkdir()
        for name, text in (STAND_INS | {"rmtsim": rmtsim}).items():
            executable(programs / name, text)
        (folder / ".venv" / "bin").mkdir(parents=True)
        (folder / ".venv" / "bin" / "activate").write_text(f"PATH={programs}:$PATH\n")
        self.folder, self.job = folder, f"test-{os.getpid()}"
        of_slurm = {"SLURM_JOB_ID": self.job, "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RAY_"))}
        self.process = subprocess.Popen(
            ["bash", str(ROOT / "sweeps" / "slurm.sh"), "my.toml", "results"],
            cwd=folder,
            env=clean | of_slurm | {"SLURM_CPUS_PER_TASK": "3", "TMPDIR": str(folder)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and what it printed."""
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said

    def read(self, name: str) -> str:
        """Return what stands in a file, or nothing."""
        return (self.folder / name).read_text() if (self.folder / name).exists() else ""

    def wait(self, name: str) -> str:
        """Wait for a file that is not empty."""
        end = time.monotonic() + 30
        while not (text := self.read(name)):
            assert time.monotonic() < end, name
            time.sleep(0.01)
        return text


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4])
def test_only_a_sweep_that_goes_on_is_queued_again(tmp_path: Path, code: int) -> None:
    """And the job ends with the sweep's exit code, although Ray ends with 0."""
    script = Script(tmp_path, f'echo "$*" > line; echo said; env > environment; exit {code}')
    assert script.end() == (code, "")
    assert script.read("asked") == (f"requeue {script.job}\n" if code == 3 else "")
    assert script.read("ended") == f"--signal=TERM {script.job}.0\n"
    assert script.read("line") == "run my.toml --store results --address auto --time-limit slurm\n"
    assert script.read(f"rmtsim-{script.job}.log") == "said\n"
    assert "--address n1:6379 --min-nodes 2 --num-cpus 3 --num-gpus 0" in script.read("ray")
    settings = dict(line.split("=", 1) for line in script.read("environment").splitlines() if "=" in line)
    assert settings["RAY_AUTH_MODE"] == "token"
    assert re.fullmatch("[0-9a-f]{64}", settings["RAY_AUTH_TOKEN"])
    assert settings["OPENBLAS_NUM_THREADS"] == "1"
    assert not Path(settings["RAY_TMPDIR"]).exists()
    assert not Path(settings["notes"]).exists()


def test_restarts_have_an_end(tmp_path: Path) -> None:
    script = Script(tmp_path, "exit 3", SLURM_RESTART_COUNT="100")
    assert script.end() == (3, "")
    assert script.read("asked") == ""


def test_ray_that_does_not_start_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAND_INS, "ray", "exit 0")
    script = Script(tmp_path, "exit 0")
    code, said = script.end()
    assert (code, script.read("asked")) == (1, "")
    assert said == f"the sweep did not begin: see rmtsim-{script.job}-ray.log\n"


WAITS = "trap 'echo told > told; exit 3' TERM; echo $$ > running; while :; do sleep 0.02; done"


def test_the_signal_before_the_end_reaches_the_sweep_alone(tmp_path: Path) -> None:
    script = Script(tmp_path, WAITS)
    script.wait("running")
    script.process.send_signal(signal.SIGUSR1)
    assert script.end() == (3, "")
    assert script.read("told") == "told\n"
    assert script.read("asked") == f"requeue {script.job}\n"


def test_a_job_that_is_cancelled_is_not_queued_again(tmp_path: Path) -> None:
    """Though its sweep ends with 3: SLURM sends SIGTERM to all of them."""
    script = Script(tmp_path, WAITS)
    sweep = int(script.wait("running"))
    script.process.terminate()
    os.kill(sweep, signal.SIGTERM)
    assert script.end()[0] == 3
    assert (script.read("told"), script.read("asked")) == ("told\n", "")


def test_what_it_is_given_is_asked_for(tmp_path: Path) -> None:
    done = subprocess.run(["bash", str(ROOT / "sweeps" / "slurm.sh")], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "sbatch sweeps/slurm.sh SPEC STORE" in done.stderr


def test_it_installs_the_locked_versions() -> None:
    commands = [shlex.split(line) for line in re.findall(r"^#   \.venv/bin/(pip install .*?)(?:  .*)?$", SCRIPT, re.M)]
    locked, own = commands
    assert "--require-hashes" in locked
    assert locked[-2:] == ["-r", "requirements-cluster.lock"]
    assert own[2:] == ["--no-deps", "--no-build-isolation", "--editable", "."]
    assert tuple(map(int, ray_version().split("."))) >= (2, 49)  # the first with symmetric-run


def test_the_sweep_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_END_TIME", "99999999999")
    [line] = re.findall(r"rmtsim (run .*?) >>", SCRIPT)
    arguments = parser().parse_args(shlex.split(line))
    assert (arguments.verb, arguments.address) == ("run", "auto")
    assert arguments.time_limit > 1e9


def test_its_warning_comes_after_the_run_has_stopped() -> None:
    """SLURM may send it a minute early."""
    [seconds] = re.findall(r"#SBATCH --signal=B:USR1@(\d+)", SCRIPT)
    assert 0 < int(seconds) + 60 <= MARGIN


# --- docs/how-to/slurm.md ---


def test_the_page_quotes_the_script() -> None:
    rows = re.findall(r"^\| `(.*?)` \|", HOW_TO, re.M)
    quoted = [row for row in rows if row.startswith(("#", "source"))]
    assert len(quoted) == 5
    lines = SCRIPT.splitlines()
    assert all(any(line.startswith(row) for line in lines) for row in quoted)
    commands = re.findall(r"^    (?:\.venv/bin/)?(pip .*)$", HOW_TO, re.M)
    assert len(commands) == 2
    assert all(command in SCRIPT for command in commands)


def test_the_commands_of_the_page_are_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_END_TIME", "99999999999")
    commands = re.findall(r"(?:\.venv/bin/|`)rmtsim ((?:run|merge|status) [^'`\n]*)", HOW_TO)
    verbs = [parser().parse_args(shlex.split(command)).verb for command in commands]
    assert sorted({*verbs}) == ["merge", "run", "status"]


def test_the_page_says_what_the_code_says() -> None:
    assert f"stopped (time limit): {GOES_ON}" in TRANSCRIPT
    assert f"stopped (interrupted): {GOES_ON}" in TRANSCRIPT
    refusal = str(_refused(LocalFiles(Path("results")), "process 1 of nobody on n1")).partition("; ")
    pattern = re.escape(refusal[0]).replace("1\\ of", "\\d+\\ of") + re.escape("; " + refusal[2])
    assert [len(re.findall(pattern, page)) for page in (HOW_TO, TRANSCRIPT)] == [1, 1]
    for link in re.findall(r"\]\((.*?)\)", HOW_TO + TRANSCRIPT):
        assert (ROOT / "docs" / "how-to" / link).exists()
