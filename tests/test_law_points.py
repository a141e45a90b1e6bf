"""Points, sweeps and training runs with other laws of data, weights and labels."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim import Ensemble, InputError, Point
from rmtsim.cli.main import main
from rmtsim.data.clusters import Clusters
from rmtsim.data.datasets import _LAWS, parse_data, register_data
from rmtsim.data.labels import Labels, parse_labels
from rmtsim.data.row_laws import EntryLaw, Values
from rmtsim.sweeps.training_spec import load_any
from rmtsim.training.problem import Problem
from tests.laws import COVARIANCES, MOST, distance


def test_points_of_other_laws_have_other_identities_and_normal_ones_keep_theirs() -> None:
    point = Point("linear", "ce", 1000, 500, 1000)
    assert point.id == "09ede68ea4f628ef"
    assert Point("one_hidden", "ce", 4, 10, 20, 3, Ensemble("he", data_variance=0.25)).id == "34f3e897f4298097"
    laws = [Ensemble(data=law) for law in COVARIANCES] + [Ensemble(weights=law) for law in ("uniform", "orthogonal")]
    assert len({replace(point, ensemble=ensemble).id for ensemble in laws}) == len(laws)
    assert Ensemble(data="student_t:5.0") == Ensemble(data="student_t:5")
    assert Ensemble().document() == {"init": "lecun", "data_variance": 1.0, "hidden_gain": 1.0, "last_gain": 1.0}
    assert str(Ensemble(data="ar1:0.5", weights="uniform")) == "lecun, data ar1:0.5, weights uniform"


@dataclass(frozen=True)
class Coins(EntryLaw):
    """Entries √(1/p) or 0, with a sign: of a user, with a parameter and without moments of its own."""

    name, form, example = "coins", "coins:P", "coins:0.5"
    share: float

    @property
    def kurtosis(self) -> float:
        return 1 / self.share

    def rows(self, rng: np.random.Generator, count: int, dim: int) -> Values:
        return rng.choice([-1.0, 1.0], (count, dim)) * (rng.random((count, dim)) < self.share) / math.sqrt(self.share)


def test_a_law_of_a_users_own_is_one_of_points() -> None:
    before = _LAWS.names() and dict(_LAWS._items)
    register_data(Coins)
    try:
        point = Point("linear", "mse", 3, 8, 16, ensemble=Ensemble(data="coins:.25"))
        assert point.ensemble.data == "coins:0.25"
        rows = rmtsim.simulate(point, 200)
        assert distance(rows["diag_sqfro"].to_numpy(), rmtsim.predict(point)["diag_sqfro"].item()) < MOST
        with pytest.raises(InputError, match=r"data: 'coins' is not valid; give coins:P, such as coins:0\.5"):
            parse_data("coins")
    finally:
        _LAWS._items = before
    with pytest.raises(InputError, match=r"data: 'coins:\.25' is not known; choose one of "):
        Ensemble(data="coins:.25")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"data": "student_t:2"}, "data: student_t:2 has no variance; give NU above 2, such as student_t:5"),
        ({"data": "student_t:nan"}, "data: student_t:nan is not valid; give NU up to 1000000, or gaussian"),
        ({"data": "student_t"}, "data: 'student_t' is not valid; give student_t:NU, such as student_t:5"),
        ({"data": "student_t:5:1"}, "data: 'student_t:5:1' is not valid; give student_t:NU, such as student_t:5"),
        ({"data": "student_t:many"}, "data: 'student_t:many' is not valid; give student_t:NU, such as student_t:5"),
        ({"data": "ar1:1.0"}, "data: ar1:1 is not stationary; give RHO between -1 and 1, such as ar1:0.5"),
        ({"data": "ar1:0"}, "data: ar1:0 has independent entries; give gaussian for these"),
        ({"data": "spiked:0:3"}, "data: spiked:0:3 has 0 spikes; give K from 1 to the dimension, or gaussian"),
        ({"data": "spiked:1.5:3"}, "data: 'spiked:1.5:3' is not valid; give spiked:K:S, such as spiked:3:10"),
        (
            {"data": "spiked:2:-1"},
            "data: spiked:2:-1 is not valid; give S above 0 and up to 1000000, such as spiked:3:10",
        ),
        ({"data": "spectrum:0"}, "data: spectrum:0 is not valid; give ALPHA above 0 and up to 4, such as spectrum:1"),
        ({"data": "uniform:2"}, "data: 'uniform:2' is not valid; give uniform"),
        ({"data": "spher"}, "data: 'spher' is not known (did you mean sphere?); choose one of "),
        (
            {"data": "clusters:20"},
            "data: 'clusters:20' has labels of its own, which only training runs take; choose one",
        ),
        ({"data": "mine.npz"}, "data: 'mine.npz' has labels of its own, which only training runs take; choose one of"),
        ({"data": None}, "data: None is not valid; give a text, such as 'gaussian'"),
        ({"data": ["sphere"]}, "data: ['sphere'] is not valid; give a text"),
        (
            {"weights": "orthogonl"},
            "weights: 'orthogonl' is not known (did you mean orthogonal?); choose one of gaussian",
        ),
        ({"weights": 3}, "weights: 3 is not known; choose one of gaussian, uniform, orthogonal"),
        ({"activation": "rleu"}, "activation: 'rleu' is not known (did you mean relu?); choose one of relu"),
    ],
)
def test_bad_laws_are_told(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        Ensemble(**arguments)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Point("linear", "ce", 3, 4, 5, ensemble=Ensemble(data="spiked:5:1")),
            "spiked:5:1 has 5 spikes at dim 4",
        ),
        (lambda: Point("linear", "mse", 3, 4, 5, ensemble=Ensemble(data="student_t:4")), "have no mean with 'mse'"),
        (lambda: parse_labels("zipf:0"), "labels: 'zipf:0' is not valid; give zipf:S with S above 0"),
        (lambda: parse_labels("zpif:1"), "labels: 'zpif:1' is not known (did you mean zipf?)"),
        (lambda: parse_labels(1), "labels: 1 is not valid; give a text, such as 'zipf:1'"),
        (lambda: Problem("ce", 3, 4, 5, data=Clusters(3), labels="zipf:1"), "clusters data have labels of their own"),
        (lambda: Problem("ce", 3, 4, 5, weights="uniforn"), "did you mean uniform?"),  # type: ignore[arg-type]
    ],
)
def test_laws_that_do_not_go_with_the_rest_are_told(make: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert sentence in str(caught.value)


SPEC = """
name = "{name}"
model = "linear"
loss = "ce"
[grid]
n_classes = [3, 10, 30]
aspect_ratio = [0.5]
dim = [20]
[ensemble]
data = "{data}"
weights = "{weights}"
[sampling]
min_draws = {draws}
max_draws = {draws}
target_rse = 0.9
"""


def test_a_sweep_with_each_law_runs_resumes_merges_and_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    laws = [*((law, "gaussian") for law in COVARIANCES), ("gaussian", "uniform"), ("gaussian", "orthogonal")]
    stores = [tmp_path / "one", tmp_path / "other"]
    paths = [tmp_path / f"{k}.toml" for k in range(len(laws))]
    for draws in (4, 8):
        for k, ((data, weights), path) in enumerate(zip(laws, paths, strict=True)):
            path.write_text(SPEC.format(name=f"law{k}", data=data, weights=weights, draws=draws))
            rmtsim.run(path, stores[k % 2], workers=1, progress=False)
    store = tmp_path / "both"
    assert main(["plan", str(paths[1]), "--store", str(stores[1])]) == 0
    assert "0 draws to make" in capsys.readouterr().out
    assert main(["merge", "--store", str(store), *map(str, stores)]) == 0
    assert main(["verify", "--store", str(store), "--recompute", "12"]) == 0
    assert "12" in capsys.readouterr().out
    table = pd.read_parquet(store / "draws")
    assert len(table) == 8 * 3 * len(laws)
    assert set(zip(table["data"], table["weights"], strict=True)) == set(laws)
    sphere = rmtsim.open_store(store).draws(data="sphere", n_classes=10)
    again = rmtsim.simulate(Point("linear", "ce", 10, 20, 40, ensemble=Ensemble(data="sphere")), 8)
    pd.testing.assert_series_equal(sphere["diag_sqfro"], again["diag_sqfro"], check_exact=True)
    assert main(["status", "--store", str(store), "--json"]) == 0
    assert {point["data"] for point in json.loads(capsys.readouterr().out)["points"]} == set(COVARIANCES)
    assert main(["fit", "--store", str(store), "--where", "data != 'sphere'"]) == 0
    assert "data ar1:0.5" in capsys.readouterr().out
    fit = rmtsim.fit(rmtsim.open_store(store).draws())
    of_law = fit.claims.groupby(["data", "weights"])
    assert len(of_law) == len(laws)
    untested = fit.claims[fit.claims["data"] == "ar1:0.5"]
    assert (untested["verdict"] == "not tested").all()
    assert untested["reason"].str.contains("at finite dim the theory of linear CE is that of gaussian").all()
    points = fit.points[fit.points["data"].isin(["sphere", "rademacher"])]
    assert (points["finite"] > 0).all()


def test_training_takes_the_laws(tmp_path: Path) -> None:
    sphere = parse_data("sphere")
    shallow = Problem("ce", 5, 8, 12, (4,), data=sphere, weights="orthogonal")
    assert shallow.point == Point(
        "one_hidden", "ce", 5, 8, 12, 4, Ensemble(data="sphere", weights="orthogonal")
    )  # the draws of sweeps
    deep = Problem("ce", 5, 8, 12, (4, 4), data=sphere, weights="orthogonal").draw()
    np.testing.assert_allclose((deep.X**2).sum(axis=1), 8)
    for weights in deep.weights:
        rows, columns = weights.shape
        gram = weights @ weights.T if rows <= columns else weights.T @ weights
        np.testing.assert_allclose(gram, max(rows, columns) / columns * np.eye(min(rows, columns)), atol=1e-12)
    usual, zipf = Problem("mse", 5, 8, 4000), Problem("mse", 5, 8, 4000, labels="zipf:1.0")
    assert "labels" not in usual.parameters()
    assert zipf.labels == "zipf:1"
    assert zipf.point is None
    assert Problem("mse", 3, 8, 10, data=parse_data("student_t:3")).point is None
    shares = Labels(1.0).probabilities(5)
    y = zipf.draw().y
    for label in range(5):
        of_label = (y == label).astype(float)
        assert distance(of_label, shares[label]) < MOST
        if label in (0, 3, 4):
            assert distance(of_label, 0.2) > MOST  # negative control: uniform labels
    assert np.array_equal(y, zipf.draw().y)
    assert not np.array_equal(y, zipf.draw(1).y)
    text = """
