"""Spectra of blocks through training: from the weights and the data, against laws, described and drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from rmtsim.data.clusters import Clusters
from rmtsim.errors import InputError
from rmtsim.figures import registry
from rmtsim.paper.training_spectra.eigenvalues import diagonal_weights, spectra, spectra_task
from rmtsim.paper.training_spectra.law_distances import Case, cases, output_mse_eigenvalues, spectra_numbers
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from tests.figures import headline_of, text_of

SCHEDULE = Schedule(60, 0.05, (0.0, 0.1, 1.0))
C, D, N, M = 5, 6, 20, 3


@pytest.fixture(scope="module")
def eigenvalues() -> pd.DataFrame:
    problems = [Problem("ce", 4, 30, 120), Problem("mse", C, D, N, (M,))]
    tasks = [spectra_task(problem, SCHEDULE, draw) for problem in problems for draw in range(2)]
    return pd.concat([task.compute() for task in tasks], ignore_index=True)


@pytest.mark.parametrize("problem", [Problem("ce", 4, 6, 30), *(Problem(x, C, D, N, (M,)) for x in ("ce", "mse"))])
def test_blocks_are_made_of_the_weights_and_the_data(problem: Problem) -> None:
    X, weights, _ = problem.draw(0)
    found = spectra(problem, SCHEDULE).query("step == 0 and layer == 1")
    shown = found.query("quantity == 'eigenvalue'").sort_values(["i", "j"])["value"].to_numpy()
    lambdas = list(diagonal_weights(X, weights, problem))
    expected = [np.linalg.eigvalsh((X.T * of_block) @ X / len(X)) for of_block in lambdas]
    np.testing.assert_allclose(shown, np.concatenate(expected), atol=1e-12)
    copies = found.query("quantity == 'decoupled'").sort_values(["i", "j"])["value"].to_numpy()
    assert copies.shape == shown.shape
    assert np.abs(copies - shown).max() > 0.01 * shown.max()


def test_distances_from_a_law_and_from_its_shape() -> None:
    """Linear MSE: a Marchenko-Pastur law, which training does not touch."""
    problem = Problem("mse", 3, 80, 320)
    table = spectra_task(problem, Schedule()).compute()
    [(case, rows)] = cases(table)
    [found] = spectra_numbers(case, rows).to_dict("records")
    assert found["distance"] < 0.05
    assert found["mean"] == pytest.approx(2, abs=0.05)
    assert found["spread"] == pytest.approx(1 + problem.dim / problem.n_samples, abs=0.02)
    [wide] = spectra_numbers(case, rows.assign(value=1.5 * rows["value"])).to_dict("records")
    assert wide["distance"] > 0.2
    assert wide["shape"] == pytest.approx(found["shape"])
    [bent] = spectra_numbers(case, rows.assign(value=rows["value"] ** 2)).to_dict("records")
    assert bent["shape"] > 0.1
    assert found["decoupled"] < 0.1
    copies = rows["quantity"].isin(["decoupled", "control"])
    [apart] = spectra_numbers(case, rows.assign(value=rows["value"] * np.where(copies, 2, 1))).to_dict("records")
    assert apart["decoupled"] > 0.4
    assert apart["floor"] == found["floor"] < 0.1
    assert apart["outlier"] == pytest.approx(found["outlier"] - np.log(2))
    assert apart["edge"] == pytest.approx(found["edge"] - np.log(2))
    assert apart["edge_floor"] == found["edge_floor"]


def test_the_numbers_beside_decoupled_blocks_by_hand() -> None:
    """One block of six eigenvalues and two copies, small enough to see."""
    values = {
        "eigenvalue": [1, 2, 3, 4, 5, 8],
        "decoupled": [1, 2, 3, 4, 10, 16],
        "control": [2, 2, 3, 4, 5, 32],
    }
    rows = pd.DataFrame(
        {"draw": 0, "progress": 0.0, "quantity": name, "i": 0, "j": range(6), "value": np.array(numbers, dtype=float)}
        for name, numbers in values.items()
    ).explode(["j", "value"])
    rows = rows.astype({"j": int, "value": float})
    case = Case("output", "ce", 1, 6, 6, None, "")
    [found] = spectra_numbers(case, rows).to_dict("records")
    assert found["edge"] == pytest.approx((np.log(1 / 2) + np.log(1 / 2)) / 5 / 2)
    assert found["edge_floor"] == pytest.approx((np.log(1 / 2) + np.log(10 / 5)) / 5, abs=1e-12)
    assert found["outlier"] == pytest.approx((np.log(8 / 16) + np.log(8 / 32)) / 2)
    ks = [stats.ks_2samp(values["eigenvalue"], values[name]).statistic for name in ("decoupled", "control")]
    assert found["decoupled"] == pytest.approx(np.mean(ks))
    assert found["floor"] == pytest.approx(stats.ks_2samp(values["decoupled"], values["control"]).statistic)


def planted(low: float, high: float, rest: float, scatter: float = 0.0) -> pd.DataFrame:
    """Spectra that are a third copy until the last checkpoint, where the smallest, the largest and all change."""
    rng = np.random.default_rng(6)
    tables = []
    for draw in range(12):
        for progress in (0.0, 1.0):
            for name in ("eigenvalue", "decoupled", "control"):
                X = rng.standard_normal((3, 180, 60))
                values = np.linalg.eigvalsh(X.mT @ X / 180)
                if progress and name == "eigenvalue":
                    values[:, :5] *= low * np.exp(scatter * (-1) ** draw)
                    values[:, -1] *= high
                    values *= rest
                i, j = np.indices(values.shape)
                cells = {"i": i.ravel(), "j": j.ravel(), "value": values.ravel()}
                tables.append(pd.DataFrame(cells).assign(draw=draw, progress=progress, quantity=name))
    about = {"hidden": "", "loss": "mse", "n_classes": 3, "dim": 60, "n_samples": 180, "steps": 9, "learning_rate": 0.1}
    return pd.concat(tables, ignore_index=True).assign(**about, layer=1)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ((1, 1, 1), "survives, within these errors"),
        ((0.92, 1, 1), "is lost at the lower edge"),
        ((1.09, 1, 1), "is lost at the lower edge"),
        ((1, 1.1, 1), "is lost at the upper edge"),
        ((0.92, 1.1, 1), "is lost at the lower and the upper edge"),
        ((1, 1, 1, 0.1), "survives, within these errors"),
        ((1, 1, 1.6), "is lost."),
    ],
)
def test_the_verdict_needs_the_distance_and_the_edges(change: tuple[float, ...], verdict: str) -> None:
    assert f"the decoupling {verdict}" in headline_of("training_spectra", planted(*change))


@pytest.mark.parametrize("draws", [1, 2])
def test_one_draw_has_no_verdict_nor_have_equal_ones(eigenvalues: pd.DataFrame, draws: int) -> None:
    one = eigenvalues[eigenvalues["draw"] == 0]
    report = text_of("training_spectra", pd.concat([one.assign(draw=draw) for draw in range(draws)])).replace(
        "\n  ", " "
    )
    assert report.count("the decoupling has no verdict without a standard error") == 2
    assert "is lost" not in report.partition("Of all diagonal blocks")[0]
    assert "survives" not in report


@pytest.mark.parametrize(
    "problem",
    [
        Problem("binary_ce", 2, D, N, (M,)),
        Problem("ce", C, D, N, (M, M)),
        Problem("ce", C, D, N, (M,), data=Clusters(20)),
    ],
)
def test_decoupled_blocks_are_those_of_gaussian_data_and_one_layer(problem: Problem) -> None:
    for make in (spectra, spectra_task):
        with pytest.raises(InputError, match="decoupled"):
            make(problem, SCHEDULE)


def test_output_blocks_of_squared_loss() -> None:
    G = np.maximum(np.random.default_rng(4).normal(size=(400_000, M)), 0)
    found = np.linalg.eigvalsh(2 * G.T @ G / len(G))
    top, rest = output_mse_eigenvalues(M)
    np.testing.assert_allclose(found, [rest, rest, top], rtol=0.01)


def test_spectra_are_described_and_drawn(eigenvalues: pd.DataFrame) -> None:
    names = [case for case, _ in cases(eigenvalues)]
    assert names == [
        Case("linear", "ce", 4, 30, 120, None, "60 steps of Adam from 0.05"),
        Case("hidden", "mse", C, D, N, M, "60 steps of Adam from 0.05"),
        Case("output", "mse", C, D, N, M, "60 steps of Adam from 0.05"),
    ]
    report = text_of("training_spectra", eigenvalues)
    assert report.count("2 draws") == 3
    assert max(map(len, report.splitlines())) <= 115
    assert len(headline_of("training_spectra", eigenvalues).splitlines()) == 3
    figure: Figure = registry.draw("training_spectra", eigenvalues)
    linear, numbers = figure.axes[0], figure.axes[3]
    areas = [np.sum(p.get_data().values * np.diff(np.log(p.get_data().edges))) for p in linear.patches]
    np.testing.assert_allclose(areas, 1, atol=0.05)
    found = spectra_numbers(*next(iter(cases(eigenvalues)))).groupby("progress")["distance"].mean()
    np.testing.assert_allclose(np.asarray(numbers.containers[0].lines[0].get_ydata(), dtype=float), found)
