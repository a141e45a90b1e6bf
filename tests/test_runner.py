"""Sweeps: the same rows whatever happens on the way."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import FrozenInstanceError
from pathlib import Path

import pandas as pd
import pytest

import rmtsim
from harness.specs import SMALL, SPEC, spec_of
from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.store import Store
from rmtsim.sweeps import loop
from rmtsim.sweeps.display import ProgressDisplay
from rmtsim.sweeps.progress import Progress
from rmtsim.sweeps.runner import run
from rmtsim.sweeps.spec import from_document

HEAVY = """
name = "heavy"
model = "linear"
loss = "ce"
[grid]
n_classes = [2, 3, 5, 8, 12, 20, 30, 50]
aspect_ratio = [0.5]
dim = [400]
[sampling]
min_draws = 24
max_draws = 48
target_rse = 0.002
"""


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_rows_are_those_of_simulate(undisturbed: pd.DataFrame) -> None:
    point = rmtsim.Point("one_hidden", "ce", 10, 30, 60, 4)
    mine = undisturbed[undisturbed["point_id"] == point.id]
    rows = rmtsim.simulate(point, mine["draw"].nunique(), seed=5).sort_values(["draw", "layer"], ignore_index=True)
    pd.testing.assert_frame_equal(mine.reset_index(drop=True), rows, check_exact=True)


def test_points_stop_where_their_precision_says(tmp_path: Path) -> None:
    text = SMALL.format(max_draws=400, target_rse=0.02).replace("one_hidden", "linear").replace("width = [4]", "")
    run(spec_of(text, tmp_path), Store(tmp_path / "s"), workers=2, backend="numpy")
    draws = Store(tmp_path / "s").read().groupby("point_id")["draw"].nunique()
    assert draws.min() >= 8
    assert draws.max() <= 400
    assert draws.nunique() > 1


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_change_nothing(workers: int, tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    run(spec_of(SPEC, tmp_path), Store(tmp_path / "s"), workers=workers, backend="numpy")
    pd.testing.assert_frame_equal(Store(tmp_path / "s").read(), undisturbed, check_exact=True)


def test_batch_size_changes_nothing(tmp_path: Path, undisturbed: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = random.Random(0)
    monkeypatch.setattr("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: sizes.randint(1, 5))
    monkeypatch.setattr("rmtsim.sweeps.loop.COMMIT_EVERY", 0.0)
    run(spec_of(SPEC, tmp_path), Store(tmp_path / "s"), workers=2, backend="numpy")
    assert len(Store(tmp_path / "s").shards()) > undisturbed["point_id"].nunique() * 3
    pd.testing.assert_frame_equal(Store(tmp_path / "s").read(), undisturbed, check_exact=True)


@pytest.mark.ray
def test_ray_gives_the_same_rows(tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    """In a process of its own: Ray changes the environment and leaves threads behind.

    Neither it nor its workers run what stands in the folder where the command is typed.
    """
    (tmp_path / "spec.toml").write_text(SPEC)
    for name in ("sweeps", "numpy", "ray", "pandas"):
        text = f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\nraise SystemExit(9)\n"
        (tmp_path / f"{name}.py").write_text(text)
    line = ["run", "spec.toml", "--store", "s", "--address", "ray", "--workers", "2", "--backend", "numpy"]
    done = subprocess.run(
        [sys.executable, "-m", "rmtsim", *line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert not (tmp_path / "ran").exists()
    assert done.returncode in (0, 4), done.stderr
    assert done.stdout == ""
    pd.testing.assert_frame_equal(Store(tmp_path / "s").read(), undisturbed, check_exact=True)


def test_no_ray_answers(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    line = ["run", "spec.toml", "--store", "s", "--address", "127.0.0.1:1", "--backend", "numpy"]
    done = subprocess.run(
        [sys.executable, "-m", "rmtsim", *line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "no Ray answers at '127.0.0.1:1'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()


def test_a_finished_sweep_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.toml").write_text(SPEC)
    line = ["run", str(tmp_path / "spec.toml"), "--store", str(tmp_path / "s"), "--backend", "numpy"]
    first = main(line)
    before = snapshot(tmp_path / "s")
    capsys.readouterr()
    assert main(line) == first
    assert "nothing to do" in capsys.readouterr().err
    assert snapshot(tmp_path / "s") == before


def test_arguments_are_looked_at_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there is nothing to do, and before a plan is made."""
    (tmp_path / "spec.toml").write_text(SPEC)
    line = ["run", str(tmp_path / "spec.toml"), "--store", str(tmp_path / "s"), "--backend", "numpy"]
    done = main(line)
    monkeypatch.setattr("rmtsim.sweeps.plan.plan", lambda *_: pytest.fail("a plan was made"))
    monkeypatch.setattr("rmtsim.arrays.gpu_device.problem", lambda: "there is no GPU")
    for wrong, words in (
        (["--address", "somewhere"], "address: 'somewhere' is not valid; give local, ray, or a running"),
        (["--backend", "cupy"], "backend: 'cupy' was asked for, but there is no GPU; choose numpy or auto"),
    ):
        for verb in (line, ["reproduce", "fig8", "--out", str(tmp_path / "out")]):
            capsys.readouterr()
            assert main([*verb, *wrong]) == 2
            said = capsys.readouterr().err
            assert words in said
            assert said.count("\n") == 1
        with pytest.raises(InputError, match=words.partition(";")[0]):
            rmtsim.run(tmp_path / "spec.toml", tmp_path / "s", **{wrong[0].removeprefix("--"): wrong[1]})  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    assert main([*line, "--address", "head:6379"]) == done  # there is nothing to do, so that it is not asked
    assert "nothing to do" in capsys.readouterr().err


