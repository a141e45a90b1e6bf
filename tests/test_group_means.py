"""Means of many groups of draws at once are those of each group alone, by the definitions."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.model.ensemble import norms_have_variance
from rmtsim.model.fixed_values import fixed_values
from rmtsim.sampling.schema import SimulatedDraws, table_of
from rmtsim.stats import group_means
from rmtsim.stats.estimates import Estimate, Estimates
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.pooling import pooled_mean, pooled_ratio, relative_deviations, relative_deviations_of_ratio
from rmtsim.stats.summary import POINT_COLUMNS, in_order, summarize


def draws_of(
    point: rmtsim.Point, draws: int, rng: np.random.Generator, weights: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Return log-normal draws of all layers, as a store has them; every third draw has an error of its own."""
    values = rng.lognormal(0, 0.7, size=(draws, len(point.layers), 4))
    values[..., 2:] *= (np.arange(draws) % 3 == 0)[:, None, None] * 0.1
    for place, layer in enumerate(point.layers):
        fixed = fixed_values(point.loss, layer, point.n_classes)
        values[:, place, 1] *= fixed.get("offdiag", 1.0)
        values[:, place, 0] *= fixed.get("diag", 1.0)
        if fixed.get("ratio") == 1:
            values[:, place, 1] = values[:, place, 0]
        if layer == "cross":
            values[:, place, 0] = math.nan
    made = SimulatedDraws(
        point, range(draws), point.layers, seed, "numpy", "float64", point.n_classes, "test", values, weights
    )
    return table_of([made]).to_pandas()


@pytest.fixture(scope="module")
def draws() -> pd.DataFrame:
    """Groups of one draw, of few and of many, with one and with several seeds and numbers of last layers."""
    rng, parts = np.random.default_rng(0), []
    sizes = ((1, 9), (2, 9), (3, 1), (4, 40), (5, 9))
    for loss in ("ce", "mse"):
        for n_classes, count in sizes:
            parts.append(draws_of(rmtsim.Point("one_hidden", loss, n_classes, 6, 12, width=3), count, rng))
            parts.append(draws_of(rmtsim.Point("linear", loss, n_classes, 6, 12), count, rng, 2))
    pooled = rmtsim.Point("one_hidden", "ce", 7, 6, 12, width=3)
    parts += [draws_of(pooled, 6, rng, weights, seed=weights) for weights in (4, 1)]
    heavy = rmtsim.Point("linear", "mse", 7, 6, 12, ensemble=rmtsim.Ensemble(data="student_t:5"))
    return pd.concat([*parts, draws_of(heavy, 9, rng)], ignore_index=True)


def mean_alone(x: np.ndarray, *, fixed: bool) -> Estimate:
    error = x.std(ddof=1) / len(x) ** 0.5 if len(x) > 1 else math.nan
    equal = error * len(x) ** 0.5 <= 1e-12 * abs(x.mean())
    return Estimate(x.mean(), math.nan if equal and not fixed else error)


def ratio_alone(b: np.ndarray, a: np.ndarray) -> Estimate:
    """By the delete-one jackknife, which leaves out draws one after the other."""
    n = len(a)
    if n < 2 or not a.any():
        return Estimate(math.nan, math.nan)
    left_out = np.array([np.delete(b, k).sum() / np.delete(a, k).sum() for k in range(n)])
    value = n * b.sum() / a.sum() - (n - 1) * left_out.mean()
    return Estimate(value, ((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2)) ** 0.5)


def alone(group: pd.DataFrame) -> dict[str, float]:
    """Return the means of one group, by the definitions; those of several numbers of last layers as they are pooled."""
    group = group.sort_values(["seed", "draw"])
    first, R = group.iloc[0], group["weights_per_draw"].to_numpy()
    a, b = (group[f"{name}_sqfro"].to_numpy() for name in ("diag", "offdiag"))
    fixed, n = fixed_values(first["loss"], first["layer"], first["n_classes"]), len(group)
    if group["weights_per_draw"].nunique() > 1:
        found = [pooled_mean(a, R), pooled_mean(b, R), pooled_ratio(b, a, R)]
        deviations = [relative_deviations(a, R), relative_deviations(b, R), relative_deviations_of_ratio(b, a, R)]
    else:
        found = [mean_alone(a, fixed="diag" in fixed), mean_alone(b, fixed="offdiag" in fixed), ratio_alone(b, a)]
        over = [x / x.mean() - 1 if x.any() else np.zeros(n) for x in (a, b)]
        deviations = [*over, over[1] - over[0] if b.any() else np.zeros(n)]
    if "ratio" in fixed and n > 1:
        found[2] = Estimate(fixed["ratio"], 0.0)
    line: dict[str, float] = {}
    for name, (value, error), e in zip(QUANTITIES, found, deviations, strict=True):
        line[f"value_{name}"], line[f"std_error_{name}"] = value, error
        spread = error > 0
        line[f"skewness_{name}"] = np.mean(e**3) / np.mean(e**2) ** 1.5 if spread else error  # 0 or NaN
        few = spread and np.sum(e**2) ** 2 / np.sum(e**4) < min(0.6 * math.sqrt(n), 36)
        wide = spread and math.sqrt(np.sum(e**2) / (n - 1)) > 2 / 3
        by_law = not norms_have_variance(first["data"], first["loss"], first["activation"])
        line[f"heavy_tail_{name}"] = bool((few and wide) or (by_law and spread))
    return line


def test_groups_are_as_the_definitions_say(draws: pd.DataFrame) -> None:
    names = {"diag_sqfro": "value_diag", "offdiag_sqfro": "value_offdiag", "ratio": "value_ratio"}
    summary = summarize(draws).rename(columns=names)
    groups = {(key[0], key[3]): group for key, group in draws.groupby(POINT_COLUMNS, dropna=False)}
    assert len(summary) == len(groups) == 44
    for row in summary.to_dict("records"):
        for name, expected in alone(groups[row["point_id"], row["layer"]]).items():
            assert row[name] == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), (row, name)
    assert summary["heavy_tail_diag"].any()
    assert not summary["heavy_tail_diag"].all()


def test_groups_together_are_as_each_alone(draws: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, and whatever is taken at once."""
    together = summarize(draws)
    monkeypatch.setattr(group_means, "_AT_ONCE", 20)
    pd.testing.assert_frame_equal(summarize(draws), together, check_exact=True)
    points = [summarize(of_point) for _, of_point in draws.groupby("point_id")]
    pd.testing.assert_frame_equal(in_order(pd.concat(points)), together, check_exact=True)


def test_groups_of_as_many_draws_are_averaged_together(draws: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, real = Counter[int](), group_means.ratio_estimates

    def counted(numerator: np.ndarray, denominator: np.ndarray, fixed: np.ndarray) -> Estimates:
        sizes[numerator.shape[1]] += 1
        return real(numerator, denominator, fixed)

    monkeypatch.setattr(group_means, "ratio_estimates", counted)
    summarize(draws)
    assert sizes == {1: 1, 9: 1, 40: 1}  # and one group is pooled


def test_a_summary_has_the_types_of_any_that_hold_the_same(draws: pd.DataFrame) -> None:
    other = draws.assign(n_classes=draws["n_classes"].astype("Int64"), dim=draws["dim"].astype("int32"))
    other = other.assign(loss=draws["loss"].astype("category"), data=draws["data"].astype(object))
    pd.testing.assert_frame_equal(summarize(other), summarize(draws), check_exact=True)
