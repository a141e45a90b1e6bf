"""`plan`, `run` and `status` of training runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.specs import TRAININGS
from rmtsim.cli.main import main
from rmtsim.full_hessian.propagation import loss_and_gradient


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(TRAININGS.replace("draws = 2", "draws = 1"))
    return str(path)


def test_plan_run_status(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "store")
    assert main(["plan", spec, "--store", store, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert {run["state"] for run in planned["runs"]} == {"new"}
    assert len(planned["runs"]) == 12
    assert not Path(store).exists()
    assert main(["run", spec, "--store", store, "--workers", "2"]) == 0
    assert "12 new tables; 12 of 12 tables done" in capsys.readouterr().err
    assert main(["status", "--store", store]) == 0
    assert capsys.readouterr().out == "small: 12 tables: 12 done, 0 begun\n"
    assert main(["run", spec, "--store", store]) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert main(["plan", spec, "--store", store]) == 0
    assert "12 done, 0 new" in capsys.readouterr().out
    rows = pd.concat(map(pd.read_parquet, Path(store, "experiments", "small").glob("*.parquet")))
    losses = rows[(rows["quantity"] == "loss") & (rows["layer"] == 0)].groupby("progress")["value"].mean()
    assert losses[1.0] < losses[0.0]


def test_a_time_limit_stops_and_the_same_command_goes_on(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "store")
    Path(spec).write_text(Path(spec).read_text().replace("steps = 20", "steps = 5000"))
    assert main(["run", spec, "--store", store, "--time-limit", "0.1s", "--json"]) == 3
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["missing"] > 0
    assert outcome["missing"] + outcome["tables"] == 12
    assert outcome["stopped"] == "time limit"
    assert main(["status", "--store", store, "--json"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert not shown["complete"]
    assert shown["experiments"][0]["begun"] >= 1


def test_what_lies_beside_the_tables_is_none(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """pandas reads the folder of an experiment while it runs, and status counts what has begun."""
    store, folder = str(tmp_path / "store"), tmp_path / "store" / "experiments" / "small"
    assert main(["run", spec, "--store", store]) == 0
    table = pd.read_parquet(folder)
    [one, *_] = sorted(folder.glob("*.parquet"))
    for suffix, content in ((".run", b"weights"), (".step0", one.read_bytes())):
        (folder / f"_{one.stem}{suffix}").write_bytes(content)
    assert len(pd.read_parquet(folder)) == len(table)
    assert (folder / "_spec.json").exists()
    one.unlink()
    capsys.readouterr()
    assert main(["status", "--store", store]) == 3
    assert capsys.readouterr().out == "small: 12 tables: 11 done, 1 begun\n"


def test_failures_are_reported(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In threads: those with one loss fail, the others are made."""

    def diverges(X: Any, weights: Any, y: Any, loss: str, activation: Any) -> Any:
        value, gradient = loss_and_gradient(X, weights, y, loss, activation)
        return (float("nan") if loss == "binary_ce" else value), gradient

    monkeypatch.setattr("rmtsim.training.adam.loss_and_gradient", diverges)
    line = ["run", spec, "--store", str(tmp_path / "store"), "--workers", "1", "--json"]
    assert main(line) == 1
    said = capsys.readouterr()
    outcome = json.loads(said.out)
    assert (outcome["tables"], outcome["missing"], outcome["stopped"]) == (6, 6, "")
    assert all(failure["run"].startswith("binary_ce-c02-d4-n12-") for failure in outcome["failures"])
    reason = "training: the loss is nan after 0 steps; give a smaller learning_rate"
    assert [failure["reason"] for failure in outcome["failures"]] == [reason] * 6
    assert said.err.count(f" failed 3 times: {reason}") == 6
    assert main([*line, "--fail-fast"]) == 1
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["stopped"], len(outcome["failures"]), outcome["missing"]) == ("failure", 1, 6)


