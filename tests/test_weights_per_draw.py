"""Draws with several last layers: their streams, their rows, what a store takes for the same, and their statistics."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import rmtsim
from rmtsim.errors import InputError
from rmtsim.kernels.network_norms import Networks
from rmtsim.sampling import waves
from rmtsim.sampling.draws import last_layers, sample
from rmtsim.sampling.weights import MOST_BY_RULE, gain, variance_ratio, weights_of
from rmtsim.sweeps.spec import Sampling, builtin_specs, load
from rmtsim.theory import finite
from tests.small_sweeps import HIDDEN

LINEAR = rmtsim.Point("linear", "ce", 5, 12, 30)
SQUARED = rmtsim.Point("one_hidden", "mse", 5, 12, 30, 3)
MEANS = ["diag_sqfro", "offdiag_sqfro"]
ERRORS = ["std_error_diag", "std_error_offdiag"]


def last_layers_of(point: rmtsim.Point, draws: range, count: int, dtype: str = "float64") -> list[np.ndarray]:
    made = sample(point, draws, 0, dtype=dtype, xp=np)
    return [V.all() for V in last_layers(made.V, count)]


@pytest.mark.parametrize("point", [LINEAR, HIDDEN, SQUARED], ids=str)
def test_a_row_has_the_means_over_the_last_layers(point: rmtsim.Point) -> None:
    """Oracle: the norms of arrays, one last layer after the other."""
    rows = rmtsim.simulate(point, 3, weights_per_draw=4).set_index(["draw", "layer"])
    X, _, W, y, _ = sample(point, range(3), 0, dtype="float64", xp=np, labels=True)
    norms = [rmtsim.block_norms(X, V, W=W, y=y, loss=point.loss) for V in last_layers_of(point, range(3), 4)]
    for layer in point.layers:
        for place, name in enumerate(MEANS):
            expected = np.mean([of_one[layer][place] for of_one in norms], axis=0)
            found = rows.xs(layer, level="layer")[name]
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    one = rmtsim.simulate(point, 3)
    different = rows.reset_index()["diag_sqfro"].to_numpy() != one["diag_sqfro"].to_numpy()
    assert different.any()
    assert set(rows["weights_per_draw"]) == {4}
    assert set(one["weights_per_draw"]) == {1}


def test_one_last_layer_gives_the_rows_of_always() -> None:
    pd.testing.assert_frame_equal(
        rmtsim.simulate(HIDDEN, 5, weights_per_draw=1), rmtsim.simulate(HIDDEN, 5), check_exact=True
    )


@pytest.mark.parametrize("point", [LINEAR, HIDDEN], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rows_depend_on_their_key_alone(point: rmtsim.Point, dtype: str) -> None:
    options: dict[str, Any] = {"weights_per_draw": 3, "dtype": dtype}
    together = rmtsim.simulate(point, 9, batch=9, **options)
    for other in ({"batch": 1}, {"batch": 4}, {"threads": 2}, {"memory": "260MiB"}):
        pd.testing.assert_frame_equal(rmtsim.simulate(point, 9, **options, **other), together, check_exact=True)
    alone = rmtsim.simulate(point, range(7, 8), **options)
    expected = together[together["draw"] == 7].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, expected, check_exact=True)


def test_a_last_layer_does_not_depend_on_how_many_there_are() -> None:
    few, many = (last_layers_of(HIDDEN, range(4), count) for count in (2, 5))
    for one, other in zip(few, many, strict=False):
        assert np.array_equal(one, other)
    assert np.array_equal(many[0], sample(HIDDEN, range(4), 0, dtype="float64", xp=np).V.all())
    alone = last_layers_of(HIDDEN, range(2, 3), 5)
    assert all(np.array_equal(one[0], other[2]) for one, other in zip(alone, many, strict=True))


def test_last_layers_are_independent_draws_of_the_same_law() -> None:
    point = rmtsim.Point("linear", "ce", 40, 20, 10)
    layers = np.stack(last_layers_of(point, range(20), 6)).reshape(6, -1) * 20**0.5
    assert all(stats.kstest(layer, "norm").pvalue > 1e-3 for layer in layers)
    correlations = [np.corrcoef(one, other)[0, 1] for one, other in combinations(layers, 2)]
    assert max(map(abs, correlations)) < 4 / layers.shape[1] ** 0.5
    keys = {V._identity(draw) for V in last_layers(sample(point, range(3), 0, dtype="float64", xp=np).V, 40)
            for draw in (0, 1, 2)}  # fmt: skip
    assert len(keys) == 120


def test_errors_of_sampled_classes_combine_as_independent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    point = rmtsim.Point("linear", "ce", 4096, 40, 60)
    found = []
    compute = waves.compute

    def noting(draws: Networks, **options: Any) -> Any:
        found.extend(compute(replace(draws, last_layers=[V]), **options) for V in draws.last_layers)
        return compute(draws, **options)

    monkeypatch.setattr(waves, "compute", noting)
    rows = rmtsim.simulate(point, 4, weights_per_draw=3, diagonal="auto", batch=4)
    assert set(rows["classes"]) == {512}
    assert len(found) == 3
    for place, name in enumerate(ERRORS, 2):
        squares = sum(np.asarray(norms["linear"][place]) ** 2 for norms in found)
        np.testing.assert_allclose(rows[name], np.sqrt(squares) / 3, rtol=1e-14)
        alike = sum(np.asarray(norms["linear"][place]) for norms in found) / 3
        assert not np.allclose(rows[name], alike, rtol=0.2, atol=0)  # negative control: as if all erred together


@pytest.mark.parametrize("wrong", [0, -1, 1001, 2.5, "many", True, None])
def test_what_is_no_number_of_last_layers_is_refused(wrong: Any) -> None:
    with pytest.raises(
        InputError, match=r"weights_per_draw: .* is not valid; give a whole number from 1 to 1000, or auto"
    ):
        rmtsim.simulate(LINEAR, 2, weights_per_draw=wrong)
    if wrong is not None:
        with pytest.raises(InputError, match=r"\[sampling\] weights_per_draw: .*; give .* from 1 to 1000, or auto"):
            Sampling(weights_per_draw=wrong)


def test_the_rule_pays_at_every_point_of_the_specs() -> None:
    """By the cost model, for every variance ratio up to what it takes for the worst."""
    several = 0
    for name in builtin_specs():
        spec = load(name)
        for point in spec.points():
            diagonal = spec.sampling.diagonal
            R = weights_of("auto", point, spec.layers, diagonal)
            assert 1 <= R <= MOST_BY_RULE
            several += R > 1
            worst = max(variance_ratio(point, layer) for layer in spec.layers)
            for ratio in (0.0, worst / 3, worst) if R > 1 else ():
                assert gain(point, spec.layers, diagonal, R, ratio) > 1, (name, point, R, ratio)
            if R < MOST_BY_RULE and worst < 100:  # negative control: not every number does
                assert gain(point, spec.layers, diagonal, 1000, 10 * worst) < 1
    assert several


def measured_ratio(point: rmtsim.Point, draws: int) -> tuple[float, float]:
    """B/W of the worst norm of the hidden layer, by analysis of variance over four last layers, with its error."""
    X, V, W, y, _ = sample(point, range(draws), 11, dtype="float64", xp=np, labels=True)
    options: dict[str, Any] = {"layers": "hidden", "threads": 1, "activation": point.ensemble.activation}
    norms = [rmtsim.block_norms(X, one.all(), W=W, y=y, **options)["hidden"][:2] for one in last_layers(V, 4)]
    found = []
    for x in np.moveaxis(np.array(norms), 1, 0):
        within = x.var(axis=0, ddof=1)
        squares = (x.mean(axis=0) - x.mean()) ** 2 * draws / (draws - 1) - within / 4
        ratio = squares.mean() / within.mean()
        found.append((ratio, np.std(squares - ratio * within, ddof=1) / within.mean() / draws**0.5))
    return max(found)


@pytest.mark.parametrize("ensemble", [{"data": "spectrum:1"}, {"activation": "tanh"}], ids=str)
def test_the_bounds_hold_for_other_laws(ensemble: dict[str, Any]) -> None:
    """Of the hidden layer; with correlated data that of Gaussian ones in as many dimensions would not."""
    point = rmtsim.Point("one_hidden", "ce", 10, 32, 64, 8, rmtsim.Ensemble(**ensemble))
    ratio, error = measured_ratio(point, 120)
    assert ratio - 3 * error < variance_ratio(point, "hidden")
    if "data" in ensemble:
        assert ratio - 3 * error > variance_ratio(replace(point, ensemble=rmtsim.Ensemble()), "hidden")


def test_where_no_bound_is_known_there_is_one_last_layer() -> None:
    usual = rmtsim.Point("one_hidden", "ce", 2, 200, 400, 8)
    size = 1 / 200 + 1 / 400
    assert variance_ratio(usual, "hidden") == 0.005 + 0.4 * size + 2 * (0.05 * size + 2 * size**2)
    several = weights_of("auto", usual, ("hidden",))
    for ensemble, fewest in (({"activation": "gelu"}, 2), ({"data": "ar1:0.9"}, 2), ({"weights": "orthogonal"}, 1)):
        other = replace(usual, ensemble=rmtsim.Ensemble(**ensemble))  # type: ignore[arg-type]
        assert fewest <= weights_of("auto", other, ("hidden",)) < several, ensemble
    for layer in ("output", "cross"):
        tanh = replace(usual, n_classes=3, ensemble=rmtsim.Ensemble(activation="tanh"))
        assert variance_ratio(tanh, layer) == np.inf
        assert weights_of("auto", tanh, (layer,)) == 1
    linear = rmtsim.Point("linear", "ce", 2, 200, 400)
    heavy = replace(linear, ensemble=rmtsim.Ensemble(data="student_t:6"))
    assert variance_ratio(heavy, "linear") == pytest.approx(0.05 + 3 * 2.5 / 200 + 6 / 400)
    assert variance_ratio(replace(linear, ensemble=rmtsim.Ensemble(data="student_t:3")), "linear") == np.inf


def test_the_rule_is_a_function_of_the_point_and_its_layers() -> None:
    point = rmtsim.Point("one_hidden", "ce", 2, 200, 400, 8)
    alone = weights_of("auto", point, ("hidden",))
    assert alone > 1
    few_classes = [point for point in load("figure9").points() if point.n_classes <= 100]
    assert min(weights_of("auto", point, ("hidden",)) for point in few_classes) > 8
    assert weights_of("auto", point, ("hidden", "output")) < alone  # what pays in every layer
    squared = rmtsim.Point("one_hidden", "mse", 2, 200, 400, 8)
    assert weights_of("auto", squared, ("hidden",)) > 1
    for layers in (("output",), ("hidden", "output")):  # nothing of V is in the output layer's blocks
        assert weights_of("auto", squared, layers) == 1
    assert weights_of("auto", rmtsim.Point("linear", "mse", 5, 40, 20), ("linear",)) == 1
    assert weights_of("auto", rmtsim.Point("linear", "ce", 1, 40, 20), ("linear",)) == 1
    few, options = rmtsim.Point("one_hidden", "ce", 2, 60, 80, 3), {"seed": 4, "layers": "hidden"}
    R = weights_of("auto", few, ("hidden",))
    assert R > 1
    expected = rmtsim.simulate(few, 3, weights_per_draw=R, **options)
    pd.testing.assert_frame_equal(rmtsim.simulate(few, 3, weights_per_draw="auto", **options), expected)


# Statistics.

#: A point, a number of draws, and the layers that are looked at.
POINTS: dict[str, tuple[rmtsim.Point, int, Any]] = {
    "linear ce": (rmtsim.Point("linear", "ce", 3, 10, 60), 1500, ("linear",)),
    "hidden ce": (rmtsim.Point("one_hidden", "ce", 5, 24, 36, 12), 300, ("hidden", "output")),
    "linear mse": (rmtsim.Point("linear", "mse", 4, 10, 20), 300, ("linear",)),
    "hidden mse": (rmtsim.Point("one_hidden", "mse", 4, 8, 16, 2), 600, ("hidden", "output", "cross")),
}


def columns_of(rows: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    return {
        (layer, name): group[name].to_numpy()
        for layer, group in rows.groupby("layer")
        for name in MEANS
        if group[name].notna().all() and group[name].std() > 1e-12 * group[name].mean()
    }


def mean_of(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def squares_of(values: np.ndarray) -> np.ndarray:
    """Terms whose mean is the variance of values."""
    return (values - values.mean()) ** 2 * len(values) / (len(values) - 1)


@pytest.mark.parametrize(("point", "draws", "layers"), POINTS.values(), ids=POINTS)
def test_the_expectation_is_the_theory_and_the_variance_falls_as_predicted(
    point: rmtsim.Point, draws: int, layers: Any
) -> None:
    """Var = between + within/R; the two come from four last layers of other draws, one after the other."""
    sizes = point.n_classes, point.dim, point.n_samples, point.width
    theory = {one.layer: one for one in finite(point.model, point.loss, *sizes, layers=layers, target_rse=6e-3)}
    other = range(draws, 2 * draws)
    X, V, W, y, _ = sample(point, other, 3, dtype="float64", xp=np, labels=True)
    norms = [rmtsim.block_norms(X, one.all(), W=W, y=y, loss=point.loss, layers=layers) for one in last_layers(V, 4)]
    rows = rmtsim.simulate(point, draws, seed=3, layers=layers, weights_per_draw=8)
    gains = []
    for (layer, name), values in columns_of(rows).items():
        mean, error = mean_of(values)
        kind = name.removesuffix("_sqfro")
        expected, its_error = (getattr(theory[layer], part + kind) for part in ("", "std_error_"))
        assert abs(mean - expected) < 3.5 * np.hypot(error, its_error), (layer, name)
        single = np.stack([of_one[layer][MEANS.index(name)] for of_one in norms])
        within = single.var(axis=0, ddof=1)
        found, found_error = mean_of(squares_of(values))
        for R, right in ((8, True), (1, False)):  # negative control: the variance of a single last layer
            expected, its_error = mean_of(squares_of(single.mean(axis=0)) + within * (1 / R - 1 / 4))
            z = (found - expected) / np.hypot(found_error, its_error)
            assert abs(z) < 3.5 or not right, (layer, name)
        gains.append(z)
    assert min(gains) < -3.5 or (point.model == "linear" and point.loss == "mse")


def test_the_same_last_layer_again_and_again_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the streams: rows of wrong ones are those of a single last layer, and spread as much."""
    point, _, _ = POINTS["hidden mse"]
    right, one = (columns_of(rmtsim.simulate(point, 200, seed=3, weights_per_draw=R)) for R in (8, 1))
    monkeypatch.setattr(waves, "last_layers", lambda V, count: [V] * count)
    wrong = columns_of(rmtsim.simulate(point, 200, seed=3, weights_per_draw=8))
    for key, values in wrong.items():
        np.testing.assert_allclose(values, one[key], rtol=1e-13)
    found, error = mean_of(squares_of(right["hidden", "diag_sqfro"]))
    assert found < squares_of(wrong["hidden", "diag_sqfro"]).mean() - 3.5 * error
