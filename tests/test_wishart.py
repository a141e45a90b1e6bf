"""Eigenvalues of (1/n) X Λ Xᵀ with fewer samples than dimensions, and their limiting laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.errors import InputError
from rmtsim.paper.wishart import Wishart, wishart_distances, wishart_eigenvalues
from rmtsim.paper.wishart_laws import WEIGHTS, wishart_law


def drawn(dim: int, n_samples: int, n_classes: int, draw: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, dim, n_samples, draw])
    return rng.standard_normal((n_samples, dim)), rng.standard_normal((n_classes, dim)) / dim**0.5


def test_coupled_ones_are_those_of_the_hessians_block() -> None:
    rows = wishart_eigenvalues("coupled", 12, 5, 2, n_classes=3, seed=4)
    for draw in range(2):
        X, V = drawn(12, 5, 3, draw, 4)
        block = 3 * rmtsim.hessian(X, V, loss="ce")[:12, :12]
        found = rows.loc[rows["draw"] == draw, "eigenvalue"]
        np.testing.assert_allclose(found, np.linalg.eigvalsh(block)[-5:], rtol=1e-9)


def test_of_the_identity_are_squared_singular_values() -> None:
    rows = wishart_eigenvalues("identity", 20, 7, 1, seed=2)
    X, _ = drawn(20, 7, 1, 0, 2)
    np.testing.assert_allclose(rows["eigenvalue"], np.linalg.svd(X, compute_uv=False)[::-1] ** 2 / 7, rtol=1e-9)


def test_a_copy_has_other_weights_of_the_same_law() -> None:
    coupled, copy = (wishart_eigenvalues(w, 12, 300, 40) for w in ("coupled", "copy"))
    assert not np.allclose(coupled["eigenvalue"], copy["eigenvalue"])
    means = [t.groupby("draw")["eigenvalue"].mean() for t in (coupled, copy)]
    assert means[0].mean() == pytest.approx(means[1].mean(), rel=0.05)


def test_the_atom_has_the_mass_that_is_missing() -> None:
    assert wishart_eigenvalues("coupled", 30, 10, 3)["zeros"].unique().tolist() == [20]
    assert wishart_eigenvalues("copy", 10, 30, 3)["zeros"].unique().tolist() == [0]
    for weights in WEIGHTS:
        assert wishart_law(weights, 10, 6.0).atom == pytest.approx(1 - 1 / 6)


@pytest.fixture(scope="module")
def eigenvalues() -> pd.DataFrame:
    sizes = {25: 80, 50: 50}
    return pd.concat(
        [wishart_eigenvalues(w, 6 * n, n, count) for w in WEIGHTS for n, count in sizes.items()], ignore_index=True
    )


def test_distances_fall_and_tell_the_law_from_another(eigenvalues: pd.DataFrame) -> None:
    distances = wishart_distances(eigenvalues)
    for _, group in distances.groupby("weights"):
        assert group["distance_of_draw"].is_monotonic_decreasing
        np.testing.assert_allclose(group["atom"], 5 / 6, rtol=1e-12)
        assert (group["std_error_atom"] < 1e-12).all()
        assert (group["distance"] < 0.02).all()
        assert (group["std_error_distance"] < 0.003).all()
    assert (distances["distance"] <= distances["distance_of_draw"]).all()
    stretched = wishart_distances(eigenvalues.assign(eigenvalue=1.3 * eigenvalues["eigenvalue"]))
    assert (stretched["distance"] > 4 * distances["distance"]).all()
    known = distances["distance_to_copy"].notna()
    assert known.tolist() == (distances["weights"] == "coupled").tolist()
    assert (distances.loc[known, "distance_to_copy"] < 0.05).all()


def test_the_jackknife_is_the_spread_over_repetitions() -> None:
    table = wishart_eigenvalues("identity", 30, 5, 640)
    found, errors = [], []
    for k in range(16):
        line = wishart_distances(table[table["draw"] % 16 == k].assign(draw=table["draw"] // 16)).iloc[0]
        found.append(line["distance"])
        errors.append(line["std_error_distance"])
    assert 0.5 < np.std(found, ddof=1) / np.mean(errors) < 2


def test_the_figure_shows_densities_of_mass_n_over_d(eigenvalues: pd.DataFrame) -> None:
    numbers = Wishart().numbers(eigenvalues)
    figure = Wishart().plot(numbers)
    for ax, weights in zip(figure.axes[:3], WEIGHTS, strict=True):
        [curve] = ax.lines
        x, density = curve.get_data()
        assert np.trapezoid(density, x) == pytest.approx(1 / 6, abs=0.003)
        stairs = ax.patches[0].get_data()
        assert stairs.values @ np.diff(stairs.edges) == pytest.approx(1 / 6, abs=0.001), weights
    assert "0.833333 ± 0.000000" in Wishart().text(numbers)


def test_the_experiment_is_the_slides(tmp_path: Path) -> None:
    tasks = [task for task in Wishart().tables().tasks if task.label == "identity-n0050"]
    assert [task.parameters | {"seed": 0} for task in tasks] == [
        {"weights": "identity", "dim": 300, "n_samples": 50, "draws": 1000, "n_classes": 10, "seed": 0}
    ]
    assert {task.parameters["weights"] for task in Wishart().tables(full=True).tasks} == set(WEIGHTS)
    assert len(Wishart().tables(full=True).tasks) > len(Wishart().tables().tasks)


def test_bad_requests_are_refused() -> None:
    with pytest.raises(InputError, match="weights: 'relu' is not known; choose one of identity, coupled, copy"):
        wishart_eigenvalues("relu", 4, 4, 1)
    with pytest.raises(InputError, match="draws: 0 is not valid"):
        wishart_eigenvalues("copy", 4, 4, 0)