def test_a_spec_that_takes_anothers_place_is_announced(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "store")
    assert main(["run", spec, "--store", store]) == 0
    assert "replaces" not in capsys.readouterr().err
    Path(spec).write_text(Path(spec).read_text().replace("draws = 1", "draws = 2\nseed = 0").replace("[6]", "[6, 7]"))
    told = "small: the store has a spec of this name that differs in grid, sampling; a run puts this one in its place\n"
    for verb, runs in (("plan", 12), ("run", 48)):
        assert main([verb, spec, "--store", store]) == 0
        assert told in capsys.readouterr().err
        assert main(["status", "--store", store]) == 0
        assert f"{runs} tables: {runs} done" in capsys.readouterr().out
    assert main(["plan", spec, "--store", store]) == 0
    assert "replaces" not in capsys.readouterr().err


def test_status_needs_no_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", X=np.eye(12, 4), y=np.arange(12) % 2)
    text = TRAININGS.replace('"clusters:4"', '"mine.npz"').replace("draws = 2", "draws = 1")
    Path("own.toml").write_text(text.replace('"small"', '"own"'))
    Path("small.toml").write_text(TRAININGS)
    assert main(["run", "own.toml", "--store", "store"]) == main(["run", "small.toml", "--store", "store"]) == 0
    Path("mine.npz").unlink()
    capsys.readouterr()
    assert main(["status", "--store", "store"]) == 0
    assert capsys.readouterr().out == "own: 12 tables: 12 done, 0 begun\nsmall: 24 tables: 24 done, 0 begun\n"
    kept = Path("store/experiments/own/_spec.json")
    kept.write_text(json.dumps(json.loads(kept.read_text())["spec"]))  # as earlier versions kept it
    assert main(["status", "--store", "store"]) == 3
    told = f"own: {kept} does not name its tables; run its spec again to go on with it"
    assert capsys.readouterr().out == f"{told}\nsmall: 24 tables: 24 done, 0 begun\n"
    assert main(["run", "own.toml", "--store", "store"]) == 2  # this needs them
    assert "mine.npz cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ("dim = [5]", "dim: 5 is not valid; X of mine.npz has 4 columns"),
        ("samples_per_class = [7]", "n_samples: 14 is not valid; mine.npz has 12 samples"),
        ('data = ["gaussian", "none.npz"]', "none.npz cannot be read"),
    ],
)
def test_data_that_do_not_fit_write_nothing(
    grid: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", X=np.eye(12, 4), y=np.arange(12) % 2)
    text = TRAININGS.replace('"clusters:4"', '"mine.npz"')
    key = grid.split(" =")[0]
    Path("own.toml").write_text(re.sub(rf"^{key} = .*$", grid, text, flags=re.MULTILINE))
    for line in (["plan", "own.toml"], ["plan", "own.toml", "--json"], ["run", "own.toml"]):
        assert main([*line, "--store", "store"]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert words in said.err
    assert not Path("store").exists()


def test_bad_input_writes_nothing(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(spec).write_text(Path(spec).read_text().replace('"clusters:4"', '"clusters:none"'))
    for verb in ("plan", "run"):
        assert main([verb, spec, "--store", str(tmp_path / "store")]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "[grid] data" in said
        for option, words in (
            (["--memory", "1MiB"], "memory: the table "),
            (["--full"], "--full: training is a spec"),
        ):
            assert main([verb, "training", "--store", str(tmp_path / "store"), *option]) == 2
            assert words in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_what_does_not_fit_is_refused(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(spec).read_text().replace("[3, 2]", "[8000, 8000]")
    Path(spec).write_text(text)
    for verb in ("plan", "run"):
        assert main([verb, spec, "--store", str(tmp_path / "store")]) == 2
        assert re.search(r"\[grid\]: .* would hold .* and this machine has .*; give smaller", capsys.readouterr().err)
    assert not (tmp_path / "store").exists()


def test_a_table_whose_name_no_file_system_takes_is_refused(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(spec).write_text(Path(spec).read_text().replace("[3, 2]]", str([2] * 80) + "]"))
    for verb in ("plan", "run"):
        assert main([verb, spec, "--store", str(tmp_path / "store")]) == 2
        assert "[grid] hidden: the name of a table would have" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
