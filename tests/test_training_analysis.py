"""What training does: tables against assembled Hessians, and the verdicts on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.errors import InputError
from rmtsim.figures.parts import part
from rmtsim.figures.registry import draw, get_figure
from rmtsim.paper.dynamic_force import loss_floor
from rmtsim.paper.trained_networks import checkpoints, outside_at_start, over_draws, settings, stripe_slopes
from rmtsim.paper.training_rates.powers import ratios
from rmtsim.stats.quoted import quoted
from rmtsim.training.adam import Run
from rmtsim.training.problem import Problem
from rmtsim.training.trajectory import trajectory_task
from tests.figures import headline_of, text_of
from tests.training_runs import SCHEDULE, C, D, M, N, quick_theory, runs_of

__all__ = ["quick_theory"]  # a fixture


@pytest.fixture(scope="module")
def both() -> pd.DataFrame:
    return pd.concat([runs_of("ce"), runs_of("mse")], ignore_index=True)


# --- the layers' norms


def trained(loss: str, draw: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    X, weights, y = Problem(loss, C, D, N, (M,)).draw(draw)
    run = Run([W.copy() for W in weights])
    for _ in run.advance(X, y, loss, SCHEDULE, SCHEDULE.steps):
        pass
    return X, run.weights, y


@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_shares_are_those_of_the_assembled_hessian(both: pd.DataFrame, loss: str) -> None:
    X, (W, V), y = trained(loss, draw=1)
    H = rmtsim.hessian(X, V, W=W, y=y, loss=loss)
    cross = H[: M * D, M * D :]
    logits = np.maximum(X @ W.T, 0) @ V.T
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    r = (P if loss == "ce" else logits) - np.eye(C)[y]
    r = r if loss == "ce" else 2 * r
    stripes = columns = 0.0
    for i in range(M):
        for j in range(C):
            stripes += np.sum((((X @ W[i] > 0) * r[:, j]) @ X / N) ** 2)
            columns += np.sum(cross[i * D : (i + 1) * D, j * M + i] ** 2)
    hidden = H[: M * D, : M * D] ** 2
    inside = sum(hidden[i * D : (i + 1) * D, i * D : (i + 1) * D].sum() for i in range(M))
    found = checkpoints(both).query("loss == @loss and draw == 1 and progress == 1").iloc[0]
    assert found["residual"] == pytest.approx(np.mean(np.sum(r**2, axis=1)))
    assert found["cross_share"] == pytest.approx(2 * np.sum(cross**2) / np.sum(H**2))
    assert found["stripe_share"] == pytest.approx(stripes / np.sum(cross**2))
    assert found["column_share"] == pytest.approx(columns / np.sum(cross**2))
    assert found["hidden_outside"] == pytest.approx(1 - inside / hidden.sum())
    start = checkpoints(both).query("loss == @loss and draw == 1 and progress == 0").iloc[0]
    assert found["relative_cross"] == pytest.approx(np.sum(cross**2) / start["cross"])
    assert start["relative_cross"] == 1


def test_means_over_draws_are_geometric_where_decades_are_spanned(both: pd.DataFrame) -> None:
    runs = checkpoints(both).query("loss == 'ce'")
    [last] = (
        over_draws(runs, ["progress"], ["relative_stripe", "stripe_share"]).query("progress == 1").to_dict("records")
    )
    ends = runs.query("progress == 1")
    assert last["relative_stripe"] == pytest.approx(np.prod(ends["relative_stripe"]) ** (1 / 3))
    assert last["stripe_share"] == pytest.approx(ends["stripe_share"].mean())
    assert last["std_error_stripe_share"] == pytest.approx(ends["stripe_share"].std() / 3**0.5)
    assert last["draws"] == 3


def test_equal_draws_do_not_tell_how_much_they_spread(both: pd.DataFrame) -> None:
    runs = checkpoints(both).query("loss == 'ce'").assign(hidden_outside=0.0, output_outside=0.5)
    means = over_draws(runs, ["progress"], ["hidden_outside", "output_outside", "value"], fixed=["output_outside"])
    assert means["std_error_hidden_outside"].isna().all()
    assert (means["std_error_output_outside"] == 0).all()
    assert (means["std_error_value"] > 0).all()


def test_the_power_of_the_residual_is_found(both: pd.DataFrame) -> None:
    runs = checkpoints(both)
    rng = np.random.default_rng(0)
    runs["residual"] = np.exp(rng.normal(size=len(runs)))
    for power in (1.0, 1.5):
        runs["stripe"] = 0.3 * runs["residual"] ** power * np.exp(1e-3 * rng.normal(size=len(runs)))
        found = stripe_slopes(runs)
        assert (np.abs(found["slope"] - power) < 5 * found["std_error_slope"]).all()
        assert (found["std_error_slope"] < 0.01).all()
    assert (np.abs(found["slope"] - 1) > 10 * found["std_error_slope"]).all()
    assert found["multiple_theory"].tolist() == pytest.approx([M * D / N / 2] * 2)


def test_stripes_of_a_residual_independent_of_the_inputs() -> None:
    """The line m γ/2 of the figure, by brute force."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(200):
        X, W, r = rng.normal(size=(N, D)), rng.normal(size=(M, D)), rng.normal(size=(N, C))
        on = (X @ W.T > 0).astype(float)
        found.append(sum(np.sum(((on[:, [i]] * X).T @ r / N) ** 2) for i in range(M)) / np.mean(np.sum(r**2, axis=1)))
    error = np.std(found) / len(found) ** 0.5
    assert abs(np.mean(found) - M * D / N / 2) < 4 * error
    assert abs(np.mean(found) - M * D / N) > 4 * error


