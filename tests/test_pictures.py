"""Pictures of Hessians: shares against the matrix that JAX differentiates, theory where there is one, the figure."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from rmtsim.data.clusters import Clusters
from rmtsim.figures.parts import part as part_of
from rmtsim.full_hessian.description import Look
from rmtsim.paper.deep_network import Deep
from rmtsim.paper.fig2 import Fig2
from rmtsim.paper.fig3 import Fig3
from rmtsim.paper.fig4 import Fig4
from rmtsim.paper.fig5 import Fig5
from rmtsim.paper.fig6 import Fig6
from rmtsim.paper.fig7 import Fig7
from rmtsim.paper.hessian_drawing import plot_pictures
from rmtsim.paper.hessian_pictures import HessianPictures, picture_task, schedule_in_words, simulated_norms_task
from rmtsim.paper.norm_shares import in_percent, shares
from rmtsim.stats.estimates import ratio_estimate
from rmtsim.stats.quoted import quoted
from rmtsim.sweeps.experiment import table_file
from rmtsim.theory import finite
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from tests import autodiff, cases
from tests.hessian_norms import SMALL, block_norms, parts, table_of
from tests.synthetic import quick


class Pictures(HessianPictures):
    """Pictures that no registry has."""

    name, title = "test", "A title"


def text_of(table: pd.DataFrame) -> str:
    return Pictures().text(Pictures().numbers(table))


def headline_of(table: pd.DataFrame) -> str:
    return Pictures().headline(Pictures().numbers(table))


def picture_of(table: pd.DataFrame, *views: str) -> Figure:
    numbers = Pictures().numbers(table)
    heading = ["A title", *schedule_in_words(part_of(numbers, "training"))]
    return plot_pictures(part_of(numbers, "maps"), part_of(numbers, "shares"), heading, views or None)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtsim.paper.norm_shares.finite", quick(finite))


def stripes(problem: Problem, draw: int) -> float:
    """Squared norm of the residual's term of the cross layer, one triangle."""
    X, (W, V), y = problem.draw(draw)
    logits = np.maximum(X @ W.T, 0) @ V.T
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    slope = P - np.eye(problem.n_classes)[y] if problem.loss == "ce" else 2 * (logits - np.eye(problem.n_classes)[y])
    return float(np.sum((np.einsum("ni,nk,nj->ikj", X @ W.T > 0, X, slope) / len(X)) ** 2))


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_shares_are_those_of_the_matrix(tmp_path: Path, loss: str) -> None:
    problem = Problem(loss, 4, 5, 20, (3,))
    found = shares(table_of(tmp_path, picture_task("x", problem))).set_index("share")
    norms = block_norms(problem, 0)
    by_hand = parts(norms, 3) | {"stripes": (stripes(problem, 0), float(norms[:3, 3:].sum()))}
    assert list(found.index) == list(by_hand)
    for share, (part, whole) in by_hand.items():
        assert found.loc[share, "value"] == pytest.approx(part / whole, abs=1e-12)
    assert found["std_error"].isna().all()
    other = block_norms(problem, 0, np.random.default_rng(0).permutation(problem.n_parameters))
    assert abs(parts(other, 3)["hidden"][0] / parts(other, 3)["hidden"][1] - found.loc["hidden", "value"]) > 0.05


@pytest.mark.usefixtures("_quick")
def test_draws_are_pooled_with_their_error(tmp_path: Path) -> None:
    table = table_of(tmp_path, picture_task("x", SMALL), simulated_norms_task("x", SMALL, draws=5))
    found = shares(table).set_index("share")
    by_draw = [parts(block_norms(SMALL, draw), 3) for draw in range(5)]
    for share in ("hidden", "output", "whole", "cross"):
        part, whole = np.array([draw[share] for draw in by_draw]).T
        assert (found.loc[share, "value"], found.loc[share, "std_error"]) == pytest.approx(ratio_estimate(part, whole))
    assert (found["draws"] == 5).all()
    assert "stripes" not in found.index  # the draws of norms alone have none


@pytest.mark.usefixtures("_quick")
def test_stripes_are_pooled_where_all_draws_have_them(tmp_path: Path) -> None:
    tasks = [picture_task("x", SMALL, draw=draw, look=Look()) for draw in range(4)]
    row = shares(table_of(tmp_path, *tasks)).set_index("share").loc["stripes"]
    part, whole = np.array([(stripes(SMALL, draw), block_norms(SMALL, draw)[:3, 3:].sum()) for draw in range(4)]).T
    assert (row["value"], row["std_error"]) == pytest.approx(ratio_estimate(part, whole))
    assert (row["draws"], np.isnan(row["theory"])) == (4, True)


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
    assert found.groupby("step")["theory"].count().to_dict() == {0: 4, 2: 0, 4: 0}  # none of the stripes
    clustered = Problem("ce", 4, 5, 20, (3,), data=Clusters(4))
    for problem in (clustered, Problem("binary_ce", 2, 5, 20, (3,))):
        assert shares(table_of(tmp_path, picture_task("x", problem)))["theory"].isna().all()


