"""The tables of figures through `reproduce`: the run loop of sweeps, with its retries, limits, stops and addresses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from harness import tables_process
from harness.tables_process import Cubes, Mixed, Squares
from rmtsim.cli.main import main
from rmtsim.figures import register, registry
from rmtsim.store import Store
from rmtsim.store.verify import verify
from rmtsim.sweeps import loop
from rmtsim.sweeps.experiment import Experiment
from rmtsim.sweeps.progress import Progress
from rmtsim.sweeps.runner import run
from rmtsim.sweeps.spec import from_document
from rmtsim.sweeps.table_runner import run_tables

ROOT = Path(__file__).parents[1]
GOES_ON = "what was committed is safe, the same command goes on"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Register the figures of that process for a test; return the faults of their tables."""
    registry.all_figures()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(tables_process, "order", dict(tables_process.order))
    for kind in (Squares, Cubes, Mixed):
        register(kind)
    return tables_process.order


def command(folder: Path, *words: str, names: Sequence[str] = ("squares", "cubes"), **faults: Any) -> list[str]:
    script = [sys.executable, "-m", "harness.tables_process", json.dumps(faults)]
    return [*script, "reproduce", *names, "--out", str(folder), *words]


def tables_in(folder: Path, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "store/experiments" / name).glob("*.parquet")}


def test_a_table_that_fails_stops_no_other_figure(
    figures: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures["fails"] = "squares-1"
    line = ["reproduce", "squares", "cubes", "--out", str(tmp_path), "--workers", "2"]
    assert main(line) == 1
    err = capsys.readouterr().err
    assert "squares: squares-1 failed 3 times: no luck\n" in err
    assert "squares: 3 new tables; 3 of 4 tables done; 1 table failed, the same command tries it again\n" in err
    assert "squares: left out: 1 of its 4 tables failed: no luck\n" in err
    assert (tmp_path / "cubes.png").exists()
    assert not (tmp_path / "squares.png").exists()
    figures["fails"] = ""
    assert main(line) == 0
    err = capsys.readouterr().err
    assert "squares: 1 new table; 4 of 4 tables done\n" in err
    assert "cubes: nothing to do; 4 of 4 tables done\n" in err
    assert (tmp_path / "squares.png").exists()


def test_fail_fast_ends_with_the_first(
    figures: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures["fails"] = "squares-0"
    assert main(["reproduce", "squares", "cubes", "--out", str(tmp_path), "--workers", "1", "--fail-fast"]) == 1
    assert "1 table failed, the same command tries it again" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))
    assert not (tmp_path / "store/experiments/cubes").exists()


