"""`plan`, `run` and `status` of the tables that a figure shows, and `reproduce` after them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

from rmtsim.cli.main import main
from rmtsim.figures import all_figures, get_figure
from rmtsim.paper.simo import Simo
from rmtsim.sweeps.experiment import Experiment


def few(full: bool = False) -> Experiment:
    """Three of the tables of simo."""
    return Experiment("simo", Simo().tables(full).tasks[:3])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    simo_figure = get_figure("simo")
    monkeypatch.setattr(simo_figure, "tables", few)
    monkeypatch.setattr(simo_figure, "numbers", lambda rows: rows)
    monkeypatch.setattr(simo_figure, "plot", lambda numbers: Drawing())
    monkeypatch.setattr(simo_figure, "text", lambda numbers: f"{len(numbers)} rows")


@pytest.mark.usefixtures("small")
def test_plan_run_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    line = ["simo", "--store", str(out / "store")]
    assert main(["plan", *line, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["summary"].startswith("simo: 3 tables: 0 done, 3 new; about ")
    assert sum(run["core_seconds"] for run in planned["runs"]) > 0
    assert not out.exists()
    assert main(["run", *line, "--workers", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tables"] == 3
    assert main(["status", "--store", str(out / "store")]) == 0
    assert capsys.readouterr().out == "simo: 3 tables: 3 done, 0 begun\n"
    assert main(["plan", *line]) == 0
    assert "3 done, 0 new" in capsys.readouterr().out
    assert main(["run", *line]) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert main(["plan", *line, "--full"]) == 0
    said = capsys.readouterr()
    assert "0 done, 3 new" in said.out
    assert "simo: the store has a spec of this name that differs in full; a run puts this one in its place" in said.err


@pytest.mark.usefixtures("small")
def test_reproduce_only_draws_what_was_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "simo", "--store", str(tmp_path / "store")]) == 0
    tables = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(["reproduce", "simo", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "simo: nothing to do" in said.err
    assert said.out == f"{sum(len(task.compute()) for task in few().tasks)} rows\n"
    assert {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()} == tables


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["fig1"], "fig1 needs CIFAR-100, .* `rmtsim reproduce fig1 --data FOLDER` makes it"),
        (["fig8"], "fig8 is a figure, which shows the draws of a sweep; give the sweep: figure8"),
        (
            ["fig88"],
            r"there is no 'fig88' \(did you mean figure8\?\); give a .toml file, or one of .*figure8, .*training, "
            "fig2, .*training_spectra",
        ),
        (
            ["simo", "--memory", "1MiB"],
            "memory: the table .* takes 220 MiB, Python included, and there are 1 MiB; give more memory, or smaller",
        ),
        (
            ["figure8", "--full"],
            "--full: figure8 is a spec, which has sizes of its own; leave it out, or give the name of a figure",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_bad_input(verb: str, line: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, *line, "--store", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert pd.Series([said]).str.contains(words).all(), said
    assert not (tmp_path / "store").exists()


def test_figures_are_computed_with_numpy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "simo", "--backend", "cupy", "--store", str(tmp_path / "store")]) == 2
    assert "--backend: the tables of simo are made with NumPy; give numpy or auto" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_help_names_the_figures_of_experiments(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    named = {name for name, figure in all_figures().items() if not figure.specs} - {"fig1"}
    assert len(named) > 15
    assert named <= set(words)