def test_theory_of_deep_networks_is_marked_as_leading_order(tmp_path: Path) -> None:
    problem = Problem("ce", 10, 20, 40, (24, 24))
    table = table_of(tmp_path, *(picture_task("x", problem, draw=draw, look=Look()) for draw in range(24)))
    found = shares(table).set_index("share")
    layers = found.loc[["layer 1", "layer 2", "layer 3"]]
    np.testing.assert_allclose(layers["theory"], layers["value"], rtol=0.15)
    assert found.loc[["whole", "cross"], "theory"].isna().all()
    assert found["z"].isna().all()
    text = text_of(table)
    assert all(f"≈ {in_percent(row.theory, row.std_error, with_error=False)}" in text for row in layers.itertuples())
    assert "leading order in 1/width" in text
    elsewhere = shares(table.assign(n_classes=100)).set_index("share")  # the theory of another fan-out
    assert elsewhere.loc["layer 2", "theory"] < 0.7 * layers.loc["layer 2", "theory"]


@pytest.mark.parametrize(("loss", "hidden", "n_shares"), [("ce", (), 1), ("mse", (4,), 3)])
def test_theory_is_that_of_the_size(tmp_path: Path, loss: str, hidden: tuple[int, ...], n_shares: int) -> None:
    table = table_of(tmp_path, simulated_norms_task("x", Problem(loss, 6, 16, 32, hidden), draws=1500))
    found = shares(table)
    tested = found[found["theory"] > 0]
    assert len(tested) == n_shares  # MSE's output layer is block-diagonal
    assert (tested["z"].abs() < 4).all()
    elsewhere = shares(table.assign(n_samples=320))  # another d/N
    assert abs(elsewhere["z"].iloc[0]) > 8


@pytest.mark.usefixtures("_quick")
def test_the_figure_shows_maps_blocks_and_numbers(tmp_path: Path) -> None:
    look = Look(cells=1000, blocks=True)  # more cells than parameters: every entry
    table = table_of(tmp_path, picture_task("case", SMALL, look=look), simulated_norms_task("case", SMALL, draws=4))
    figure = Pictures().plot(Pictures().numbers(table))
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
        assert in_percent(found.loc[share, "value"], found.loc[share, "std_error"]) in ax.get_title()
        theory = in_percent(found.loc[share, "theory"], found.loc[share, "std_error"], with_error=False)
        assert f"theory {theory}" in ax.get_title()


@pytest.mark.usefixtures("_quick")
def test_cells_are_drawn_by_their_means(tmp_path: Path) -> None:
    """Of several entries each: the largest would be another picture."""
    table = table_of(tmp_path, picture_task("case", SMALL, look=Look(cells=5, strip=2)))
    figure = picture_of(table, "whole", "hidden", "strip")
    X, (W, V), y = SMALL.draw()
    H = np.abs(autodiff.hessian(cases.Problem(X, V, W, y, "ce")))
    for ax, columns in zip(figure.axes[:3], (27, 15, 6), strict=True):
        drawn = ax.collections[0].get_coordinates()
        across, down = (np.unique(drawn[..., k]).astype(int) for k in (0, 1))
        assert len(across) < columns + 2
        bar = next(bar for bar in figure.axes[3:] if bar.get_ylabel())
        assert "cell mean" in bar.get_ylabel()
        means, tops = (
            np.array([[how(H[a:b, c:d]) for c, d in pairwise(across)] for a, b in pairwise(down)])
            for how in (np.mean, np.max)
        )
        shown = np.reshape(ax.collections[0].get_array(), means.shape)
        clip = shown.max() / means.max()
        np.testing.assert_allclose(shown, clip * means, atol=1e-10)
        assert clip * tops.max() == pytest.approx(round(clip * tops.max()))  # 1 over the fraction of the largest
        assert np.abs(shown / shown.max() - tops / tops.max()).max() > 0.05
    assert "stripes: share of the residual's term" in figure.get_suptitle()
    strip = figure.axes[2]
    assert (strip.get_xlim(), strip.get_ylim()) == ((15, 21), (15, 0))
    assert "stripes" in strip.get_title()


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(("n_classes", "thin"), [(4, [5, 10, 15, 18, 21, 24]), (50, [])])
def test_blocks_of_the_whole_have_boundaries_where_they_can_be_seen(
    tmp_path: Path, n_classes: int, thin: list[int]
) -> None:
    problem = Problem("ce", n_classes, 5, 20, (3,))
    figure = picture_of(table_of(tmp_path, picture_task("x", problem, look=Look(cells=9))), "whole")
    lines = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]
    drawn = {width: [] for width in (0.25, 0.8)}
    for each in lines:
        drawn[each.get_linewidth()[0]] += [segment[0] for segment in each.get_segments() if np.ptp(segment[:, 0]) == 0]
    assert [place for place, _ in drawn[0.8]] == [15]  # layers
    assert [place for place, _ in drawn[0.25]] == thin


