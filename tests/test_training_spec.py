"""Specs of training runs: what they say, what they refuse, and that they give the same tables wherever they run."""

from __future__ import annotations

import copy
import json
import re
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest

from harness.specs import TRAININGS
from rmtsim import InputError
from rmtsim.store import Store
from rmtsim.sweeps.documents import builtin
from rmtsim.sweeps.experiment import table_file
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.sweeps.training_spec import TrainingSpec, builtin_trainings, from_document, load_any
from rmtsim.training.adam import Run


def document() -> dict[str, Any]:
    return tomllib.loads(TRAININGS)


def test_the_grid_is_a_product() -> None:
    spec = from_document(document())
    assert len(spec.problems) == 2 * 3 * 2
    assert len(spec.experiment().tasks) == 24
    assert {problem.n_samples for problem in spec.problems} == {12}
    assert len({table_file(task) for task in spec.experiment().tasks}) == 24


def test_stored_documents_are_what_was_written() -> None:
    """With the keys that were given, though they have their default, and no others."""
    for text in (TRAININGS, builtin()["training"]):
        assert json.dumps(from_document(tomllib.loads(text)).document()) == json.dumps(tomllib.loads(text))
    wider = attrs.evolve(from_document(document()), draws=3, steps=40)
    longer = document()["training"] | {"steps": 40}
    assert wider.document() == document() | {"sampling": {"draws": 3}, "training": longer}
    assert len(wider.experiment().tasks) == 36
    assert wider.schedule.steps == 40


def test_a_spec_made_in_python_is_that_of_a_document() -> None:
    made = TrainingSpec(
        name="small",
        loss=["ce", "binary_ce"],
        n_classes=[2],
        dim=[4],
        samples_per_class=[6],
        hidden=[[], [3], [3, 2]],
        data=["gaussian", "clusters:4"],
        steps=20,
        learning_rate=0.05,
        checkpoints=[0, 1],
        draws=2,
    )
    assert made == from_document(document())
    assert made.document() == document()
    assert attrs.evolve(made, blocks=np.True_).look.blocks is True
    with pytest.raises(InputError, match=r"\[grid\] hidden: 8 is not valid; give lists of widths"):
        attrs.evolve(made, hidden=[8])
    with pytest.raises(InputError, match=r"\[training\] checkpoints: .* is not valid without steps"):
        attrs.evolve(made, steps=0)


def test_built_in_specs() -> None:
    for name in builtin_trainings():
        spec = load_any(name)
        assert isinstance(spec, TrainingSpec)
        assert spec.name == name
        assert len(spec.schedule.checkpoints) == 6
    assert isinstance(load_any("figure8"), Spec)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("name", "a b", "name: 'a b' is not valid"),
        ("loss", ["hinge"], "loss: 'hinge' is not known"),
        ("loss", "ce", "loss: 'ce' is not valid; give a list"),
        ("model", "linear", "model: there is no such key"),
        ("grid.n_classes", [3], "n_classes: 3 does not go with loss 'binary_ce'; give 2"),
        ("grid.hidden", [8], r"\[grid\] hidden: 8 is not valid; give lists of widths"),
        ("grid.hidden", [[0]], r"\[grid\] hidden: 0 is not valid"),
        ("grid.n_samples", [5], r"\[grid\]: give one of n_samples and samples_per_class"),
        ("grid.data", ["moons"], r"\[grid\] data: "),
        ("grid.data", [3], r"\[grid\] data: 3 is not valid"),
        ("grid.width", [3], r"\[grid\] width: there is no such key"),
        ("training.steps", -1, r"\[training\] steps: -1 is not valid"),
        ("training.rate", 1, r"\[training\] rate: there is no such key"),
        ("training.checkpoints", 1, r"\[training\] checkpoints: 1 is not valid; give a list with at least one value"),
        ("training.checkpoints", [0, 2], r"\[training\] checkpoints: 2 is not valid; give a number from 0 to 1"),
        ("training.learning_rate", 0, r"\[training\] learning_rate: 0 is not valid; give a positive number, say 1e-4"),
        ("training.checkpoints", [1, 0], r"\[training\] checkpoints: .* ascending"),
        ("training.dtype", "float16", r"\[training\] dtype: 'float16' is not known"),
        ("sampling.draws", 0, r"\[sampling\] draws: 0 is not valid"),
        ("sampling.seed", -1, r"\[sampling\] seed: -1 is not valid"),
        ("look.cells", "all", r"\[look\] cells: 'all' is not valid"),
        ("look.blocks", 1, r"\[look\] blocks: 1 is not valid; give true or false"),
        ("look.maps", 1, r"\[look\] maps: there is no such key"),
        ("sampling.draws", 10_000, r"\[grid\]: 12 problems of 10000 draws are too many; give at most 100000 runs"),
    ],
)
def test_bad_documents(path: str, value: object, sentence: str) -> None:
    changed: dict[str, Any] = copy.deepcopy(document())
    *tables, key = path.split(".")
    table = changed
    for name in tables:
        table = table.setdefault(name, {})
    table[key] = value
    with pytest.raises(InputError, match=sentence):
        from_document(changed)