def test_kills_cost_nothing_that_was_stored(tmp_path: Path) -> None:
    """SIGKILL at random moments, then a run to the end: rows equal an undisturbed run's, bit for bit."""
    spec = spec_of(HEAVY, tmp_path)
    run(spec, Store(tmp_path / "whole"), workers=2, backend="numpy")
    whole = Store(tmp_path / "whole").read()
    line = [sys.executable, "-m", "rmtsim", "run", "spec.toml", "--store", "s", "--backend", "numpy", "--workers", "2"]
    rng, killed, stored = random.Random(0), 0, 0
    for _ in range(4):
        process = subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(Store(tmp_path / "s").shards()) <= stored and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        stored = len(Store(tmp_path / "s").shards())
        rows = Store(tmp_path / "s").read()  # readable after every kill, and part of the whole
        assert len(rows.merge(whole)) == len(rows)
    assert killed >= 3
    assert 0 < len(rows) < len(whole)
    run(spec, Store(tmp_path / "s"), workers=2, backend="numpy")
    pd.testing.assert_frame_equal(Store(tmp_path / "s").read(), whole, check_exact=True)


def test_missing_layers_are_filled_in(tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    store = Store(tmp_path / "s")
    run(spec_of('layers = ["output"]\n' + SPEC, tmp_path), store, workers=1, backend="numpy")
    assert set(store.read()["layer"]) == {"output"}
    run(spec_of(SPEC, tmp_path), store, workers=1, backend="numpy")
    rows = store.read()
    assert len(rows.merge(undisturbed)) == len(undisturbed)
    assert not rows.duplicated(["point_id", "seed", "draw", "layer"]).any()


def test_a_writer_that_was_before_us_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run finishes between our look at the store and our lock: no row is stored twice."""
    spec, store = spec_of(SPEC, tmp_path), Store(tmp_path / "s")
    opened = loop.open_executor

    def slowly(*arguments: object) -> object:
        monkeypatch.setattr(loop, "open_executor", opened)
        run(spec_of('layers = ["output"]\n' + SPEC, tmp_path), store, workers=1, backend="numpy")
        return opened(*arguments)

    monkeypatch.setattr(loop, "open_executor", slowly)
    run(spec, store, workers=1, backend="numpy")
    assert not store.read().duplicated(["point_id", "seed", "draw", "layer"]).any()


def test_progress_says_points_speed_and_time_to_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rmtsim.sweeps.display._PLAIN_EVERY", 0.0)
    monkeypatch.setattr("rmtsim.sweeps.loop.COMMIT_EVERY", 0.0)
    monkeypatch.setattr("rmtsim.sweeps.pace.Pace.batch_draws", lambda *_: 4)
    with ProgressDisplay("small") as display:
        run(
            spec_of(SPEC, tmp_path),
            Store(tmp_path / "s"),
            workers=1,
            backend="numpy",
            on_progress=display.update,
            on_message=display.say,
        )
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "small: a target_rse above 5% is not trusted, so points go on until 5% are reached"
    assert all(re.match(r"small: \d/6 points, \d+ draws, \d+\.\d draws/s, 1 worker", line) for line in lines)
    assert any(re.search(r"C = 2, .*: rse \d+\.\d+% → 5.00%, \d+ of about \d+ draws", line) for line in lines)
    assert any("to go" in line for line in lines)
    assert lines[-1].startswith("small: 6/6 points")


def test_another_dtype_in_one_store_is_refused(tmp_path: Path) -> None:
    run(spec_of(SPEC, tmp_path), Store(tmp_path / "s"), workers=1, backend="numpy")
    before = snapshot(tmp_path / "s")
    with pytest.raises(rmtsim.InputError, match="float64, not float32"):
        run(spec_of(SPEC + 'dtype = "float32"\n', tmp_path), Store(tmp_path / "s"), workers=1, backend="numpy")
    assert snapshot(tmp_path / "s") == before


def test_status_and_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "spec.toml").write_text(SPEC.replace("max_draws = 60", "max_draws = 12"))
    spec, store = str(tmp_path / "spec.toml"), str(tmp_path / "s")
    assert main(["plan", spec, "--store", store]) == 0
    assert "6 points: 0 done, 0 partial, 6 new, 0 limited; 72 draws to make" in capsys.readouterr().out
    assert not (tmp_path / "s").exists()
    assert main(["run", spec, "--store", store, "--backend", "numpy"]) == 4
    before = snapshot(tmp_path / "s")
    assert main(["status", "--store", store]) == 4
    text = capsys.readouterr().out
    assert "too few, raise max_draws" in text
    assert main(["status", "--store", store, "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["complete"] is False
    assert document["exit_code"] == 4
    assert len(document["points"]) == 6
    assert {"state", "draws", "rse", "target_rse", "needs_draws"} <= set(document["points"][0])
    assert main(["plan", spec, "--store", store]) == 0
    assert re.search(r"0 new, \d limited; 0 draws to make", capsys.readouterr().out)
    assert snapshot(tmp_path / "s") == before


def test_status_of_a_complete_store_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = from_document(
        {
            "name": "easy",
            "model": "linear",
            "loss": "mse",
            "grid": {"n_classes": [3], "aspect_ratio": [1], "dim": [20]},
            "sampling": {"target_rse": 0.5},
        }
    )
    run(document, Store(tmp_path / "s"), workers=1, backend="numpy")
    assert main(["status", "--store", str(tmp_path / "s")]) == 0
    assert "easy: 1 point: 1 done; 16 draws" in capsys.readouterr().out


def test_exact_and_sampled_draws_are_not_mixed(tmp_path: Path) -> None:
    grid = {"n_classes": [5000], "aspect_ratio": [0.5], "dim": [10]}
    documents = {
        diagonal: {
            "name": "mix", "model": "linear", "loss": "ce", "grid": grid,
            "sampling": {"min_draws": 4, "max_draws": 4, "diagonal": diagonal},
        }
        for diagonal in ("auto", "exact")
    }  # fmt: skip
    specs = {diagonal: from_document(document) for diagonal, document in documents.items()}
    store = Store(tmp_path / "s")
    run(specs["auto"], store, backend="numpy", workers=1)
    assert set(store.read()["classes"]) == {512}
    with pytest.raises(rmtsim.InputError, match="from 512 of 5000 classes, not 5000"):
        run(specs["exact"], store, backend="numpy", workers=1)


def test_a_callable_gets_a_record_of_every_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtsim.sweeps.loop.COMMIT_EVERY", 0.0)
    records: list[Progress] = []
    store = Store(tmp_path / "s")
    outcome = run(spec_of(SPEC, tmp_path), store, workers=1, backend="numpy", on_progress=records.append)
    assert {(record.name, record.unit, record.total) for record in records} == {("small", "draw", 6)}
    assert [record.done for record in records] == sorted(record.done for record in records)
    last = records[-1]
    assert (last.done, last.finished, last.open_points, last.failures) == (outcome.new_draws, 6, (), ())
    assert last.done == store.read().groupby(["point_id", "draw"]).ngroups
    assert {record.workers for record in records} == {1}
    with pytest.raises(FrozenInstanceError):
        last.done = 0  # type: ignore[misc]
