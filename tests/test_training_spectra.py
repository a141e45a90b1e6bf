"""Spectra of blocks through training: from the weights and the data, against laws, told and drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.training_spectra import (
    Case,
    cases,
    headline_spectra,
    output_mse_eigenvalues,
    report_spectra,
    spectra_numbers,
)
from analysis.training_spectra_figure import plot_spectra
from rmtsim.experiments.training_experiments import (
    diagonal_weights,
    spectra,
    spectra_task,
)
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem

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
    moved = rows.assign(value=rows["value"] * np.where(rows["quantity"] == "decoupled", 2, 1))
    [apart] = spectra_numbers(case, moved).to_dict("records")
    assert apart["decoupled"] > 0.4
    assert apart["outlier"] == pytest.approx(found["outlier"] / 2)


def test_output_blocks_of_squared_loss() -> None:
    G = np.maximum(np.random.default_rng(4).normal(size=(400_000, M)), 0)
    found = np.linalg.eigvalsh(2 * G.T @ G / len(G))
    top, rest = output_mse_eigenvalues(M)
    np.testing.assert_allclose(found, [rest, rest, top], rtol=0.01)


def test_spectra_are_told_and_drawn(eigenvalues: pd.DataFrame) -> None:
    names = [case for case, _ in cases(eigenvalues)]
    assert names == [
        Case("linear", "ce", 4, 30, 120, None),
        Case("hidden", "mse", C, D, N, M),
        Case("output", "mse", C, D, N, M),
    ]
    assert report_spectra(eigenvalues).count("draws") == 4
    assert len(headline_spectra(eigenvalues).splitlines()) == 3
    figure: Figure = plot_spectra(eigenvalues)
    linear, numbers = figure.axes[0], figure.axes[3]
    areas = [np.sum(p.get_data().values * np.diff(np.log(p.get_data().edges))) for p in linear.patches]
    np.testing.assert_allclose(areas, 1, atol=0.05)
    found = spectra_numbers(*next(iter(cases(eigenvalues)))).groupby("progress")["distance"].mean()
    np.testing.assert_allclose(np.asarray(numbers.containers[0].lines[0].get_ydata(), dtype=float), found)
