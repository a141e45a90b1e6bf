"""One output and two classes: blocks against their formula, the factor p(1 − p), the ratio at initialisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rmtsim.figures.registry import draw
from rmtsim.paper.fig10.networks import DATA, binary, fig10
from rmtsim.paper.fig10.numbers import (
    initial_ratio,
    initial_ratios,
    mean_shares,
    outside_shares,
)
from rmtsim.sweeps.experiment import Experiment
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.theory import finite
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.problem import Problem
from tests.figures import headline_of, text_of

SCHEDULE = Schedule(20, 0.05, (0, 0.05, 0.2, 0.5, 1))
N = 40


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("binary")
    experiment = binary("test", SCHEDULE, n_samples=N, draws=3, start_draws=6, cells=16)
    run_tables(experiment, folder)
    return experiment.read(folder)


def share_outside(X: np.ndarray, W: np.ndarray, v: np.ndarray, s: np.ndarray) -> float:
    """Share outside the diagonal blocks H_ij = (1/N) Σ_n s_n v_i v_j 1_{n,i} 1_{n,j} x_n x_nᵀ, written out."""
    on = (X @ W.T > 0) * v
    blocks = np.einsum("n,ni,nj,nk,nl->ijkl", s, on, on, X, X, optimize=True)
    norms = np.sum(blocks**2, axis=(2, 3))
    return float(1 - np.trace(norms) / norms.sum())


@pytest.mark.parametrize("case", list(DATA))
@pytest.mark.parametrize("loss", ["binary_ce", "binary_mse"])
def test_shares_are_those_of_the_formula_with_and_without_the_factor(table: pd.DataFrame, case: str, loss: str) -> None:
    problem = Problem(loss, 2, 64, N, (8,), data=DATA[case])
    found = outside_shares(table).query("case == @case and loss == @loss and draw == 1").set_index("step")
    assert list(found.index) == list(SCHEDULE.checkpoint_steps)
    X, weights, y = problem.draw(1)
    run = Run([W.copy() for W in weights])
    for until, row in found.iterrows():
        for _ in run.advance(X, y, loss, SCHEDULE, int(str(until))):
            pass
        W, v = run.weights[0], run.weights[1][0]
        p = 1 / (1 + np.exp(-np.maximum(X @ W.T, 0) @ v))
        assert row["factor"] == pytest.approx(np.mean(p * (1 - p)), rel=1e-10)
        with_factor, without = (share_outside(X, W, v, s) for s in (p * (1 - p), np.full(N, 2.0)))
        own, other = (with_factor, without) if loss == "binary_ce" else (without, with_factor)
        assert (row["own"], row["other"]) == pytest.approx((own, other), abs=1e-10)
    assert abs(own - other) > 1e-6  # they are not the same by construction
    assert (found.loc[0, "diag"], found.loc[0, "offdiag"]) == (1, 1)


def initial_draws(rng: np.random.Generator, n_outputs: int, d: int, n: int, m: int, draws: int) -> np.ndarray:
    """Squared norms of the blocks (1, 2) and (1, 1), without their common factor, of MSE on Gaussian data."""
    X = rng.standard_normal((draws, n, d))
    on = X @ rng.standard_normal((draws, d, m)) > 0
    gram = np.square(X @ X.mT)
    S = rng.standard_normal((draws, m, n_outputs))
    S = S @ S.mT
    weights = [S[:, :1, 0] * on[..., 0], S[:, :1, 1] * on[..., 0] * on[..., 1]]
    diag, offdiag = (np.einsum("sn,snk,sk->s", w, gram, w) for w in weights)
    return np.array([offdiag, diag])


def test_the_ratio_of_one_output_is_the_closed_form() -> None:
    """Against draws of V, W and X of its own; the closed form of two outputs is another."""
    d, n, m = 6, 12, 2
    offdiag, diag = initial_draws(np.random.default_rng(5), 1, d, n, m, 40_000)
    ratio = offdiag.mean() / diag.mean()
    error = np.std(offdiag - ratio * diag) / diag.mean() / np.sqrt(len(diag))
    assert abs(ratio - initial_ratio(d, n, m)) < 4 * error
    [two, *_] = finite("one_hidden", "mse", 2, d, n, m, layers=("hidden",))
    assert abs(ratio - two.offdiag / two.diag) > 8 * error


def test_initial_ratios_are_compared_with_it(tmp_path: Path) -> None:
    whole = binary("test", Schedule(), n_samples=32, draws=0, start_draws=150)
    experiment = Experiment("test", [task for task in whole.tasks if task.parameters["n_samples"] == 32])
    run_tables(experiment, tmp_path)
    found = initial_ratios(experiment.read(tmp_path)).set_index("curvature")
    assert (found["draws"] == 150).all()
    assert abs(found.loc["binary_mse", "z"]) < 4
    assert found.loc["binary_ce", "value"] != found.loc["binary_mse", "value"]


def test_the_report_tells_every_checkpoint(table: pd.DataFrame) -> None:
    text = text_of("fig10", table)
    lines = text.splitlines()
    assert [sum(line.startswith(f"{case} ") for line in lines) for case in DATA] == [10, 10, 10]
    assert sum("1 step" in line for line in lines) == 6
    assert len(headline_of("fig10", table).splitlines()) == 3 + len(DATA) + 1


def test_verdicts_follow_the_numbers(table: pd.DataFrame) -> None:
    off = table["quantity"] == "offdiag_sqfro"
    table = table.assign(value=table["value"].where(~off, 1e4 * table["value"]))  # far from block-diagonal
    how, mse, ce, *factor, start = headline_of("fig10", table).splitlines()
    assert how.endswith("20 steps of Adam from 0.05, 3 draws of each data set.")
    assert mse.startswith("- MSE")
    assert ce.endswith("Near-block-diagonal (under 0.1): at no checkpoint.")
    assert all("does not make a block-diagonal structure" in line for line in factor)
    assert "closed form" in start
    small = off & (table["curvature"] == "binary_ce") & (table["step"] > 0)  # with the factor alone
    changed = table.assign(value=table["value"].where(~small, 1e-9 * table["value"]))
    _, mse_again, ce, *factor, _ = headline_of("fig10", changed).splitlines()
    assert mse_again == mse
    assert ce.endswith("Near-block-diagonal (under 0.1): at a checkpoint.")
    assert all("makes the block-diagonal structure" in line for line in factor)


def test_one_draw_gives_no_verdict(table: pd.DataFrame) -> None:
    _, *by_loss, start = headline_of("fig10", table[(table["draw"] == 0) | (table["purpose"] == "start")]).splitlines()
    assert all(line.endswith("no verdict without a standard error.") for line in by_loss)
    assert len(by_loss) == 2 + len(DATA)
    assert "closed form" in start


def test_the_figure_shows_maps_and_shares(table: pd.DataFrame) -> None:
    figure = draw("fig10", table)
    upper, lower = figure.subfigs
    for part in upper.subfigs:
        maps = [ax for ax in part.axes if ax.get_title()]
        assert [ax.get_title() for ax in maps[:4]] == ["initialisation", "1 step", "50% of steps", "100% of steps"]
        assert all(ax.get_xlim() == (0, 512) and ax.get_ylim() == (512, 0) for ax in maps)
    means = mean_shares(outside_shares(table))
    for ax, case in zip(lower.axes, DATA, strict=False):
        of_case = means[means["case"] == case]
        bars = {container.get_label(): container.lines[0].get_ydata() for container in ax.containers}
        for loss in ("binary_ce", "binary_mse"):
            np.testing.assert_allclose(bars[f"_{loss}"].astype(float), of_case.loc[of_case["loss"] == loss, "own"])
        np.testing.assert_allclose(bars["_without"].astype(float), of_case.loc[of_case["loss"] == "binary_ce", "other"])
    crosses = [line for line in lower.axes[0].lines if line.get_label() == "_theory"]
    ratio = initial_ratio(64, N, 8)
    assert crosses[0].get_ydata()[0] == pytest.approx(7 * ratio / (1 + 7 * ratio))


def test_the_sizes_are_those_of_the_appendix() -> None:
    for full in (False, True):
        trained = [task.parameters for task in fig10(full).tasks if "steps" in task.parameters]
        assert len(trained) == 3 * 2 * 16
        assert all((p["dim"], p["hidden"], p["n_classes"]) == (64, [8], 2) for p in trained)
        assert {p["steps"] * p["learning_rate"] for p in trained} == {5.0}
        assert trained[0]["checkpoints"][1] == 1 / trained[0]["steps"]
