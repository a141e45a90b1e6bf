"""Specs: what a good one means. What a bad one gets is in test_bad_input."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import numpy as np
import pytest

from rmtsim.errors import InputError
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point
from rmtsim.sweeps.spec import Sampling, Spec, builtin_specs, from_document, load, requests_of


def document(**grid: list) -> dict:
    return {
        "name": "t",
        "model": "linear",
        "loss": "ce",
        "grid": {"n_classes": [2], "aspect_ratio": [0.5], "dim": [10], **grid},
    }


@pytest.mark.parametrize("name", builtin_specs())
def test_builtin_specs_load_and_survive_a_round_trip(name: str) -> None:
    spec = load(name)
    assert spec.name == name
    assert from_document(spec.document()) == spec
    assert len({point.id for point in spec.points()}) == len(spec.points())


def test_figures_cover_what_the_paper_plots() -> None:
    for name in ("figure8", "figure9", "figure9_output"):
        spec = load(name)
        assert min(spec.n_classes) == 2
        assert max(spec.n_classes) >= 3000
        assert 0.5 in spec.aspect_ratio
        assert len(spec.aspect_ratio) >= 3
    assert load("figure8").sampling.target_rse <= 0.01
    assert load("figure9").sampling.target_rse <= 0.03
    assert load("figure9").width == (8,)
    assert load("figure9").points() == load("figure9_output").points()
    assert load("figure9").layers + load("figure9_output").layers == ("hidden", "output")


def test_the_grid_is_a_product() -> None:
    points = from_document(document(n_classes=[2, 3], aspect_ratio=[0.5, 2], dim=[10, 20])).points()
    assert len(points) == 8
    assert Point("linear", "ce", 3, 20, 10) in points


@pytest.mark.parametrize(("gamma", "dim", "n_samples"), [(0.1, 3, 30), (0.3, 300, 1000), (1.1, 11, 10), (2, 500, 250)])
def test_aspect_ratios_are_decimal_numbers(gamma: float, dim: int, n_samples: int) -> None:
    (point,) = from_document(document(aspect_ratio=[gamma], dim=[dim])).points()
    assert point.n_samples == n_samples


def test_the_ensemble_is_that_of_every_point_and_survives_a_round_trip() -> None:
    ensemble = Ensemble("xavier", data_variance=0.5, last_gain=3)
    spec = from_document(
        document(n_classes=[2, 3]) | {"ensemble": {"init": "xavier", "data_variance": 0.5, "last_gain": 3}}
    )
    assert spec.ensemble == ensemble
    assert [point.ensemble for point in spec.points()] == [ensemble] * 2
    assert from_document(spec.document()) == spec
    plain = from_document(document(n_classes=[2, 3]))
    assert "ensemble" not in plain.document()  # so specs in older stores are still the same
    assert from_document(document(n_classes=[2, 3]) | {"ensemble": {}}) == plain
    assert not {point.id for point in spec.points()} & {point.id for point in plain.points()}


def test_the_linear_model_has_no_hidden_gain() -> None:
    with pytest.raises(
        InputError, match=r"\[ensemble\] hidden_gain: 2.0 was given, but the linear model has no hidden"
    ):
        from_document(document() | {"ensemble": {"hidden_gain": 2}})


def test_defaults() -> None:
    spec = from_document(document())
    assert spec.layers == ("linear",)
    assert spec.sampling.dtype == "float64"
    assert spec.sampling.min_draws == 16


def test_all_built_in_specs_fit_into_one_store() -> None:
    """As `reproduce all` wants it: a point and seed has one dtype, and one way to take diagonal blocks."""
    found: dict[tuple[str, int], set[tuple[str, str]]] = {}
    for name in builtin_specs():
        spec = load(name)
        for point in spec.points():
            how = (spec.sampling.dtype, spec.sampling.diagonal)
            found.setdefault((point.id, spec.sampling.seed), set()).add(how)
    assert len(found) > 100
    assert all(len(how) == 1 for how in found.values())


#: Documents of two specs, and what earlier versions stored of them.
STORED = [
    (
        {
            "name": "old",
            "model": "one_hidden",
            "loss": "ce",
            "layers": ["cross", "hidden"],
            "grid": {"n_classes": [2, 10], "aspect_ratio": [1, 0.5], "dim": [10], "width": [3]},
            "ensemble": {"init": "he", "data_variance": 2},
            "sampling": {"target_rse": 0.5, "seed": 3},
        },
        '{"name": "old", "model": "one_hidden", "loss": "ce", "layers": ["hidden", "cross"], "grid": {"n_classes": [2, '
        '10], "aspect_ratio": [1, 0.5], "dim": [10], "width": [3]}, "ensemble": {"init": "he", "data_variance": 2.0, '
        '"hidden_gain": 1.0, "last_gain": 1.0}, "sampling": {"seed": 3, "min_draws": 16, "max_draws": 10000, '
        '"target_rse": 0.5, "dtype": "float64", "diagonal": "exact"}}',
    ),
    (
        {
            "name": "plain",
            "model": "linear",
            "loss": "mse",
            "grid": {"dim": [10], "n_classes": [2], "aspect_ratio": [2.0]},
        },
        '{"name": "plain", "model": "linear", "loss": "mse", "layers": ["linear"], "grid": {"n_classes": [2], '
        '"aspect_ratio": [2.0], "dim": [10]}, "sampling": {"seed": 0, "min_draws": 16, "max_draws": 10000, '
        '"target_rse": 0.02, "dtype": "float64", "diagonal": "exact"}}',
    ),
]


@pytest.mark.parametrize(("given", "stored"), STORED, ids=["all tables", "the least"])
def test_stored_documents_keep_their_bytes(given: dict, stored: str) -> None:
    assert json.dumps(from_document(given).document()) == stored
    assert from_document(json.loads(stored)) == from_document(given)


def test_a_spec_made_in_python_is_that_of_a_document() -> None:
    made = Spec(
        name="old",
        model="one_hidden",
        loss="ce",
        layers=["cross", "hidden"],
        n_classes=np.array([2, 10]),
        aspect_ratio=(1, np.float64(0.5)),
        dim=range(10, 11),
        width=[np.int64(3)],
        ensemble=Ensemble("he", data_variance=2),
        sampling=Sampling(target_rse=0.5, seed=3),
    )
    given, stored = STORED[0]
    assert made == from_document(given)
    assert json.dumps(made.document()) == stored  # plain numbers, whatever they came as
    assert len({made, from_document(given)}) == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.loss = "mse"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_classes": 10}, r"\[grid\] n_classes: 10 is not valid; give a list with at least one value"),
        ({"n_classes": "10"}, r"\[grid\] n_classes: '10' is not valid; give a list"),
        ({"n_classes": []}, r"\[grid\] n_classes: \[\] is not valid; give a list"),
        ({"n_classes": [2, 2]}, r"\[grid\] n_classes: \[2, 2\] names a value twice; name each once"),
        ({"dim": [10**12]}, r"\[grid\] dim: 1000000000000 is not valid; give a whole number from 1 to 1000000000"),
        ({"aspect_ratio": [0.3]}, r"= 33.3333 is not whole; give a ratio that divides dim, such as 0.3125"),
        (
            {"aspect_ratio": [float("nan")]},
            r"\[grid\] aspect_ratio: nan is not valid; give a positive number d/N, say 0.5",
        ),
        ({"width": [3]}, r"\[grid\] width: the linear model has none; take the key out"),
        (
            {"model": "one_hidden"},
            r"\[grid\] width: the one_hidden model has a hidden layer; give a list of widths, such as \[8\]",
        ),
        ({"model": "deep"}, "model: 'deep' is not known; choose one of linear, one_hidden"),
        ({"model": np.array(["linear", "deep"])}, "model: array.* is not known; choose one of linear, one_hidden"),
        ({"layers": ["hidden"]}, "layers: 'hidden' is not known; choose one of linear"),
        ({"name": "a/b"}, "name: 'a/b' is not valid; give up to 64 letters"),
        ({"ensemble": {"init": "he"}}, "ensemble: .* is not valid; give an Ensemble"),
        ({"ensemble": Ensemble(hidden_gain=2)}, r"\[ensemble\] hidden_gain: 2.0 was given"),
        ({"sampling": None}, "sampling: None is not valid; give a Sampling"),
        ({"n_classes": range(1, 400), "dim": range(10, 3000, 10)}, r"\[grid\]: 119301 points are too many"),
    ],
)
def test_a_spec_made_in_python_is_checked(change: dict, sentence: str) -> None:
    plain = {"name": "t", "model": "linear", "loss": "ce", "n_classes": [2], "aspect_ratio": [0.5], "dim": [10]}
    Spec(**plain)
    with pytest.raises(InputError, match=sentence):
        Spec(**(plain | change))


def test_a_sampling_made_in_python_is_checked() -> None:
    with pytest.raises(InputError, match=r"\[sampling\] min_draws: 17 is above max_draws = 16; give at most that"):
        Sampling(min_draws=17, max_draws=16)
    with pytest.raises(
        InputError, match=r"\[sampling\] dtype: 'float16' is not known .*; choose one of float32, float64"
    ):
        Sampling(dtype="float16")


@pytest.mark.parametrize("document", [None, [], 3, "figure8"])
def test_what_is_no_table_is_no_spec(document: object) -> None:
    with pytest.raises(InputError, match=r"spec: .* is not valid; give a table of keys"):
        from_document(document)  # type: ignore[arg-type]


def test_what_a_stored_document_asks_for() -> None:
    asked = requests_of(document(n_classes=[2, 3]) | {"sampling": {"seed": 5, "min_draws": 20}})
    points = from_document(document(n_classes=[2, 3])).points()
    assert asked == [(point.id, 5, ("linear",), 20) for point in points]
    assert requests_of({"name": "t", "grid": 3}) == []  # no sweep wrote it
    with pytest.raises(InputError, match=r"\[grid\]: the table is missing"):
        requests_of({"name": "t", "model": "linear", "loss": "ce", "sampling": {}})


def test_a_number_of_samples_is_asked_for_by_the_aspect_ratio() -> None:
    with pytest.raises(
        InputError, match=r"^\[grid\] n_samples: there is no such key \(N is dim / aspect_ratio\); the keys"
    ):
        from_document(document(n_samples=[20]))


def test_a_file_of_nearly_that_name_is_pointed_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").touch()
    for name in ("mine.tml", "mien.toml"):
        with pytest.raises(InputError, match=rf"^spec: there is no .*{name}'? \(did you mean mine\.toml\?\)"):
            load(name)
