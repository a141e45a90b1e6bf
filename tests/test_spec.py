"""Specs: what a good one means. What a bad one gets is in test_bad_input."""

from __future__ import annotations

import pytest

from rmtsim.errors import InputError
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point
from rmtsim.sweeps.spec import builtin_specs, from_document, load


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
    for name in ("figure8", "figure9"):
        spec = load(name)
        assert min(spec.n_classes) == 2
        assert max(spec.n_classes) >= 3000
        assert 0.5 in spec.aspect_ratio
        assert len(spec.aspect_ratio) >= 3
    assert load("figure8").sampling.target_rse <= 0.01
    assert load("figure9").sampling.target_rse <= 0.03
    assert load("figure9").width == (8,)


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
