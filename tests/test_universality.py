"""The figure of laws: verdicts on exponent and constant, from draws and from made-up ones whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rmtsim import Ensemble, InputError, Point, simulate
from rmtsim.figures import get_figure
from rmtsim.figures.parts import part
from rmtsim.paper.universality import over_gaussian
from rmtsim.stats.summary import summarize
from rmtsim.sweeps.spec import load
from rmtsim.theory import finite
from tests.synthetic import sweep_of

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
    assert "d = 60, N = 120" in text
    assert "exponent another: ar1:0.5" in headline
    drawing = figure.plot(numbers)
    assert len(drawing.axes) == 1
    assert len(drawing.axes[0].containers) == 5


def test_where_a_law_comes_near_is_the_least_such_number_of_classes() -> None:
    rows = pd.concat([made("gaussian", 1, 0, 1), made("spiked:3:10", 1.0, -0.04, 2)], ignore_index=True)
    figure = get_figure("universality")
    laws = part(figure.numbers(rows), "laws").set_index("data")
    assert laws.loc["spiked:3:10", "exponent"] == "same"
    assert laws.loc["spiked:3:10", "from_classes"] in (100, 300)  # 1.10 at C = 100


def test_quotients_are_those_of_draws_over_the_theory() -> None:
    points = [
        Point("linear", "ce", C, 40, 80, ensemble=Ensemble(data=data, weights=weights))
        for data, weights in (("gaussian", "gaussian"), ("spectrum:1", "gaussian"), ("gaussian", "orthogonal"))
        for C in (10, 40)
    ]
    rows = pd.concat([simulate(point, 200, seed=1) for point in points], ignore_index=True)
    table = over_gaussian(rows)
    means = summarize(rows).set_index(["data", "weights", "n_classes"])
    for row in table.to_dict("records"):
        [theory] = finite("linear", "ce", row["n_classes"], 40, 80)
        mean = means.loc[(row["data"], row["weights"], row["n_classes"])]
        assert row["quotient"] == mean["ratio"] / theory.ratio
        assert row["std_error_quotient"] == mean["std_error_ratio"] / theory.ratio
    gaussian = table[(table["data"] == "gaussian") & (table["weights"] == "gaussian")]
    z = (gaussian["quotient"] - 1) / gaussian["std_error_quotient"]
    assert np.all(np.abs(z) < 4.5)
    spectrum = table[table["data"] == "spectrum:1"]
    assert np.any(np.abs(spectrum["quotient"] - 1) > 4.5 * spectrum["std_error_quotient"])  # negative control


def test_rows_without_laws_are_told(draws: pd.DataFrame) -> None:
    figure = get_figure("universality")
    for rows in (draws[draws["data"] == "sphere"], draws.assign(loss="mse"), draws.assign(init="he"), draws[:0]):
        with pytest.raises(InputError, match="figure universality: the draws hold no two laws"):
            figure.select(rows)
    assert len(figure.select(draws)) == len(draws)


def test_its_specs_differ_in_their_laws_alone() -> None:
    specs = [load(name) for name in get_figure("universality").specs]
    assert len({(spec.ensemble.data, spec.ensemble.weights) for spec in specs}) == 10
    assert len({(spec.n_classes, spec.dim, spec.aspect_ratio, spec.sampling.target_rse) for spec in specs}) == 1
