"""Progress in a terminal: what the live table shows of many points, and where there is none to be written over."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from harness.specs import SMALL
from rmtsim.store import Store
from rmtsim.sweeps.display import _table
from rmtsim.sweeps.experiment import Experiment
from rmtsim.sweeps.progress import OpenPoint, Progress, SweepWatch, most_telling
from rmtsim.sweeps.spec import from_document
from rmtsim.sweeps.state import states_of
from rmtsim.sweeps.table_runner import TableWork

#: A sweep that is over at once.
SPEC = SMALL.format(max_draws=8, target_rse=0.9)


def point(
    number: int, *, rse: float = float("inf"), draws: int = 0, expected: int = 100, at_work: bool = False
) -> OpenPoint:
    return OpenPoint(f"C = {number}", draws, expected, rse, 0.01, "diag", at_work)


MANY = [point(0, rse=0.02, draws=16, at_work=True), point(1, rse=0.03, draws=16, at_work=True)]
MANY += [point(number, rse=0.05 + number / 1000, draws=16) for number in range(2, 10)]
MANY += [point(number) for number in range(10, 96)]


def test_the_points_that_tell_most() -> None:
    """Those at work, then the farthest from their target, and only then those that have not begun."""
    assert [one.sizes for one in most_telling(MANY, 8)] == [f"C = {number}" for number in (0, 1, 9, 8, 7, 6, 5, 4)]
    busy = [point(number, at_work=True) for number in range(50)] + [point(99, rse=0.5, draws=16)]
    assert [one.sizes for one in most_telling(busy, 8)][:5] == ["C = 0", "C = 1", "C = 2", "C = 3", "C = 99"]
    assert most_telling([], 8) == []
    assert len(most_telling(MANY[:3], 8)) == 3


@pytest.mark.parametrize("width", [80, 160])
def test_the_live_table_says_how_many_it_leaves_out(width: int) -> None:
    console = Console(width=width, force_terminal=False)
    progress = Progress("many", "draw", 160, 0, 96, 2, elapsed=60.0, to_go=3600.0, open_points=tuple(MANY))
    with console.capture() as capture:
        console.print(_table(progress, 8))
    lines = capture.get().splitlines()
    assert len(lines) <= 12
    assert max(map(len, lines)) <= width
    assert re.match(r"› C = 0 +2\.00% +1\.00% +16 of about 100$", lines[-9].rstrip())
    assert lines[-1] == "… and 88 more, 86 of them without draws"


def test_a_point_within_its_target_says_what_it_waits_for() -> None:
    """It gets draws up to the next checkpoint, where it is decided whether there are enough."""
    within, outside = point(3, rse=0.0099, draws=17, expected=24), point(3, rse=0.0101, draws=17)
    assert str(within) == "C = 3: rse 0.99% ≤ 1.00%, which its next checkpoint is to confirm, 17 of 24 draws"
    assert str(outside) == "C = 3: rse 1.01% → 1.00%, 17 of about 100 draws"
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(_table(Progress("one", "draw", 17, 0, 1, 1, open_points=(within,)), 8))
    assert re.search(r"  C = 3 +0\.99% +1\.00% +17 of 24 \(checkpoint\)$", capture.get().rstrip())


def test_it_says_for_how_long_it_has_waited_for_workers(tmp_path: Path) -> None:
    now = [0.0]
    watch = SweepWatch("one", [*states_of(from_document(tomllib.loads(SPEC))).values()], lambda: now[0])
    tables = TableWork(Experiment("several", []), None, "auto", lambda: now[0])

    def said(seconds: float, workers: int) -> str:
        now[0] = seconds
        texts = [str(watch.progress(0, workers, [])), str(tables.progress(workers))]
        [phrase] = {text.split(", ")[-1] for text in texts}
        return phrase

    with Store(tmp_path).writer() as writer:
        tables.begin(Store(tmp_path), writer, "numpy")
    assert said(0, 0) == "waiting for workers"
    assert said(75, 0) == "waiting for workers for 1 min 15 s"
    assert said(80, 2) == "2 workers"
    assert said(110, 0) == "waiting for workers for 30 s"  # since the last one was seen


#: Runs a sweep in each of the environments given, each time into a store of its own.
RUNS = """
import json, os, sys
from rmtsim.cli.main import main
for name, settings in json.loads(sys.argv[1]).items():
    os.environ.update(settings)
    print("BEGIN", name, flush=True)
    code = main(["run", "spec.toml", "--store", name, "--backend", "numpy"])
    print("END", code, flush=True)
    for variable in settings:
        del os.environ[variable]
"""

NOTEBOOK = {"JPY_PARENT_PID": "1"}
KERNEL = {"PAGER": "cat", "GIT_PAGER": "cat", "CLICOLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}


#: Environments of a run in a terminal, and whether its progress is then written over itself.
TERMINALS = {
    "terminal": ({"TERM": "xterm-256color"}, True),
    "notebook": ({"TERM": "xterm-color", **NOTEBOOK}, False),
    "other kernel": ({"TERM": "xterm-color", **KERNEL}, False),
    "dumb": ({"TERM": "dumb"}, False),
    "unset": ({"TERM": ""}, False),
}


@pytest.fixture(scope="module")
def said_in_terminals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return what a run says on a terminal of its own, by the environment that it has."""
    folder = tmp_path_factory.mktemp("terminals")
    (folder / "spec.toml").write_text(SPEC)
    ours, theirs = pty.openpty()
    known = {*KERNEL, *NOTEBOOK, "TERM", "COLAB_RELEASE_TAG"}
    environment = {name: value for name, value in os.environ.items() if name not in known}
    line = [sys.executable, "-c", RUNS, json.dumps({name: settings for name, (settings, _) in TERMINALS.items()})]
    with subprocess.Popen(line, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert process.returncode == 0, said
    _, *parts = said.split(b"BEGIN ")
    return {name.decode(): rest for name, _, rest in (part.partition(b"\r\n") for part in parts)}


@pytest.mark.parametrize("name", TERMINALS)
def test_a_notebook_gets_plain_lines(said_in_terminals: dict[str, bytes], name: str) -> None:
    """Its `!command` has a terminal of its own, whose every frame would be stored."""
    said = said_in_terminals[name]
    _, live = TERMINALS[name]
    assert said.endswith((b"END 0\r\n", b"END 4\r\n"))
    assert (b"\x1b" in said) is live
    assert b"points done" in said


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_a_full_disk_under_a_stream(tmp_path: Path, stream: str) -> None:
    """Messages go nowhere, and the run goes on; data that cannot be written are an error, reported once."""
    (tmp_path / "spec.toml").write_text(SPEC)
    with open("/dev/full", "w") as full:
        run = [sys.executable, "-m", "rmtsim", "run", "spec.toml", "--store", "s", "--backend", "numpy"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: full}
        done = subprocess.run([*run, "--json"], cwd=tmp_path, text=True, check=False, **streams)  # type: ignore[call-overload]
    if stream == "stderr":
        assert done.returncode in (0, 4)
        assert '"complete"' in done.stdout
    else:
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].endswith("(No space left on device); send it elsewhere")
        assert "Traceback" not in done.stderr
    assert len(Store(tmp_path / "s").read())