name = "laws"
loss = ["ce"]
[grid]
n_classes = [3]
dim = [4]
n_samples = [9]
hidden = [[2]]
data = ["gaussian", "student_t:5"]
[ensemble]
weights = "uniform"
labels = "zipf:1.0"
[training]
steps = 2
checkpoints = [0, 1]
"""
    (tmp_path / "laws.toml").write_text(text)
    assert main(["run", str(tmp_path / "laws.toml"), "--store", str(tmp_path / "store")]) == 0
    tables = [pd.read_parquet(path) for path in (tmp_path / "store" / "experiments").rglob("*.parquet")]
    assert {(table["data"][0], table["weights"][0], table["labels"][0]) for table in tables} == {
        ("gaussian", "uniform", "zipf:1"),
        ("student_t:5", "uniform", "zipf:1"),
    }
    for key, value, words in (
        ("labels", '"zipf"', r"[ensemble] labels: 'zipf' is not valid"),
        ("weights", '"haar"', "[ensemble] weights: 'haar' is not known"),
    ):
        (tmp_path / "bad.toml").write_text(text.replace(f"{key} = ", f"{key} = {value} # "))
        with pytest.raises(InputError) as caught:
            load_any(str(tmp_path / "bad.toml"))
        assert words in str(caught.value)
