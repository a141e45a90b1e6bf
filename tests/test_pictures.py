"""Pictures of Hessians: shares against the matrix that JAX differentiates, theory where there is one, the figure."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.hessian_figure import plot_pictures
from analysis.picture_report import headline_pictures, percent, report_pictures
from analysis.shares import shares
from rmtsim.data.clusters import Clusters
from rmtsim.estimates import ratio_estimate
from rmtsim.experiment import Experiment
from rmtsim.experiments import pictures
from rmtsim.experiments.pictures import norms_task, picture_task
from rmtsim.full_hessian.description import Look
from rmtsim.theory import Prediction, finite
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from tests import autodiff, cases

SMALL = Problem("ce", 4, 5, 20, (3,))


def quick_theory(model: str, *arguments: object, **options: object) -> list[Prediction]:
    """Return MSE's expectations, but for zeros, for any loss: for tests of something else, as CE's take seconds."""
    found = finite(model, "mse", *arguments[1:], **options)  # type: ignore[arg-type]
    return [dataclasses.replace(one, offdiag=one.offdiag or one.diag / 2) for one in found]


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.shares.finite", quick_theory)


def table_of(folder: Path, *tasks: object) -> pd.DataFrame:
    experiment = Experiment("test", tasks)  # type: ignore[arg-type]
    experiment.run(folder)
    return experiment.read(folder)


def block_norms(problem: Problem, draw: int, order: np.ndarray | None = None) -> np.ndarray:
    """Squared norms of the blocks of the Hessian that JAX gives, its parameters in another order if wished."""
    X, weights, y = problem.draw(draw)
    H = autodiff.hessian(cases.Problem(X, weights[-1], weights[0] if len(weights) > 1 else None, y, problem.loss))
    H = H if order is None else H[np.ix_(order, order)]
    edges = np.concatenate([[0], np.cumsum([columns for rows, columns in problem.shapes for _ in range(rows)])])
    return np.array([[np.sum(H[a:b, c:d] ** 2) for c, d in pairwise(edges)] for a, b in pairwise(edges)])


def parts(norms: np.ndarray, m: int) -> dict[str, tuple[float, float]]:
    def off(B: np.ndarray) -> tuple[float, float]:
        return float(B.sum() - np.trace(B)), float(B.sum())

    return {
        "hidden": off(norms[:m, :m]),
        "output": off(norms[m:, m:]),
        "whole": off(norms),
        "cross": (2 * float(norms[:m, m:].sum()), float(norms.sum())),
    }


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_shares_are_those_of_the_matrix(tmp_path: Path, loss: str) -> None:
    problem = Problem(loss, 4, 5, 20, (3,))
    found = shares(table_of(tmp_path, picture_task("x", problem))).set_index("share")
    by_hand = parts(block_norms(problem, 0), 3)
    assert list(found.index) == list(by_hand)
    for share, (part, whole) in by_hand.items():
        assert found.loc[share, "value"] == pytest.approx(part / whole, abs=1e-12)
    assert found["std_error"].isna().all()
    other = block_norms(problem, 0, np.random.default_rng(0).permutation(problem.n_parameters))
    assert abs(parts(other, 3)["hidden"][0] / parts(other, 3)["hidden"][1] - found.loc["hidden", "value"]) > 0.05


@pytest.mark.usefixtures("_quick")
def test_draws_are_pooled_with_their_error(tmp_path: Path) -> None:
    table = table_of(tmp_path, picture_task("x", SMALL), norms_task("x", SMALL, draws=5))
    found = shares(table).set_index("share")
    by_draw = [parts(block_norms(SMALL, draw), 3) for draw in range(5)]
    for share in ("hidden", "output", "whole", "cross"):
        part, whole = np.array([draw[share] for draw in by_draw]).T
        assert (found.loc[share, "value"], found.loc[share, "std_error"]) == pytest.approx(ratio_estimate(part, whole))
    assert (found["draws"] == 5).all()


@pytest.mark.usefixtures("_quick")
def test_linear_model(tmp_path: Path) -> None:
    problem = Problem("ce", 4, 5, 20)
    [row] = shares(table_of(tmp_path, picture_task("x", problem))).to_dict("records")
    norms = block_norms(problem, 0)
    assert row["share"] == "linear"
    assert row["value"] == pytest.approx(1 - np.trace(norms) / norms.sum(), abs=1e-12)


@pytest.mark.usefixtures("_quick")
def test_theory_is_there_at_initialisation_only(tmp_path: Path) -> None:
    schedule = Schedule(4, 0.1, (0, 0.5, 1))
    found = shares(table_of(tmp_path, picture_task("x", SMALL, schedule)))
    assert found.groupby("step")["theory"].count().to_dict() == {0: 4, 2: 0, 4: 0}
    clustered = Problem("ce", 4, 5, 20, (3,), data=Clusters(4))
    for problem in (clustered, Problem("ce", 4, 5, 20, (3, 3)), Problem("binary_ce", 2, 5, 20, (3,))):
        assert shares(table_of(tmp_path, picture_task("x", problem)))["theory"].isna().all()


@pytest.mark.parametrize(("loss", "hidden", "n_shares"), [("ce", (), 1), ("mse", (4,), 3)])
def test_theory_is_that_of_the_size(tmp_path: Path, loss: str, hidden: tuple[int, ...], n_shares: int) -> None:
    table = table_of(tmp_path, norms_task("x", Problem(loss, 6, 16, 32, hidden), draws=1500))
    found = shares(table)
    tested = found[found["theory"] > 0]
    assert len(tested) == n_shares  # MSE's output layer is block-diagonal
    assert (tested["z"].abs() < 4).all()
    elsewhere = shares(table.assign(n_samples=320))  # another d/N
    assert abs(elsewhere["z"].iloc[0]) > 8


@pytest.mark.usefixtures("_quick")
def test_the_figure_shows_maps_blocks_and_numbers(tmp_path: Path) -> None:
    look = Look(cells=1000, blocks=True)  # more cells than parameters: every entry
    table = table_of(tmp_path, picture_task("case", SMALL, look=look), norms_task("case", SMALL, draws=4))
    figure = plot_pictures(table, "A title")
    assert figure.get_suptitle().splitlines()[0] == "A title"
    maps = figure.axes[:4]  # a single picture: side by side
    assert len({round(ax.get_position().y0, 6) for ax in maps}) == 1
    X, (W, V), y = SMALL.draw()
    H = np.abs(autodiff.hessian(cases.Problem(X, V, W, y, "ce")))
    for ax, (start, stop), clip in zip(maps, ((0, 27), (0, 15), (15, 27)), (0.01, 0.1, 0.01), strict=False):
        assert (ax.get_xlim(), ax.get_ylim()) == ((start, stop), (stop, start))
        size = H[start:stop, start:stop]
        shown = np.reshape(ax.collections[0].get_array(), size.shape)
        np.testing.assert_allclose(shown, size / (clip * size.max()), atol=1e-10)
    assert [ax.get_ylabel() for ax in maps] == [
        "full Hessian, |entry|",
        "hidden layer, |entry|",
        "output layer, |entry|",
        "blocks, root mean square entry",
    ]
    found = shares(table).set_index("share")
    for ax, share in zip(maps, ("whole", "hidden", "output", "cross"), strict=True):
        assert percent(found.loc[share, "value"], found.loc[share, "std_error"]) in ax.get_title()
        assert f"theory {percent(found.loc[share, 'theory'], found.loc[share, 'std_error'], False)}" in ax.get_title()


@pytest.mark.usefixtures("_quick")
def test_several_pictures_stand_side_by_side(tmp_path: Path) -> None:
    schedule = Schedule(4, 0.1, (0, 1))
    table = table_of(tmp_path, picture_task("CE", SMALL, schedule, look=Look(cells=20)))
    figure = plot_pictures(table, "", ("whole", "hidden"))
    titles = [ax.get_title() for ax in figure.axes[:4]]
    assert ["CE, 0% of steps" in title for title in titles] == [True, False, False, False]
    assert "CE, 100% of steps" in titles[1]
    assert "theory" in titles[0]
    assert "theory" not in titles[1]


def test_report_and_headline_tell_the_shares(tmp_path: Path) -> None:
    small, large = (Problem("mse", C, 5, 20, (3,)) for C in (2, 8))
    tasks = [norms_task(f"$C = {p.n_classes}$", p, draws=9) for p in (small, large)]
    table = table_of(tmp_path, *tasks)
    found, text = shares(table), report_pictures(table)
    for row in found.itertuples():
        assert percent(row.value, row.std_error) in text
    lines = text.splitlines()[1:]
    assert sum(line.startswith("C = 2 ") for line in lines) == sum(line.startswith("C = 8 ") for line in lines) == 4
    headline = headline_pictures(table)
    assert headline.startswith("outside the diagonal blocks, C = 2 → C = 8: hidden ")
    assert f"largest |z| {found['z'].abs().max():.2f}" in headline


def test_figures_of_the_paper_have_its_sizes() -> None:
    for name, loss, hidden in (("fig4", "mse", []), ("fig5", "ce", []), ("fig6", "mse", [8]), ("fig7", "ce", [8])):
        tasks = getattr(pictures, name)(True).tasks
        sizes = [[t.parameters[k] for k in ("loss", "hidden", "dim", "n_classes", "n_samples")] for t in tasks]
        assert sizes == [[loss, hidden, 64, C, C] for C in (10, 50, 100, 1000) for _ in range(2)]
        assert len({task.file for task in tasks}) == len(tasks)
    for name, loss in (("fig2", "mse"), ("fig3", "ce")):
        [task] = getattr(pictures, name)(True).tasks
        assert [task.parameters[k] for k in ("loss", "dim", "n_classes", "n_samples")] == [loss, 500, 500, 5000]
        assert (task.parameters["steps"], task.parameters["learning_rate"]) == (50_000, 1e-4)
        reduced = getattr(pictures, name)().tasks[0].parameters
        assert reduced["steps"] * reduced["learning_rate"] == pytest.approx(5)
    assert pictures.deep(True).tasks[0].parameters["hidden"] == [50, 50, 50]
