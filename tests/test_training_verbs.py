"""`plan`, `run` and `status` of training runs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from rmtsim.cli.main import main
from tests.test_training_spec import SMALL


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SMALL.replace("draws = 2", "draws = 1"))
    return str(path)


def test_plan_run_status(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "store")
    assert main(["plan", spec, "--store", store, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert {run["state"] for run in planned["runs"]} == {"new"}
    assert len(planned["runs"]) == 12
    assert not Path(store).exists()
    assert main(["run", spec, "--store", store, "--workers", "2"]) == 0
    assert "12 of 12" in capsys.readouterr().err
    assert main(["status", "--store", store]) == 0
    assert capsys.readouterr().out == "small: 12 training runs: 12 done, 0 begun\n"
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
    Path(spec).write_text(Path(spec).read_text().replace("steps = 20", "steps = 2000"))
    assert main(["run", spec, "--store", store, "--time-limit", "0.1s", "--json"]) == 3
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["missing"] > 0
    assert "the same call goes on" in outcome["stopped"]
    assert main(["status", "--store", store, "--json"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert not shown["complete"]
    assert shown["trainings"][0]["begun"] >= 1


def test_bad_input_writes_nothing(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(spec).write_text(Path(spec).read_text().replace('"clusters:4"', '"clusters:none"'))
    for verb in ("plan", "run"):
        assert main([verb, spec, "--store", str(tmp_path / "store")]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "[grid] data" in said
    assert not (tmp_path / "store").exists()