def test_outside_at_initialisation_is_that_of_the_mean_norms() -> None:
    point = rmtsim.Point("one_hidden", "mse", C, D, N, M)
    norms = rmtsim.simulate(point, 1000).query("layer == 'hidden'")
    off, diag = (M - 1) * norms["offdiag_sqfro"], norms["diag_sqfro"]
    share = off.mean() / (off.mean() + diag.mean())
    error = np.std((1 - share) * off - share * diag) / (off.mean() + diag.mean()) / len(norms) ** 0.5
    assert abs(outside_at_start("hidden", "mse", C, D, N, M) - share) < 4 * error
    assert abs(outside_at_start("hidden", "mse", 2 * C, D, N, M) - share) > 4 * error
    assert outside_at_start("output", "mse", C, D, N, M) == 0


def test_the_floor_of_squared_loss_is_that_of_the_best_matrix_of_its_rank() -> None:
    rng = np.random.default_rng(2)
    least = []
    for _ in range(300):
        singular = np.linalg.svd(np.eye(C)[rng.integers(C, size=N)], compute_uv=False)
        least.append(np.sum(singular[M:] ** 2) / N)
    assert abs(loss_floor(C, N, M) - np.mean(least)) < 4 * np.std(least) / 300**0.5
    assert loss_floor(C, N, C) == 0


#: Shares of three draws, and the verdict on them. At three checkpoints three draws allow for 8 standard errors, so that
#: twice the spread would leave any of the first four unresolved.
PLANTED = {
    "Holds (under 0.1 throughout)": (0.0885, 0.09, 0.0915),
    "Weakened (above 0.1, under 0.5)": (0.1085, 0.11, 0.1115),
    "Weakened": (0.477, 0.48, 0.483),
    "Lost (above 0.5)": (0.517, 0.52, 0.523),
    "Not resolved": (0.087, 0.09, 0.093),
    "Not resolved: the errors": (0.3, 0.5, 0.7),
    "No verdict without a standard error": (0.0, 0.0, 0.0),
}


@pytest.mark.usefixtures("quick_theory")
@pytest.mark.parametrize("verdict", PLANTED)
@pytest.mark.parametrize(("layer", "name"), [(1, "hidden"), (2, "output")])
def test_the_verdict_on_the_block_structure(both: pd.DataFrame, verdict: str, layer: int, name: str) -> None:
    chosen = (both["quantity"] == "outside") & (both["layer"] == layer) & (both["other"] == layer)
    late = chosen & (both["progress"] == 0.1)
    low = both["value"].where(~chosen, 0.01 + 1e-4 * both["draw"])  # at one checkpoint alone it is more
    table = both.assign(value=low.where(~late, both["draw"].map(dict(enumerate(PLANTED[verdict])))))
    lines = headline_of("dynamic_force", table[table["loss"] == "ce"]).splitlines()
    [said] = [line for line in lines if f"Finding 1, {name} layer" in line]
    assert f"equal blocks {1 - 1 / (M if layer == 1 else C):.3f}. {verdict}" in said


@pytest.mark.usefixtures("quick_theory")
def test_one_draw_gives_no_verdicts(both: pd.DataFrame) -> None:
    one = both[both["draw"] == 0]
    headline = headline_of("dynamic_force", one)
    assert "; 60 steps of Adam from 0.05, 1 draw:" in headline
    assert headline.count("No verdict without a standard error") == 7  # MSE's output layer alone has one
    sizes = [trajectory_task("x", Problem("ce", c, D, N, (M,)), SCHEDULE).compute(None) for c in (8, 16, 32)]
    rates = pd.concat(sizes)
    assert text_of("training_rates", rates).count("no verdict without a standard error") == 6
    assert "no verdict without a standard error" in headline_of("training_rates", rates)
    assert "Finding 2, they vanish" in headline