@pytest.mark.usefixtures("_quick")
def test_the_report_tells_the_training_and_the_losses(tmp_path: Path) -> None:
    schedule = Schedule(4, 2e-2, (0, 1))
    tasks = [picture_task("CE", SMALL, schedule, draw, Look(cells=5)) for draw in range(3)]
    table = table_of(tmp_path, *tasks)
    losses = [table[(table["quantity"] == "loss") & (table["step"] == step)]["value"] for step in (0, 4)]
    ends = " → ".join(quoted(x.mean(), x.std() / 3**0.5) for x in losses)
    line = f"4 steps of Adam from 2e-2, 200 times the paper's rate, 3 draws: loss {ends}"
    assert line in text_of(table)
    assert line in headline_of(table)
    assert line in picture_of(table, "whole").get_suptitle()
    one = table[table["draw"] == 0].assign(steps=50_000, learning_rate=1e-4)
    one["step"] = one["step"].replace(4, 50_000)
    assert "50,000 steps of Adam from 1e-4, the paper's schedule, one draw: loss" in text_of(one)
    assert "Adam" not in text_of(table_of(tmp_path / "still", picture_task("x", SMALL)))


@pytest.mark.usefixtures("_quick")
def test_several_pictures_stand_side_by_side(tmp_path: Path) -> None:
    schedule = Schedule(4, 0.1, (0, 1))
    table = table_of(tmp_path, picture_task("CE", SMALL, schedule, look=Look(cells=20)))
    figure = picture_of(table, "whole", "hidden")
    titles = [ax.get_title() for ax in figure.axes[:4]]
    assert ["CE, 0% of steps" in title for title in titles] == [True, False, False, False]
    assert "CE, 100% of steps" in titles[1]
    assert "theory" in titles[0]
    assert "theory" not in titles[1]


def test_report_and_headline_tell_the_shares(tmp_path: Path) -> None:
    small, large = (Problem("mse", C, 5, 20, (3,)) for C in (2, 8))
    tasks = [simulated_norms_task(f"$C = {p.n_classes}$", p, draws=9) for p in (small, large)]
    table = table_of(tmp_path, *tasks)
    found, text = shares(table), text_of(table)
    for row in found.itertuples():
        assert in_percent(row.value, row.std_error) in text
    lines = text.splitlines()[1:]
    assert sum(line.startswith("C = 2 ") for line in lines) == sum(line.startswith("C = 8 ") for line in lines) == 4
    headline = headline_of(table)
    assert headline.startswith("outside the diagonal blocks, C = 2 → C = 8: hidden ")
    assert f"largest |z| {found['z'].abs().max():.2f}" in headline


def test_figures_of_the_paper_have_its_sizes() -> None:
    for figure, loss, hidden in ((Fig4(), "mse", []), (Fig5(), "ce", []), (Fig6(), "mse", [8]), (Fig7(), "ce", [8])):
        tasks = figure.tables(full=True).tasks
        sizes = [[t.parameters[k] for k in ("loss", "hidden", "dim", "n_classes", "n_samples")] for t in tasks]
        assert sizes == [[loss, hidden, 64, C, C] for C in (10, 50, 100, 1000) for _ in range(2)]
        assert len({table_file(task) for task in tasks}) == len(tasks)
    for trained, loss in ((Fig2(), "mse"), (Fig3(), "ce")):
        [task] = trained.tables(full=True).tasks
        assert [task.parameters[k] for k in ("loss", "dim", "n_classes", "n_samples")] == [loss, 500, 500, 5000]
        assert (task.parameters["steps"], task.parameters["learning_rate"]) == (50_000, 1e-4)
        reduced = trained.tables().tasks[0].parameters
        assert reduced["steps"] * reduced["learning_rate"] == pytest.approx(5)
    assert Deep().tables(full=True).tasks[0].parameters["hidden"] == [50, 50, 50]
