"""The figure of laws: verdicts on exponent and constant, from draws and from made-up ones whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rmtsim import Ensemble, InputError, Point, simulate
from rmtsim.figures import get_figure
from rmtsim.figures.parts import part
from rmtsim.model.choices import ACTIVATIONS
from rmtsim.paper import universality
from rmtsim.paper.universality import over_theory
from rmtsim.stats.summary import summarize
from rmtsim.sweeps.spec import load
from rmtsim.theory import Prediction, finite
from tests.synthetic import quick, sweep_of

CLASSES = (10, 30, 100, 300, 1000)
DIM, SAMPLES = 60, 120


def made(data: str, constant: float, power: float, seed: int) -> pd.DataFrame:
    """Draws of a law whose ratio is the Gaussian one times constant · (C/1000)^power, with 4 % scatter a draw."""
    points = [Point("linear", "ce", C, DIM, SAMPLES, ensemble=Ensemble(data=data)) for C in CLASSES]
    means = []
    for C in CLASSES:
        [theory] = finite("linear", "ce", C, DIM, SAMPLES)
        means.append({"linear": (theory.diag, theory.offdiag * constant * (C / 1000) ** power)})
    return sweep_of(points, means, seed)


@pytest.fixture(scope="module")
def draws() -> pd.DataFrame:
    laws = [("gaussian", 1.0, 0.0), ("sphere", 1.02, 0.0), ("uniform", 1.3, 0.0), ("ar1:0.5", 1.0, 0.4)]
    parts = [made(*law, seed) for seed, law in enumerate([*laws, ("rademacher", 1.1, 0.0)])]
    return pd.concat(parts, ignore_index=True)


def test_verdicts_tell_exponents_and_constants_apart(draws: pd.DataFrame) -> None:
    figure = get_figure("universality")
    numbers = figure.numbers(figure.select(draws))
    laws = part(numbers, "laws").set_index("data")
    assert laws["exponent"].to_dict() == {
        "gaussian": "same",
        "sphere": "same",
        "uniform": "same",
        "ar1:0.5": "another",
        "rademacher": "same",
    }
    assert laws["constant"].drop("ar1:0.5").to_dict() == {
        "gaussian": "same",
        "sphere": "same",
        "uniform": "another",
        "rademacher": "not decided",  # the truth is on the margin
    }
    assert laws.loc[["gaussian", "sphere"], "from_classes"].tolist() == [10, 10]
    assert pd.isna(laws.loc["uniform", "from_classes"])
    assert laws.index[0] == "gaussian"
    assert laws.loc["ar1:0.5", "power"] == pytest.approx(0.4, abs=5 * laws.loc["ar1:0.5", "std_error_power"])
    text, headline = figure.text(numbers), figure.headline(numbers)
    assert "linear model, d = 60, N = 120" in text
    assert "exponent another: ar1:0.5" in headline
    drawing = figure.plot(numbers)
    titles = [ax.get_title() for ax in drawing.axes]
    assert titles == ["laws of the data", "a law that is far off"]  # ar1:0.5, by 1/6 at C = 10
    assert [len(ax.containers) for ax in drawing.axes] == [4, 1]


def test_where_a_law_comes_near_is_the_least_such_number_of_classes() -> None:
    rows = pd.concat([made("gaussian", 1, 0, 1), made("spiked:3:10", 1.0, -0.04, 2)], ignore_index=True)
    figure = get_figure("universality")
    laws = part(figure.numbers(rows), "laws").set_index("data")
    assert laws.loc["spiked:3:10", "exponent"] == "same"
    assert laws.loc["spiked:3:10", "from_classes"] in (100, 300)  # 1.10 at C = 100


def test_quotients_are_those_of_draws_over_the_theory() -> None:
    laws = [{}, {"data": "spectrum:1"}, {"weights": "orthogonal"}]
    points = [Point("linear", "ce", C, 40, 80, ensemble=Ensemble(**law)) for law in laws for C in (10, 40)]  # type: ignore[arg-type]
    rows = pd.concat([simulate(point, 200, seed=1) for point in points], ignore_index=True)
    table = over_theory(rows)
    law = ["layer", "data", "weights", "activation", "n_classes"]
    means = summarize(rows).set_index(law)
    assert len(table) == 6
    for row in table.to_dict("records"):
        [theory] = finite("linear", "ce", row["n_classes"], 40, 80)
        mean = means.loc[tuple(row[name] for name in law)]
        assert row["quotient"] == mean["ratio"] / theory.ratio
        assert row["std_error_quotient"] == pytest.approx(mean["std_error_ratio"] / theory.ratio, rel=1e-12)
    z = ((table["quotient"] - 1) / table["std_error_quotient"]).abs()
    assert np.all(z[(table[["data", "weights"]] == "gaussian").all(axis=1)] < 4.5)
    assert z[table["data"] == "spectrum:1"].max() > 4.5  # negative control


def of_networks(*arguments: Any, **options: Any) -> list[Prediction]:
    """Return a theory that is quick, with an error of 0.1 % in the hidden layer."""
    found = quick(finite)(*arguments, **options)
    return [replace(one, std_error_ratio=1e-3 * one.ratio if one.layer == "hidden" else 0.0) for one in found]


def activated(name: str, constants: tuple[float, float], seed: int) -> pd.DataFrame:
    """Draws of a network whose ratios, of the hidden and of the output layer, are constants times the theory's."""
    of = Ensemble(activation=name)  # type: ignore[arg-type]
    points = [Point("one_hidden", "ce", C, 12, 20, 4, of) for C in CLASSES]
    means = []
    for C in CLASSES:
        theory = {one.layer: one for one in of_networks("one_hidden", "ce", C, 12, 20, 4)}
        parts = zip(("hidden", "output"), constants, strict=True)
        means.append({layer: (theory[layer].diag, theory[layer].offdiag * constant) for layer, constant in parts})
    return sweep_of(points, means, seed)