def test_runs_of_other_data_or_sizes_are_kept_apart(both: pd.DataFrame) -> None:
    two = pd.concat([both, both.assign(data="clusters:20")])
    assert len(checkpoints(two)) == 2 * len(checkpoints(both))
    assert [name.partition(";")[0] for name, _ in settings(checkpoints(two).query("loss == 'ce'"))] == [
        "CE, C = 5, d = 6, N = 20, m = 3, clusters:20",
        "CE, C = 5, d = 6, N = 20, m = 3",
    ]
    with pytest.raises(InputError, match=r"data: .* clusters:20, gaussian"):
        ratios(two)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem("ce", C, D, N, (1,)), "hidden: one neuron"),
        (Problem("binary_ce", 2, D, N, (M,)), "loss: 'binary_ce'"),
        (Problem("ce", C, D, N), "no networks with one hidden layer"),
        (Problem("ce", C, D, N, (M, M)), "no networks with one hidden layer"),
        (Problem("mse", 1, D, N, (M,)), "n_classes: one class"),
    ],
)
def test_runs_without_blocks_off_the_diagonal_are_refused(problem: Problem, message: str) -> None:
    table = trajectory_task("x", problem, SCHEDULE).compute(None)
    with pytest.raises(InputError, match=message):
        text_of("dynamic_force", table)


def test_runs_without_initialisation_are_refused(both: pd.DataFrame) -> None:
    late = both[(both["step"] > 0) | (both["draw"] > 0)]
    with pytest.raises(InputError, match="checkpoints: a run has none at initialisation"):
        checkpoints(late)


@pytest.mark.usefixtures("quick_theory")
def test_dynamic_force_says_and_shows_what_was_found(both: pd.DataFrame) -> None:
    report, headline = text_of("dynamic_force", both), headline_of("dynamic_force", both)
    assert "Finding 1, output layer, squared norm outside the diagonal blocks: none at any checkpoint" in headline
    last = over_draws(checkpoints(both).query("loss == 'ce' and progress == 1"), ["loss"], ["stripe_share"]).iloc[0]
    assert quoted(last["stripe_share"], last["std_error_stripe_share"]) in report
    assert max(map(len, report.splitlines())) <= 115
    stripes = part(get_figure("dynamic_force").numbers(both), "stripes").set_index("loss")
    places = {("ce", "stripes"): "(over 0.5)", ("ce", "vanishing"): "(under 0.5)"}
    places |= {("mse", "cross"): "(under 0.1 throughout)", ("mse", "cross_over_output"): "layer alone"}
    for (loss, name), place in places.items():
        verdict = stripes.loc[loss, f"{name}_verdict"].capitalize()
        assert (f"{place}: {verdict}." if place == "layer alone" else f" {verdict} {place}") in headline
    more = pd.concat([both, runs_of("ce", 2, n_samples=8)])
    names = [name for name, _ in settings(checkpoints(more))]
    assert names == [line[2:-1] for line in headline_of("dynamic_force", more).splitlines() if line.startswith("- ")]
    assert "CE, C = 5, d = 6, N = 8, m = 3; 60 steps of Adam from 0.05, 2 draws" in names
    figure = draw("dynamic_force", both)
    assert "60 steps of Adam from 0.05" in figure.get_suptitle()
    assert len(figure.axes) == 8
    shown = figure.axes[1].containers[0].lines[0].get_ydata()
    means = over_draws(checkpoints(both).query("loss == 'ce'"), ["progress"], ["stripe_share"])
    np.testing.assert_allclose(np.asarray(shown, dtype=float), means["stripe_share"])


def test_loss_curves_show_every_draw(both: pd.DataFrame) -> None:
    figure = draw("fig13", both)
    for ax, loss in zip(figure.axes, ("ce", "mse"), strict=True):
        assert ax.get_title().startswith({"ce": "cross-entropy", "mse": "squared loss"}[loss])
        curve = both.query("loss == @loss and quantity == 'loss' and draw == 2").sort_values("step")
        np.testing.assert_allclose(np.column_stack(ax.lines[2].get_data()), curve[["step", "value"]])
    assert "CE, C = 5, d = 6, N = 20, m = 3: 60 steps of Adam" in text_of("fig13", both)
    assert len(headline_of("fig13", both).splitlines()) == 2
    for draws, words in ((3, "3 draws"), (1, "1 draw")):
        some = both[both["draw"] < draws]
        legend = draw("fig13", some).axes[0].get_legend()
        assert legend is not None
        assert legend.get_texts()[0].get_text() == words
        assert f"60 steps of Adam from 0.05, {words}\n" in text_of("fig13", some)
