"""Sweeps that share points in one store: each draw counts once, and a sweep's numbers are those of its own draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.pages.contents import read_contents
from rmtsim.store import Store
from rmtsim.sweeps.selection import Selection
from rmtsim.sweeps.spec import from_document

#: The sweeps: seed, draws of each point, layers. The second has another seed than the first; the third has the first
#: one's seed and more draws, and the last another layer.
SWEEPS: dict[str, tuple[int, int, list[str]]] = {
    "one": (0, 8, ["hidden"]),
    "two": (1, 12, ["hidden"]),
    "longer": (0, 20, ["hidden"]),
    "other": (0, 6, ["output"]),
}
CLASSES = [2, 5]
#: Draws of each point that the store has, by seed, layer.
THERE = {(0, "hidden"): 20, (1, "hidden"): 12, (0, "output"): 6}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("shared") / "s")
    grid = {"n_classes": CLASSES, "aspect_ratio": [0.5], "dim": [6], "width": [3]}
    for name, (seed, draws, layers) in SWEEPS.items():
        sampling = {"seed": seed, "min_draws": draws, "max_draws": draws}
        spec = {"name": name, "model": "one_hidden", "loss": "mse", "layers": layers, "grid": grid}
        rmtsim.run({**spec, "sampling": sampling}, store, workers=1)
    return store


def exported(store: Store, folder: Path, *options: str) -> pd.DataFrame:
    out = folder / "means.parquet"
    assert main(["export", "--store", str(store.root), "--out", str(out), *options]) == 0
    return pd.read_parquet(out)


def test_status_counts_the_draws_of_each_sweep(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    main(["status", "--store", str(store.root), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert [(row["sweep"], row["draws"]) for row in document["points"]] == [
        (name, SWEEPS[name][1]) for name in sorted(SWEEPS) for _ in CLASSES
    ]
    assert document["unnamed"] == {"points": 0, "draws": 0}


def test_every_reader_has_each_draw_once(store: Store, tmp_path: Path) -> None:
    rows = pd.read_parquet(store.draws_folder)
    assert not rows.duplicated(["point_id", "seed", "draw", "layer"]).any()
    counts = rows.groupby(["seed", "layer"]).size()
    assert counts.to_dict() == {key: len(CLASSES) * draws for key, draws in THERE.items()}
    assert len(store.draws()) == len(rows)
    means = exported(store, tmp_path).set_index(["layer", "n_classes"])
    pooled = rows.groupby(["layer", "n_classes"])["diag_sqfro"]
    assert means["draws"].to_dict() == pooled.size().to_dict()
    assert means["diag_sqfro"].to_numpy() == pytest.approx(pooled.mean().loc[means.index].to_numpy(), rel=1e-12)
    assert set(means["draws"]) == {32, 6}
    pd.testing.assert_frame_equal(exported(store, tmp_path), rmtsim.summarize(store))


@pytest.mark.parametrize("name", SWEEPS)
def test_numbers_of_a_sweep_are_of_its_own_draws(
    store: Store, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed, draws, [layer] = SWEEPS[name]
    rows = store.draws(seed=seed, layer=layer)
    own = rows[rows["draw"] < draws]
    pd.testing.assert_frame_equal(exported(store, tmp_path, "--sweep", name), rmtsim.summarize(own))
    capsys.readouterr()
    assert main(["fit", "--store", str(store.root), "--sweep", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rmtsim.fit(own).document()
    contents = read_contents(store, Selection.of(None, name, None))
    assert contents.summary is not None
    assert set(contents.summary["draws"]) == {draws}
    assert set(contents.points["draws"]) == {draws}
    assert set(contents.draws(own["point_id"].unique())["draw"]) == set(range(draws))


def test_a_sweep_that_has_not_ended_has_all_that_is_there(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "s")
    spec: dict[str, Any] = {"name": "open", "model": "linear", "loss": "ce"}
    spec |= {"grid": {"n_classes": [5], "aspect_ratio": [0.5], "dim": [6]}}
    rmtsim.run({**spec, "sampling": {"min_draws": 4, "max_draws": 4}}, other, workers=1)
    with other.writer() as writer:  # which now wants more
        writer.save_spec("open", {**spec, "sampling": {"min_draws": 50, "max_draws": 50}})
    assert exported(other, tmp_path, "--sweep", "open")["draws"].tolist() == [4]


def test_a_sweep_without_draws_is_told(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside others that have some, whichever verb asks for it."""
    other = Store(tmp_path / "s")
    grid = {"n_classes": [5], "aspect_ratio": [0.5], "dim": [6]}
    rmtsim.run({"name": "one", "model": "linear", "loss": "ce", "grid": grid}, other, workers=1)
    none = from_document({"name": "none", "model": "linear", "loss": "ce", "grid": {**grid, "dim": [8]}})
    with other.writer() as writer:
        writer.save_spec("none", none.document())
    picture, page = str(tmp_path / "f.png"), str(tmp_path / "r.html")
    for verb in (["fit"], ["figure", "fig8", "--out", picture], ["report", "--out", page]):
        assert main([*verb, "--store", str(other.root), "--sweep", "none"]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "has no such draws; it has draws of the sweep one; give other values, or leave out --sweep" in said


def test_a_report_has_the_means_of_an_export(tmp_path: Path) -> None:
    """To the last bit, however the draws are spread over shards."""
    grid = {"n_classes": [3], "aspect_ratio": [0.5], "dim": [6]}
    spec = from_document({"name": "mine", "model": "linear", "loss": "ce", "grid": grid})
    store, [point] = Store(tmp_path / "s"), spec.points()
    with store.writer() as writer:
        writer.save_spec("mine", spec.document())
        for draws in (range(40, 100), range(40)):
            writer.append(rmtsim.simulate(point, draws), spec.document())
    for sweep in (None, "mine"):
        summary = read_contents(store, Selection.of(None, sweep, None)).summary
        pd.testing.assert_frame_equal(summary, rmtsim.summarize(store), check_exact=True)


def test_pooled_seeds_are_told(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = "2 points have draws of the seeds 0 and 1, which are pooled; --seed or --sweep takes those of one"
    exported(store, tmp_path)
    assert told in " ".join(capsys.readouterr().err.split())
    assert main(["fit", "--store", str(store.root)]) == 0
    assert told in " ".join(capsys.readouterr().err.split())
    for alone in (["--sweep", "two"], ["--seed", "0"], ["--where", "layer == 'output'"]):  # negative controls
        exported(store, tmp_path, *alone)
        assert "draws of the seeds" not in capsys.readouterr().err


def test_seeds_of_different_layers_are_not_pooled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "s")
    grid = {"n_classes": [2], "aspect_ratio": [0.5], "dim": [6], "width": [3]}
    for seed, layer in enumerate(("hidden", "output")):
        spec = {"name": layer, "model": "one_hidden", "loss": "ce", "layers": [layer], "grid": grid}
        rmtsim.run({**spec, "sampling": {"seed": seed, "min_draws": 4, "max_draws": 4}}, store, workers=1)
    exported(store, tmp_path)
    assert "pooled" not in capsys.readouterr().err