def test_activations_are_judged_in_each_layer_beside_laws(draws: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the linear model and of networks, each at its own sizes; laws of one model alone do as well."""
    monkeypatch.setattr(
        universality,
        "finite",
        lambda model, *rest, **options: (finite if model == "linear" else of_networks)(model, *rest, **options),
    )
    figure = get_figure("universality")
    made_up = [("relu", (1.0, 1.0)), ("gelu", (0.26, 1.0)), ("identity", (2.2, 1.4))]
    networks = pd.concat([activated(*law, seed) for seed, law in enumerate(made_up)], ignore_index=True)  # type: ignore[arg-type]
    numbers = figure.numbers(figure.select(pd.concat([draws, networks], ignore_index=True)))
    laws = part(numbers, "laws").set_index(["layer", "data", "activation"])
    assert len(laws) == 5 + 2 * 3
    hidden, output = (laws.loc[layer].droplevel("data") for layer in ("hidden", "output"))
    assert set(hidden["exponent"]) == set(output["exponent"]) == {"same"}
    assert hidden["constant"].to_dict() == {"relu": "same", "gelu": "another", "identity": "another"}
    assert output["constant"].to_dict() == {"relu": "same", "gelu": "same", "identity": "another"}
    assert output["from_classes"].fillna(0).to_dict() == {"relu": 10, "gelu": 10, "identity": 0}
    text = " ".join(figure.text(numbers).split())
    assert "(linear model, d = 60, N = 120; one hidden layer of 4 neurons, d = 12, N = 20)" in text
    assert "hidden: exponent same: relu, gelu, identity; constant same: relu" in figure.headline(numbers)
    titles = [ax.get_title() for ax in figure.plot(numbers).axes]
    assert titles[2:] == ["hidden layer: activations", "output layer: activations"]
    points = part(numbers, "points")
    networks_alone = points[points["layer"] == "hidden"]
    own = networks_alone["std_error_ratio"] / networks_alone["theory"]
    both = np.hypot(own, 1e-3 * networks_alone["quotient"])
    np.testing.assert_allclose(networks_alone["std_error_quotient"], both, rtol=1e-12)
    alone = part(figure.numbers(figure.select(networks)), "laws")
    assert set(alone["layer"]) == {"hidden", "output"}
    with pytest.raises(InputError, match="no two laws"):
        figure.select(networks[networks["activation"] == "gelu"])


def test_rows_without_laws_are_told(draws: pd.DataFrame) -> None:
    figure = get_figure("universality")
    for rows in (draws[draws["data"] == "sphere"], draws.assign(loss="mse"), draws.assign(init="he"), draws[:0]):
        with pytest.raises(InputError, match="figure universality: the draws hold no two laws"):
            figure.select(rows)
    assert len(figure.select(draws)) == len(draws)


def test_its_specs_differ_in_their_laws_alone() -> None:
    specs = [load(name) for name in get_figure("universality").specs]
    of = {spec.model: [one for one in specs if one.model == spec.model] for spec in specs}
    assert {(spec.ensemble.data, spec.ensemble.weights) for spec in of["one_hidden"]} == {("gaussian", "gaussian")}
    assert {spec.ensemble.activation for spec in of["one_hidden"]} == set(ACTIVATIONS)
    assert len({(spec.ensemble.data, spec.ensemble.weights) for spec in of["linear"]}) == 10
    for some in of.values():
        assert len({(spec.n_classes, spec.dim, spec.width, spec.aspect_ratio, spec.sampling) for spec in some}) == 1