def test_what_is_too_much_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtsim.sweeps.training_spec.Problem", lambda *arguments: pytest.fail("a problem was made"))
    grid = document()["grid"] | {"dim": list(range(1, 100_000)), "samples_per_class": list(range(1, 10_000))}
    with pytest.raises(InputError, match="11998680012 problems of 2 draws are too many"):
        from_document(document() | {"grid": grid})


def test_runs_have_names_of_their_own(tmp_path: Path) -> None:
    """Whatever differs stands in the label, and the data in the table."""
    rng = np.random.default_rng(0)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "mine.npz", X=rng.standard_normal((20, 4)), y=rng.integers(2, size=20))
    files = [str(tmp_path / folder / "mine.npz") for folder in ("a", "b")]
    grid = {
        "n_classes": [2, 3],
        "dim": [4],
        "n_samples": [6, 12],
        "hidden": [[], [3], [3, 2]],
        "data": ["clusters:2", "clusters:20", "clusters:2:standard:0.05", *files],
    }
    experiment = from_document(document() | {"loss": ["ce", "mse"], "grid": grid}).experiment()
    labels = [task.label for task in experiment.tasks]
    assert len(labels) == 2 * 2 * 2 * 3 * 5 * 2
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", label) for label in labels)
    assert "ce-c02-d4-n12-3-2-clusters-20-draw001" in labels
    wider = from_document(document() | {"loss": ["ce"], "grid": document()["grid"] | {"dim": [4, 5]}}).experiment()
    assert len({task.label for task in wider.tasks}) == 24
    small = grid | {"n_classes": [2], "n_samples": [12], "hidden": [[]]}
    few = from_document(document() | {"loss": ["ce"], "grid": small, "sampling": {"draws": 1}}).experiment()
    run_tables(few, tmp_path / "store")
    data = few.read(tmp_path / "store")["data"].unique().tolist()
    assert data[:3] == ["clusters:2", "clusters:20", "clusters:2:standard:0.05"]
    assert [re.sub("@.*", "", text) for text in data[3:]] == ["mine.npz", "mine.npz"]
    assert len(set(data)) == 5


def test_two_names_of_the_same_data_are_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", X=np.eye(12, 4), y=np.arange(12) % 2)
    grid = document()["grid"] | {"data": ["mine.npz", "./mine.npz"]}
    spec = from_document(document() | {"grid": grid})
    assert len(spec.runs()) == len(spec.experiment().tasks) == 2 * 3 * 2
    assert run_tables(spec.experiment(), "store").new_tables == 12


def test_a_file_needs_no_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("training").write_text(TRAININGS)  # after what comes with rmtsim
    Path("plain").write_text("[training]")
    assert load_any("./training").name == "small"
    assert load_any("training").name == "training"
    with pytest.raises(InputError, match=r"plain: \d mistakes: \(1\) name: the key is missing; give up to 64 letters"):
        load_any("plain")


def test_files_and_names(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("name = ")
    (tmp_path / "small.toml").write_text(TRAININGS.replace("steps = 20", "steps = 20.5"))
    for source, sentence in (
        ("nothing", "there is no 'nothing'; give a .toml file, or one of .*figure8, .*training"),
        (str(tmp_path / "bad.toml"), "not valid TOML"),
        (str(tmp_path / "small.toml"), "small.toml: .training. steps: 20.5 is not valid"),
    ):
        with pytest.raises(InputError, match=sentence):
            load_any(source)


def test_stopping_keeps_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = from_document(document() | {"training": {"steps": 80, "learning_rate": 0.01}, "sampling": {}})
    store = Store(tmp_path / "store")
    folder = tmp_path / "store" / "experiments" / "small"
    at_work, advance = threading.Event(), Run.advance

    def slowly(*arguments: Any) -> Iterator[int]:
        for step in advance(*arguments):
            at_work.set()
            time.sleep(0.5)  # 80 steps outlast any wait for the look whether to stop
            yield step

    monkeypatch.setattr(Run, "advance", slowly)
    monkeypatch.setattr("rmtsim.sweeps.loop.time", SimpleNamespace(monotonic=lambda: float(at_work.is_set())))
    outcome = run_tables(spec.experiment(), store, workers=2, time_limit=0.5)
    assert (outcome.stopped, outcome.new_tables) == ("time limit", 0)
    assert str(outcome).endswith("stopped (time limit): what was committed is safe, the same command goes on")
    monkeypatch.undo()
    assert list(folder.glob("*.run"))
    assert pd.read_parquet(folder).empty  # what is saved on the way is no table
    assert run_tables(spec.experiment(), store).new_tables == 12
    assert {path.suffix for path in folder.iterdir()} == {".parquet"}
    run_tables(spec.experiment(), tmp_path / "other")
    pd.testing.assert_frame_equal(
        spec.experiment().read(store), spec.experiment().read(tmp_path / "other"), check_exact=True
    )
