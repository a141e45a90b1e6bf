"""Means, ratios and standard errors over draws."""

import math

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.errors import InputError
from rmtsim.model.point import Point
from rmtsim.stats.summary import POINT_COLUMNS, on_limit_scale, summarize
from tests.synthetic import draws_of, sweep_of

LINEAR = Point(model="linear", loss="ce", n_classes=10, dim=20, n_samples=40)
HIDDEN = Point(model="one_hidden", loss="mse", n_classes=10, dim=20, n_samples=40, width=4)


def the_line(summary: pd.DataFrame, **wanted: object) -> pd.Series:
    for key, value in wanted.items():
        summary = summary[summary[key] == value]
    assert len(summary) == 1
    return summary.iloc[0]


def jackknife(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The delete-one jackknife of mean(b)/mean(a), by leaving out draws one after the other."""
    n = len(a)
    left_out = np.array([np.delete(b, k).mean() / np.delete(a, k).mean() for k in range(n)])
    value = n * b.mean() / a.mean() - (n - 1) * left_out.mean()
    return value, float(np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2)))


def test_means_and_ratio_against_the_definition() -> None:
    draws = draws_of(LINEAR, {"linear": (3.0, 0.5)}, np.random.default_rng(1), draws=9, rse=0.3)
    line = summarize(draws).iloc[0]
    a, b = draws["diag_sqfro"].to_numpy(), draws["offdiag_sqfro"].to_numpy()
    assert line["draws"] == 9
    for name, x in (("diag", a), ("offdiag", b)):
        assert line[f"{name}_sqfro"] == pytest.approx(x.mean())
        assert line[f"std_error_{name}"] == pytest.approx(x.std(ddof=1) / 3)
    assert (line["ratio"], line["std_error_ratio"]) == pytest.approx(jackknife(a, b), rel=1e-12)
    assert line["rse_ratio"] == pytest.approx(line["std_error_ratio"] / line["ratio"])
    assert line["ratio"] != pytest.approx(b.mean() / a.mean(), rel=1e-6)  # the bias correction is there


def test_jackknife_removes_most_of_the_bias() -> None:
    rng = np.random.default_rng(2)
    points, number = 800, 5
    draws = draws_of(LINEAR, {"linear": (1.0, 1.0)}, rng, draws=points * number, rse=0.5)
    draws = draws.assign(point_id=np.repeat(np.arange(points).astype(str), number), draw=np.tile(range(number), points))
    ratios = summarize(draws)["ratio"]
    assert len(ratios) == points
    plain = draws.groupby("point_id")[["diag_sqfro", "offdiag_sqfro"]].mean()
    plain_ratios = plain["offdiag_sqfro"] / plain["diag_sqfro"]
    std_error = ratios.std() / np.sqrt(points)
    assert abs(ratios.mean() - 1) < 3 * std_error
    assert plain_ratios.mean() - 1 > 3 * std_error  # negative control


def test_only_d_by_d_blocks_are_divided_by_d() -> None:
    means = {"hidden": (40.0, 20.0), "output": (7.0, 0.0), "cross": (None, 2.0)}
    summary = summarize(draws_of(HIDDEN, means, np.random.default_rng(3)))
    scaled = on_limit_scale(summary)
    for layer, scale in (("hidden", 20), ("output", 1), ("cross", 1)):
        line, over_scale = the_line(summary, layer=layer), the_line(scaled, layer=layer)
        assert over_scale["offdiag"] == line["offdiag_sqfro"] / scale
        assert over_scale["std_error_offdiag"] == line["std_error_offdiag"] / scale
    assert the_line(summary, layer="hidden")["diag_sqfro"] == pytest.approx(40.0, rel=0.05)
    assert the_line(scaled, layer="hidden")["diag"] == pytest.approx(2.0, rel=0.05)


def test_exact_zeros_have_no_error_and_missing_blocks_no_value() -> None:
    means = {"hidden": (40.0, None), "output": (7.0, 0.0), "cross": (None, 2.0)}
    summary = summarize(draws_of(HIDDEN, means, np.random.default_rng(4)))
    output = the_line(summary, layer="output")
    names = ["offdiag_sqfro", "std_error_offdiag", "rse_offdiag", "ratio", "std_error_ratio", "rse_ratio"]
    assert (output[names] == 0).all()
    assert the_line(summary, layer="hidden")[names].isna().all()
    assert the_line(summary, layer="cross")[["diag_sqfro", "std_error_diag", "rse_diag", "ratio"]].isna().all()
    assert the_line(summary, layer="cross")["rse_offdiag"] > 0


def test_one_draw_has_a_mean_but_no_standard_error() -> None:
    line = summarize(draws_of(LINEAR, {"linear": (3.0, 0.5)}, np.random.default_rng(5), draws=1)).iloc[0]
    assert line["diag_sqfro"] > 0
    assert line[["std_error_diag", "rse_diag", "std_error_ratio"]].isna().all()


def test_seeds_of_a_point_are_pooled_and_order_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    draws = pd.concat(draws_of(LINEAR, {"linear": (3.0, 0.5)}, rng, draws=4, seed=seed) for seed in (0, 1))
    [n] = summarize(draws)["draws"]
    assert n == 8
    shuffled = draws.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(summarize(shuffled), summarize(draws), rtol=1e-12)


def test_one_line_per_point_and_layer_sorted_by_classes() -> None:
    points = [Point(model="linear", loss="ce", n_classes=C, dim=20, n_samples=40) for C in (30, 2, 10)]
    summary = summarize(sweep_of(points, [{"linear": (1.0, 1.0)}] * 3, draws=3))
    assert summary["n_classes"].tolist() == [2, 10, 30]
    assert summary["width"].isna().all()
    assert list(summary.columns[: len(POINT_COLUMNS)]) == POINT_COLUMNS


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda draws: pd.concat([draws, draws.iloc[[3]]]), "draw 3, layer linear occurs more than once"),
        (
            lambda draws: draws.drop(columns=["seed", "dim"]),
            r"^draws: it has no columns dim, seed; give a store, or the draws themselves, one row for each draw",
        ),
        (lambda draws: draws.drop(columns=["draw"]), "^draws: it has no column draw; give a store, or the draws"),
        (summarize, r"no columns seed, draw, and seems to be the means that summarize returns; give a store, or the"),
        (lambda draws: draws.iloc[:0], "no rows"),
        (lambda draws: draws.assign(diag_sqfro=draws["diag_sqfro"].where(draws["draw"] > 0)), "nulls in others"),
        (list, "^draws: list is no DataFrame; give a store, its location, or a table with its columns, as open_store"),
        (lambda draws: draws.assign(diag_sqfro="a"), "^draws: column diag_sqfro holds what is no number"),
        (lambda draws: draws.assign(n_classes="ten"), "^draws: column n_classes holds what is no number"),
        (
            lambda draws: draws.assign(n_classes=0),
            "^draws: column n_classes holds 0; give whole numbers from 1 to 1000000000$",
        ),
        (
            lambda draws: draws.assign(n_classes=1e30),
            "^draws: column n_classes holds 1e.30; give whole numbers",
        ),
        (lambda draws: draws.assign(dim=-3), "^draws: column dim holds -3; give whole numbers from 1 to"),
        (lambda draws: draws.assign(block_rows=0), "^draws: column block_rows holds 0; give whole numbers from 1"),
        (lambda draws: draws.assign(seed=-1), "^draws: column seed holds -1; give whole numbers from 0 to"),
        (
            lambda draws: draws.assign(draw=draws["draw"] + 0.5),
            "^draws: column draw holds 0.5; give whole",
        ),
        (lambda draws: draws.assign(weights_per_draw=1001), "^draws: column weights_per_draw holds 1001; give whole"),
        (
            lambda draws: draws.assign(aspect_ratio=np.nan),
            "^draws: column aspect_ratio holds nan; give positive",
        ),
        (
            lambda draws: draws.assign(diag_sqfro=-1.0),
            "^draws: column diag_sqfro holds -1; give numbers from 0 to 1e.150",
        ),
        (lambda draws: draws.assign(std_error_diag=1e200), "^draws: column std_error_diag holds 1e.200; give numbers"),
        (lambda draws: draws.assign(n_classes=True), "^draws: column n_classes holds what is no number"),
        (lambda draws: draws.assign(dim=pd.Timestamp("2026-01-01")), "^draws: column dim holds what is no number"),
        (
            lambda draws: draws.assign(aspect_ratio=3.0),
            "^draws: column aspect_ratio holds 3 where dim / n_samples is 0.5;",
        ),
        (
            lambda draws: draws.assign(aspect_ratio=0.0),
            "^draws: column aspect_ratio holds 0; give positive numbers d",
        ),
        (
            lambda draws: draws.assign(data_variance=-1.0),
            "^draws: column data_variance holds -1; give numbers from 1e",
        ),
        (
            lambda draws: draws.assign(last_gain=1e9),
            "^draws: column last_gain holds 1e.09; give numbers from 1e",
        ),
        (lambda draws: draws.assign(width=3), "^draws: column width holds 3 for the model linear, which has no"),
        (lambda draws: draws.assign(layer="hidden"), "^draws: layer: 'hidden' is not known; choose one of linear$"),
        (
            lambda draws: draws.assign(model="one_hidden", layer="output"),
            "^draws: column width has no number for the model one_hidden; give the number of its hidden neurons$",
        ),
        (lambda draws: draws.assign(n_samples=2.5), "^draws: column n_samples holds 2.5; give whole"),
        (lambda draws: draws.assign(offdiag_sqfro=np.inf), "^draws: column offdiag_sqfro holds inf; give numbers"),
        (lambda draws: draws.assign(dim=np.nan), "^draws: column dim holds nan; give whole numbers from 1 to"),
        (lambda draws: draws.assign(diag_sqfro=1j), "^draws: column diag_sqfro holds what is no number"),
        (lambda draws: draws.assign(model=[["linear"]] * len(draws)), "^draws: column model holds what is no text"),
        (lambda draws: pd.concat([draws, draws[["dim"]]], axis=1), "^draws: two columns are named dim; keep one"),
        (lambda draws: draws.assign(layer="last"), "^draws: layer: 'last' is not known; choose one of linear, hidden"),
        (lambda draws: draws.assign(loss="hinge"), "^draws: loss: 'hinge' is not known; choose one of ce, mse$"),
    ],
)
def test_bad_tables_are_refused(spoil, message) -> None:  # type: ignore[no-untyped-def]
    draws = draws_of(LINEAR, {"linear": (3.0, 0.5)}, np.random.default_rng(7), draws=5)
    with pytest.raises(InputError, match=message):
        summarize(spoil(draws))


def test_effective_draws_leave_out_the_variance_of_sampling_classes() -> None:
    rng = np.random.default_rng(5)
    exact = draws_of(LINEAR, {"linear": (3.0, 0.5)}, rng, draws=4000, rse=0.1)
    error = 0.5 * exact["diag_sqfro"].std()
    sampled = exact.assign(
        diag_sqfro=exact["diag_sqfro"] + error * rng.standard_normal(4000), std_error_diag=error, std_error_offdiag=0.0
    )
    assert summarize(exact)["effective_draws"].item() == 4000
    assert summarize(sampled)["effective_draws"].item() == pytest.approx(4000 / 1.25, rel=0.02)
    assert summarize(sampled.assign(std_error_diag=10.0))["effective_draws"].item() == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_ratio_that_the_model_fixes_is_exact(dtype: str) -> None:
    """With two classes all four blocks of the last layer have the same norm in every draw; rounding is no spread."""
    rows = rmtsim.simulate(rmtsim.Point("linear", "ce", 2, 30, 60), 12, dtype=dtype)
    [exact] = rmtsim.summarize(rows).to_dict("records")
    assert (exact["ratio"], exact["std_error_ratio"], exact["rse_ratio"], exact["skewness_ratio"]) == (1, 0, 0, 0)
    assert not exact["heavy_tail_ratio"]
    [single] = rmtsim.summarize(rows[:1]).to_dict("records")
    assert math.isnan(single["ratio"])
    off = rows.assign(offdiag_sqfro=rows["offdiag_sqfro"] * np.where(rows["draw"] == 3, 1.001, 1))
    [broken] = rmtsim.summarize(off).to_dict("records")  # negative control: draws that break it are shown as they are
    assert broken["ratio"] != 1
    assert broken["std_error_ratio"] > 1e-5