def test_a_time_limit_is_that_of_all_figures_and_the_same_command_goes_on(
    figures: dict[str, object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a clock that each look of the loop moves by a second, while a table takes minutes."""
    line = ["reproduce", "squares", "cubes", "--out", str(tmp_path), "--workers", "1"]
    figures["steps"] = 10_000
    with monkeypatch.context() as patch:
        seconds = count()
        patch.setattr("rmtsim.sweeps.loop.time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
        assert main([*line, "--time-limit", "4s"]) == 3
    err = capsys.readouterr().err
    assert f"stopped (time limit): {GOES_ON}\n" in err
    assert not (tmp_path / "store/experiments/cubes").exists()
    figures["steps"] = 0
    assert main(line) == 0
    assert f"{tmp_path / 'cubes'}.png, .pdf: drawn" in capsys.readouterr().err


def test_a_killed_reproduce_goes_on(tmp_path: Path) -> None:
    """After SIGKILL and after SIGTERM; what was made stays as it is, and a table goes on from its saved state."""
    killed = subprocess.run(
        command(tmp_path, "--workers", "1", kill="squares-2", steps=3), cwd=ROOT, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    made = tables_in(tmp_path, "squares")
    assert len(made) == 2
    assert [finding.kind for finding in verify(Store(tmp_path / "store")).findings] == ["unfinished"]
    slow = command(tmp_path, "--workers", "1", steps=1200)
    with subprocess.Popen(slow, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        begun = time.monotonic()
        states = tmp_path / "store/experiments/squares"
        while not any(path.read_bytes()[16:] > b"1" for path in states.glob("_*.looks")):
            assert time.monotonic() - begun < 120
            time.sleep(0.02)
        process.terminate()
        err = process.communicate()[1]
    assert process.returncode == 3, err
    assert "squares: interrupted: stops; waits for 1 table, at most 25 s; Ctrl-C or SIGTERM again leaves at once" in err
    assert f"squares: 0 new tables; 2 of 4 tables done; stopped (interrupted): {GOES_ON}" in err
    assert "Traceback" not in err
    assert tables_in(tmp_path, "squares") == made
    done = subprocess.run(command(tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "squares: 2 new tables; 4 of 4 tables done" in done.stderr
    assert made.items() <= tables_in(tmp_path, "squares").items()
    rows = Squares().tables().read(tmp_path / "store").set_index("k")
    assert rows["power"].tolist() == [0, 1, 4, 9]
    assert rows.loc[2, "begun"] > 0
    assert not list(states.glob("_*.looks"))
    assert not verify(Store(tmp_path / "store")).findings


@pytest.mark.ray
def test_on_ray_the_same_tables(figures: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Training runs and tables of figures are the same to the bit, and one that fails is tried as often.

    In a process of its own: Ray changes the environment and leaves threads behind.
    """
    on_ray = subprocess.run(
        command(tmp_path / "ray", "--address", "ray", "--workers", "1", names=["mixed"], fails="mixed-3"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    figures["fails"] = "mixed-3"
    assert main(["reproduce", "mixed", "--out", str(tmp_path / "here")]) == on_ray.returncode == 1
    for said in (on_ray.stderr, capsys.readouterr().err):
        assert "mixed: mixed-3 failed 3 times: no luck" in said
        assert "mixed: 12 new tables; 12 of 13 tables done; 1 table failed" in said
    assert len(tables_in(tmp_path / "ray", "mixed")) == 12
    assert tables_in(tmp_path / "ray", "mixed") == tables_in(tmp_path / "here", "mixed")
    figures["fails"] = ""
    assert main(["reproduce", "mixed", "--out", str(tmp_path / "ray")]) == 0
    assert "mixed: 1 new table; 13 of 13 tables done\n" in capsys.readouterr().err
    assert (tmp_path / "ray/mixed.png").exists()


def test_draws_and_tables_go_through_the_same_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One function drives both, with one kind of record of their progress and one kind of failure."""
    driven: list[str] = []
    drive = loop.drive

    def watched(scheduler: Any, executor: Any, committer: Any, *more: Any) -> str:
        driven.append(type(scheduler).__name__)
        return drive(scheduler, executor, committer, *more)

    monkeypatch.setattr(loop, "drive", watched)
    spec = from_document(
        {
            "name": "tiny",
            "model": "linear",
            "loss": "mse",
            "grid": {"n_classes": [3], "aspect_ratio": [1], "dim": [4]},
            "sampling": {"min_draws": 4, "max_draws": 4},
        }
    )
    store, records = Store(tmp_path / "s"), list[Progress]()
    drawn = run(spec, store, workers=1, backend="numpy", on_progress=records.append)
    made = run_tables(Squares().tables(), store, workers=1, on_progress=records.append)
    assert driven == ["DrawScheduler", "TableScheduler"]
    assert (drawn.new_draws, made.new_tables, drawn.stopped, made.stopped) == (4, 4, "", "")
    last = {record.name: record for record in records}
    assert {name: (one.unit, one.done, one.finished, one.total, one.failures) for name, one in last.items()} == {
        "tiny": ("draw", 4, 1, 1, ()),
        "squares": ("table", 4, 4, 4, ()),
    }
    assert str(last["squares"]) == "squares: 4/4 tables, 1 worker"


def test_a_group_is_a_list_of_experiments(tmp_path: Path) -> None:
    """Its tables stay in the folders of their own experiments, and none is made twice."""
    squares, cubes = Squares().tables(), Cubes().tables()
    group = Experiment("powers", parts=[squares, cubes])
    assert run_tables(squares, tmp_path).new_tables == 4
    assert run_tables(group, tmp_path).new_tables == 4
    pd.testing.assert_frame_equal(
        group.read(tmp_path), pd.concat([squares.read(tmp_path), cubes.read(tmp_path)], ignore_index=True)
    )
    assert not cubes.missing(tmp_path)
