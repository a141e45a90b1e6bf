"""Eigenvalues of simulated blocks: those of the Hessian's blocks, and of the limiting laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.arrays.backend import array_module
from rmtsim.errors import InputError
from rmtsim.model.point import Point
from rmtsim.paper.block_eigenvalues import block_eigenvalues
from rmtsim.paper.limiting_laws import limiting_spectrum
from rmtsim.paper.limiting_spectra import distances_to_limits, slopes, spectrum
from rmtsim.sampling.draws import sample
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.theory.spectra import block_spectrum


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("block", ["diag", "offdiag"])
@pytest.mark.parametrize(("layer", "width"), [("linear", None), ("hidden", 3), ("output", 3)])
def test_they_are_those_of_the_hessians_block(layer: str, width: int | None, block: str, loss: str) -> None:
    point = Point("linear" if width is None else "one_hidden", loss, 4, 5, 9, width)
    rows = block_eigenvalues(point, block, range(2, 4), seed=7, layer=layer)
    X, V, W, y, _ = sample(point, range(2, 4), 7, dtype="float64", xp=array_module("numpy"), labels=True)
    for k, draw in enumerate((2, 3)):
        H = rmtsim.hessian(X[k], V.all()[k], W=None if W is None else W[k], y=None if W is None else y[k], loss=loss)
        first = 15 if layer == "output" else 0
        size = 3 if layer == "output" else 5
        second = first + (0 if block == "diag" else size)
        expected = np.linalg.eigvalsh(H[first : first + size, second : second + size])
        found = rows.loc[rows["draw"] == draw, "eigenvalue"]
        np.testing.assert_allclose(found, expected, atol=1e-13 * max(1.0, np.abs(expected).max()))


def test_draws_are_those_of_simulate() -> None:
    """At C = 2 all four blocks of linear CE have one norm."""
    point = Point("linear", "ce", 2, 12, 24)
    squares = block_eigenvalues(point, "offdiag", 3, seed=1).groupby("draw")["eigenvalue"].agg(lambda x: np.sum(x**2))
    np.testing.assert_allclose(squares, rmtsim.simulate(point, 3, seed=1)["offdiag_sqfro"], rtol=1e-10)


@pytest.mark.parametrize("block", ["diag", "offdiag"])
def test_they_approach_the_limiting_law_and_no_other(block: str) -> None:
    rows = [
        block_eigenvalues(Point("linear", "ce", 10, d, 2 * d), block, n) for d, n in {25: 60, 100: 20, 400: 6}.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    distances = distances_to_limits(table)
    assert (np.diff(distances["distance"]) < 0).all()
    slope = slopes(distances).iloc[0]
    assert -0.9 < slope["slope"] < -0.4
    assert distances["distance"].iloc[-1] < 0.03
    wrong = distances_to_limits(table.assign(n_classes=12))
    assert wrong["distance"].iloc[-1] > 3 * distances["distance"].iloc[-1]


@pytest.mark.parametrize("block", ["diag", "offdiag"])
@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_hidden_blocks_follow_the_law_of_their_own_output_weights(loss: str, block: str) -> None:
    point = Point("one_hidden", loss, 10, 400, 800, 4)
    rows = block_eigenvalues(point, block, 2, layer="hidden")
    V = sample(point, range(2), 0, dtype="float64", xp=array_module("numpy")).V.all()

    def distance(draw: int, weights: np.ndarray) -> float:
        law = block_spectrum("one_hidden", loss, "hidden", block, 10, 0.5, V=weights)
        x = np.sort(rows.loc[rows["draw"] == draw, "eigenvalue"])
        x = np.where(np.abs(x) < 1e-12, 0, x)  # the atom at 0
        below, reached = law.cdf(np.nextafter(x, -1)), law.cdf(x)
        return float(max(np.max(np.arange(1, 401) / 400 - reached), np.max(below - np.arange(400) / 400)))

    for draw in range(2):
        assert distance(draw, V[draw]) < 0.07
        assert distance(draw, 2 * V[draw]) > 0.12


def test_the_law_without_a_number_of_classes_is_the_scaled_limit() -> None:
    for block, power in (("diag", 1), ("offdiag", 2)):
        many, limit = limiting_spectrum(block, 10**6, 0.5), limiting_spectrum(block, None, 0.5)
        np.testing.assert_allclose(
            many.free_moments(2) * 1e6 ** (power * np.array([1, 2])), limit.free_moments(2), rtol=1e-3
        )


def test_the_experiment_covers_both_blocks_of_every_size(tmp_path: Path) -> None:
    small = spectrum(draws={16: 2, 32: 1})
    assert run_tables(small, tmp_path, workers=1).new_tables == 8
    rows = small.read(tmp_path)
    assert len(rows) == 4 * 2 * (2 * 16 + 32)
    assert (rows.loc[rows["block"] == "offdiag", "eigenvalue"] < 0).all()
    assert (rows.loc[rows["block"] == "diag", "eigenvalue"] > 0).all()


def test_bad_requests_are_refused() -> None:
    point = Point("linear", "ce", 1, 4, 8)
    with pytest.raises(InputError, match="block: 'cross' is not known; choose one of diag, offdiag"):
        block_eigenvalues(point, "cross")
    with pytest.raises(InputError, match="it needs two classes"):
        block_eigenvalues(point, "offdiag")
    with pytest.raises(InputError, match="it needs two neurons"):
        block_eigenvalues(Point("one_hidden", "ce", 3, 4, 8, 1), "offdiag")
    with pytest.raises(InputError, match="layer: 'cross' is not known; choose one of hidden, output"):
        block_eigenvalues(Point("one_hidden", "ce", 3, 4, 8, 2), layer="cross")
    with pytest.raises(InputError, match="draws: 0 is not valid"):
        block_eigenvalues(point, draws=0)
    with pytest.raises(InputError, match="seed: -1 is not valid"):
        block_eigenvalues(point, seed=-1)
