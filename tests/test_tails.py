"""Heavy tails are seen where draws show them, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

import rmtsim
from rmtsim.cli.main import main
from rmtsim.figures import get_figure
from rmtsim.model.point import Point
from rmtsim.plot import decay
from rmtsim.sampling.simulation import simulate
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.summary import summarize
from rmtsim.stats.tails import carriers, heavy_tail, needed_carriers
from tests.synthetic import draws_of

HEAVY = [f"heavy_tail_{quantity}" for quantity in QUANTITIES]


def flagged(law: object, n: int, seeds: int = 200) -> float:
    """Share of samples of n draws that are flagged."""
    found = []
    for seed in range(seeds):
        x = law(np.random.default_rng(seed), n)  # type: ignore[operator]
        found.append(heavy_tail(x / x.mean() - 1))
    return float(np.mean(found))


def pareto(k: float) -> object:
    """Draws with the tail index k: P(x > t) = t^(−1/k); least value 0, so that they spread widely."""
    return lambda rng, n: rng.random(n) ** -k - 1


def test_carriers_are_n_over_the_kurtosis() -> None:
    rng = np.random.default_rng(0)
    for law, kurtosis in ((rng.standard_normal, 3.0), (rng.random, 1.8), (rng.standard_exponential, 9.0)):
        x = law(400_000)
        assert len(x) / carriers(x - x.mean()) == pytest.approx(kurtosis, rel=0.03)
    assert carriers(np.array([1.0] + [0.0] * 99)) == 1
    assert carriers(np.zeros(9)) == np.inf


@pytest.mark.parametrize("power", [-900, -300, 0, 300, 900])
def test_the_scale_of_the_draws_changes_nothing(power: int) -> None:
    x = np.ldexp(np.random.default_rng(1).pareto(2.0, 500), power)
    assert carriers(x - x.mean()) == carriers(np.ldexp(x - x.mean(), -power))
    assert heavy_tail(x / x.mean() - 1)


@pytest.mark.parametrize(("n", "no_mean", "no_variance"), [(100, 0.85, 0.7), (1000, 0.98, 0.95), (10_000, 0.98, 0.97)])
def test_what_pareto_tails_are_flagged(n: int, no_mean: float, no_variance: float) -> None:
    """Known tails: those of index 1 and ⅔ mostly, the more the more draws; exponential and normal ones are not."""
    assert flagged(pareto(1.0), n) > no_mean
    assert flagged(pareto(2 / 3), n) > no_variance
    assert flagged(lambda rng, size: rng.standard_exponential(size), n) < 0.05
    assert flagged(lambda rng, size: 1 + 0.5 * rng.standard_normal(size), n) == 0


def test_narrow_draws_are_not_flagged_for_one_that_stands_out() -> None:
    x = np.append(np.random.default_rng(2).normal(1, 0.01, 400), 3.0)
    assert carriers(x - x.mean()) < 1.1 < needed_carriers(len(x))
    assert not heavy_tail(x / x.mean() - 1)
    assert heavy_tail((x - x.mean()) / 0.1)  # the same deviations from a value that they are wide for


def test_too_few_or_unknown_draws_say_nothing() -> None:
    for x in (np.array([]), np.array([3.0]), np.array([0.0, 0.0]), np.full(9, np.nan)):
        assert not heavy_tail(x)


def test_summaries_tell_each_quantity_apart() -> None:
    point = Point(model="linear", loss="ce", n_classes=10, dim=20, n_samples=40)
    draws = draws_of(point, {"linear": (3.0, 0.5)}, np.random.default_rng(3), draws=400, rse=0.2)
    assert not summarize(draws)[HEAVY].to_numpy().any()
    wild = draws.assign(offdiag_sqfro=draws["offdiag_sqfro"] * np.random.default_rng(4).random(400) ** -0.8)
    assert summarize(wild)[HEAVY].iloc[0].tolist() == [False, True, True]
    both = wild.assign(diag_sqfro=3 * wild["offdiag_sqfro"] * (1 + 0.01 * np.sin(np.arange(400))))
    assert summarize(both)[HEAVY].iloc[0].tolist() == [True, True, False]
    for few in (wild.iloc[:1], draws.assign(offdiag_sqfro=None), draws.assign(diag_sqfro=0.0, offdiag_sqfro=0.0)):
        assert summarize(few)[HEAVY].dtypes.eq(bool).all()
        assert not summarize(few)[HEAVY].to_numpy().any()


def test_three_neurons_and_many_classes_are_the_known_case() -> None:
    """With C = 10⁵ and three neurons the largest draws carry all; with 32 neurons and 100 classes they do not."""

    def heavy(n_classes: int, width: int, draws: int) -> pd.Series:
        point = Point("one_hidden", "ce", n_classes, dim=1, n_samples=2, width=width)
        found = summarize(simulate(point, draws, layers=("output",), dtype="float32"))
        return found[HEAVY].iloc[0]

    assert heavy(100_000, 3, 32)["heavy_tail_offdiag"]
    point = Point("one_hidden", "ce", 100, dim=20, n_samples=40, width=32)
    assert not summarize(simulate(point, 100, layers=("output",)))[HEAVY].to_numpy().any()


HEAVY_SPEC = """
name = "heavy"
model = "one_hidden"
loss = "ce"
layers = ["output"]
[grid]
n_classes = [3000]
aspect_ratio = [1.0]
dim = [2]
width = [3]
[sampling]
min_draws = 16
max_draws = 48
target_rse = 0.9
"""


def test_run_and_status_say_that_a_tail_is_too_heavy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, store = tmp_path / "heavy.toml", str(tmp_path / "s")
    spec.write_text(HEAVY_SPEC)
    run = ["run", str(spec), "--store", store, "--backend", "numpy"]
    assert main([*run, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["done"], document["heavy_tails"], document["complete"]) == (1, 1, True)
    assert main(run) == 0
    assert "nothing to do; 1 of 1 points done, 1 with too heavy a tail (see rmtsim status)" in capsys.readouterr().err
    assert main(["status", "--store", store, "--json"]) == 0
    [point] = json.loads(capsys.readouterr().out)["points"]
    assert (point["state"], point["draws"]) == ("done", 48)
    heavy = point["heavy_tail"].split(", ")
    assert sorted(heavy) == ["output diag", "output offdiag", "output ratio"]
    tails = f"{heavy[0]}, of {heavy[1]} and of {heavy[2]}"
    assert point["warning"] == f"the tail of {tails} is too heavy for the mean to be trusted at 48 draws"
    assert main(["status", "--store", store]) == 0
    assert f"m = 3: {point['warning']}" in " ".join(capsys.readouterr().out.split())


@pytest.fixture(scope="module")
def wild() -> pd.DataFrame:
    """Draws of four numbers of classes; at C = 20 off-diagonal norms have a heavy tail."""
    points = [Point(model="linear", loss="ce", n_classes=C, dim=100, n_samples=100) for C in (10, 20, 100, 1000)]
    draws = pd.concat([simulate(point, 200) for point in points], ignore_index=True)
    wild = draws["offdiag_sqfro"] * np.random.default_rng(4).random(len(draws)) ** -0.8
    return draws.assign(offdiag_sqfro=wild.where(draws["n_classes"] == 20, draws["offdiag_sqfro"]))


def test_fits_leave_such_points_out_and_decide_nothing_of_them(wild: pd.DataFrame) -> None:
    fit = rmtsim.fit(wild)
    points = fit.points.set_index(["n_classes", "quantity"])
    for quantity in ("offdiag", "ratio"):
        line = points.loc[(20, quantity)]
        assert (line["verdict"], line["heavy_tail"]) == ("not decided", True)
        assert line["reason"] == f"the tail of {quantity} is too heavy for the mean to be trusted at 200 draws"
        assert np.isnan(line["p_value"])
    assert points["heavy_tail"].sum() == 2
    claims = fit.claims.set_index("quantity")
    assert claims["points_left_out"].to_dict() == {"diag": 0, "offdiag": 1, "ratio": 1}
    assert claims["points_on_curve"].to_dict() == {"diag": 4, "offdiag": 3, "ratio": 3}
    assert claims.loc["diag", "reason"] == ""
    note = "left out, as the tail is too heavy for the mean to be trusted: 1 point"
    for quantity in ("offdiag", "ratio"):
        assert claims.loc[quantity, "verdict"] == "agrees"  # with the point it would not
        assert claims.loc[quantity, "reason"] == note
    assert "2 are not decided (too heavy a tail: 2)" in " ".join(str(fit).split())
    fewer = rmtsim.fit(wild[wild["n_classes"] > 10]).claims.set_index("quantity").loc["offdiag"]
    assert fewer["verdict"] == "not tested"
    assert fewer["reason"].startswith("a fit needs 3")
    assert fewer["reason"].endswith(note)


def test_figures_draw_such_values_faint_and_name_them(wild: pd.DataFrame) -> None:
    figure = get_figure("fig8")
    for rows, named in ((wild[wild["n_classes"] != 20], 0), (wild, 2)):
        numbers = figure.numbers(rows)
        text, drawing = figure.text(numbers), figure.plot(numbers)
        faint = [bars for ax in drawing.axes for bars in ax.containers if bars.get_label() == "_heavy"]
        assert len(faint) == 2 * named  # above, and over the theory
        assert ("The tail is too heavy for the mean to be trusted" in text) == bool(named)
        assert text.count("at C = 20, d/N = 1, 200 draws") == named
        ax = decay(rows, "offdiag_sqfro", theory=False, ax=Drawing().subplots())
        alphas = [bars.lines[0].get_alpha() for bars in ax.containers]
        assert alphas == ([None, 0.3] if named else [None])
        assert ("faint: too heavy a tail" in [text.get_text() for text in ax.get_legend().get_texts()]) == bool(named)
