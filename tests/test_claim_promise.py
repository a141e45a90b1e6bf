"""Verdicts on decay rates keep their promise: few false ones at any precision, power of either sign, and as it says."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from harness.claim_lines import Line, autoregressive, lines_of, shifted, student
from rmtsim.model.point import Point
from rmtsim.stats.claims import claims_of
from rmtsim.stats.curve_fit import MIN_DRAWS, TESTS, CurveFit, fit_on_curve
from rmtsim.stats.decisions import decide
from rmtsim.stats.summary import summarize
from rmtsim.stats.verdict import LEVEL, POWER, Deviation, holm
from rmtsim.theory import finite
from tests.synthetic import sweep_of

#: The linear model's, whose theory is quick: 12 lines.
SPECS = ("figure8", "linear_mse")
CLASSES = np.array([10.0, 20, 50, 100, 200, 500, 1000, 3000])


def false_share(lines: list[Line], sets: int, noise=np.random.Generator.standard_normal) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Share of true lines that this rule, and the old one, say differ."""
    rng = np.random.default_rng(0)
    found = old = 0
    for _ in range(sets):
        ratios = [line.measured(noise(rng, line.C.shape)) for line in lines]
        fits = [line.fit(ratio) for line, ratio in zip(lines, ratios, strict=True)]
        found += sum(decision.verdict == "differs" for decision in decide(fits))
        old += sum(line.old_rule_differs(ratio) for line, ratio in zip(lines, ratios, strict=True))
    return found / (sets * len(lines)), old / (sets * len(lines))


@pytest.mark.parametrize(
    ("factor", "classes"),
    [(0.1, CLASSES), (1.0, (10, 50, 200, 1000)), (0.1, (10, 50, 200, 1000)), (0.1, (10, 20, 50, 100))],
)
def test_true_lines_do_not_differ_at_any_precision_and_grid(factor: float, classes: tuple[int, ...]) -> None:
    some = [line.at(classes).times(factor) for line in lines_of(SPECS)]
    found, old = false_share([line for line in some if line.near], sets=20)
    assert found == 0
    assert old > 0.15  # the rule before: it took its own lack of fit for the theory's


def test_heavy_tails_of_the_means_make_few_lines_differ() -> None:
    found, _ = false_share(list(lines_of(SPECS)), sets=40, noise=student)
    assert found <= 0.01
    correlated, _ = false_share(list(lines_of(SPECS)), sets=20, noise=autoregressive)
    assert correlated > 0.01  # a negative control: points that depend on each other are not what is promised


def power(line: Line, truth: np.ndarray | float, sign: int, sets: int, lines: int) -> float:
    rng = np.random.default_rng(1)
    noise = sign * rng.standard_normal((sets, len(line.C)))
    return float(np.mean([line.fit(line.measured(one, truth), truth).p_value <= LEVEL / lines for one in noise]))


@pytest.mark.parametrize("rse", [0.007, 0.02])
def test_power_does_not_depend_on_the_sign(rse: float) -> None:
    """At precisions where 3 % of a constant and 0.02 of an exponent are noticed at times, not always."""
    [line] = [x for x in lines_of(SPECS) if x.name == "linear CE, d/N = 1, ratio"]
    line = line.times(1.0)
    line.rse[:] = rse
    of_constant = [power(line, 1 + sign * 0.03, sign, 400, 12) for sign in (1, -1)]
    of_exponent = [power(line, shifted(line, sign * 0.02), sign, 400, 12) for sign in (1, -1)]
    for up, down in (of_constant, of_exponent):
        assert abs(up - down) < 0.1
    assert max(of_constant + of_exponent) > 0.02


def test_the_old_rule_noticed_what_was_low_and_not_what_was_high() -> None:
    """The negative control of the test above: the bias of the old fit hid deviations of its own sign."""
    [line] = [x.times(0.5) for x in lines_of(SPECS) if x.name == "linear CE, d/N = 1, ratio"]
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((100, len(line.C)))
    found = [
        np.mean([line.old_rule_differs(line.measured(sign * one, 1 + sign * 0.0025)) for one in noise])
        for sign in (1, -1)
    ]
    assert abs(found[0] - found[1]) > 0.3


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("draws", [64, 1000])
def test_the_deviation_that_a_line_says_it_sees_is_noticed_in_95_percent(sign: int, draws: int) -> None:
    rng = np.random.default_rng(3)
    log_c, rse, sets = np.log(CLASSES), np.full(8, 0.01), 250
    others = [fit_on_curve(CLASSES, np.ones(8), rse, np.full(8, draws))] * 9
    decision = decide(others)[0]
    shapes = {
        "exponent": (decision.detectable_exponent, log_c - log_c.mean()),
        "constant": (decision.detectable_constant, np.ones(8)),
    }
    for size, direction in shapes.values():
        caught = 0
        for _ in range(sets):
            # Means of normal draws, and standard errors from as many.
            errors = rse * np.sqrt(rng.chisquare(draws - 1, 8) / (draws - 1))
            measured = np.exp(sign * size * direction) * (1 + rse * rng.standard_normal(8))
            fit = fit_on_curve(CLASSES, measured, errors, np.full(8, draws))
            caught += decide([fit, *others[1:]])[0].verdict == "differs"
        assert caught / sets == pytest.approx(POWER, abs=3.3 * math.sqrt(POWER * (1 - POWER) / sets))


def test_few_draws_have_standard_errors_that_are_uncertain() -> None:
    rng = np.random.default_rng(4)
    sets, draws = 2000, MIN_DRAWS
    errors = 0.01 * np.sqrt(rng.chisquare(draws - 1, (sets, 8)) / (draws - 1))
    ratios = 1 + 0.01 * rng.standard_normal((sets, 8))
    pairs = list(zip(ratios, errors, strict=True))
    assert np.mean([fit_on_curve(CLASSES, *pair, np.full(8, draws)).p_value <= 0.001 for pair in pairs]) <= 0.001
    # A weight of its own for each point, and the normal distribution, take a point for precise that is so by chance.
    own = [np.average(np.log(ratio), weights=error**-2.0) * math.sqrt(np.sum(error**-2.0)) for ratio, error in pairs]
    assert np.mean([TESTS * Deviation(z, 1.0).p_value <= 0.001 for z in own]) > 0.003


def test_points_of_few_draws_are_left_out() -> None:
    draws = np.array([64] * 7 + [MIN_DRAWS - 1])
    fit = fit_on_curve(CLASSES, np.ones(8), np.full(8, 0.01), draws)
    assert fit.n_points == 7
    fit = fit_on_curve(CLASSES[:3], np.ones(3), np.full(3, 0.01), draws[-3:])
    assert fit.reason == (
        "a fit needs 3 numbers of classes of at least 10, each with a theory and 8 draws or more; there are 2"
    )


def test_coarse_points_are_not_called_different_for_their_logarithms() -> None:
    """With constant absolute errors a point that is high by chance has the smaller relative one."""
    rng = np.random.default_rng(5)
    rse, sets = 0.15, 1500
    ratios = 1 + rse * rng.standard_normal((sets, 8))
    fits = [fit_on_curve(CLASSES, ratio, rse / ratio, np.full(8, 500)) for ratio in ratios]
    assert np.mean([fit.p_value <= 0.01 for fit in fits]) <= 0.01
    assert abs(np.mean([fit.constant.value / fit.constant.std_error for fit in fits])) < 0.2
    own = [np.average(np.log(ratio), weights=ratio**2) * math.sqrt(np.sum(ratio**2)) / rse for ratio in ratios]
    assert np.mean(own) > 0.5  # weighted by these, the fit comes out high


def test_points_that_are_too_coarse_are_not_fitted() -> None:
    fit = fit_on_curve(CLASSES, np.ones(8), np.full(8, 0.25), np.full(8, 500))
    assert fit.reason == "the points are measured to 25%; a fit needs 20% or better"
    assert math.isnan(fit.p_value)


def test_one_point_alone_makes_no_other_shape_and_two_do() -> None:
    rse, draws = np.full(8, 0.01), np.full(8, 1000)
    one, two = np.ones(8), np.ones(8)
    one[3] = 1.15
    two[[1, 4]] = 1.15
    assert fit_on_curve(CLASSES, one, rse, draws).p_shape > 0.99
    assert fit_on_curve(CLASSES, two, rse, draws).p_shape < 1e-6


def test_chi_square_without_the_farthest_point_is_that_of_the_fit_without_it() -> None:
    rng = np.random.default_rng(6)
    ratios, rse = 1 + 0.01 * rng.standard_normal(8), rng.uniform(0.005, 0.02, 8)
    fit = fit_on_curve(CLASSES, ratios, rse, np.full(8, 100))
    without = []
    for k in range(8):
        rest = np.arange(8) != k
        line = np.polyfit(np.log(CLASSES[rest]), np.log(ratios[rest]), 1, w=1 / rse[rest])
        without.append(np.sum(((np.log(ratios[rest]) - np.polyval(line, np.log(CLASSES[rest]))) / rse[rest]) ** 2))
    assert fit.chi2 == pytest.approx(min(without))
    assert fit.dof == 5


def test_holm_by_hand() -> None:
    """Of 0.01, 0.02, 0.03, 0.005: 4 × 0.005, 3 × 0.01, then 2 × 0.02 and 1 × 0.03, none below one before it."""
    assert holm([0.01, 0.02, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.04, 0.04, 0.02])
    with_gap = holm([math.nan, 0.6, 0.7])
    assert math.isnan(with_gap[0])
    assert with_gap[1:].tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_holm_holds_the_chance_of_any_false_verdict_and_single_levels_do_not() -> None:
    rng = np.random.default_rng(7)
    p = rng.uniform(size=(20_000, 40))
    p[:, :5] = 0  # these do differ
    wrong = np.mean([(holm(row)[5:] <= LEVEL).any() for row in p])
    assert wrong <= LEVEL + 4 * math.sqrt(LEVEL / 20_000)
    assert np.mean((p[:, 5:] <= LEVEL).any(axis=1)) > 20 * LEVEL


def test_a_deviation_without_a_standard_error_is_nothing_or_everything() -> None:
    assert Deviation(0.0, 0.0).p_value == 1
    assert Deviation(1e-9, 0.0).p_value == 0
    assert math.isnan(Deviation(0.1, math.nan).p_value)
    assert math.isnan(Deviation().p_value)


def test_what_could_not_have_failed_is_not_decided() -> None:
    coarse = fit_on_curve(CLASSES[[0, 1, 2]], np.ones(3), np.full(3, 0.19), np.full(3, 100))
    fine = fit_on_curve(CLASSES, np.ones(8), np.full(8, 0.01), np.full(8, 100))
    verdicts = decide([coarse, fine])
    assert [verdict.verdict for verdict in verdicts] == ["not decided", "agrees"]
    assert verdicts[0].reason == ("a deviation of 0.5 in the exponent would not have been noticed")
    # What is off by far more differs all the same.
    far = fit_on_curve(CLASSES[[0, 1, 2]], np.full(3, 10.0), np.full(3, 0.19), np.full(3, 100))
    assert decide([far])[0].verdict == "differs"


def test_claims_account_for_all_lines_of_their_table() -> None:
    """A line on the edge of significance differs alone, and not among others."""
    sizes = [Point("linear", "mse", C, 100, 200) for C in (10, 30, 100, 300, 1000)]

    def table(factor: float, *others: int) -> pd.DataFrame:
        points = [*sizes, *(Point("linear", "mse", C, 100, N) for N in others for C in (10, 30, 100, 300, 1000))]
        means = []
        for point in points:
            [prediction] = finite("linear", "mse", point.n_classes, 100, point.n_samples)
            off = factor if point.n_samples == 200 else 1.0
            means.append({"linear": (off * prediction.diag, 0.0)})
        return claims_of(summarize(sweep_of(points, means, seed=3, draws=400, rse=0.1)))

    alone = table(1.005)
    assert alone["verdict"].tolist() == ["differs", "exact", "exact"]
    assert alone["p_adjusted"].iloc[0] == alone["p_value"].iloc[0]
    among = table(1.005, 100, 50, 400, 500, 1000)
    [line] = among.index[(among["n_samples"] == 200) & (among["quantity"] == "diag")]
    assert among.loc[line, "p_value"] == pytest.approx(alone["p_value"].iloc[0])
    assert among.loc[line, "p_adjusted"] == pytest.approx(6 * alone["p_value"].iloc[0])
    assert among.loc[line, "verdict"] == "agrees"
    assert (
        among.loc[line, "detectable_constant_deviation_percent"]
        > (alone["detectable_constant_deviation_percent"].iloc[0])
    )


def test_columns_of_a_claim_are_those_of_its_fit() -> None:
    line = CurveFit(8, Deviation(0.01, 0.002, 99), Deviation(0.02, 0.005, 99), 4.0, 5, 0.5)
    assert line.p_value == pytest.approx(min(1, 3 * min(line.exponent.p_value, line.constant.p_value, 0.5)))
    assert CurveFit(3, Deviation(0.01, 0.002, 99), Deviation(0.0, 1.0), p_shape=math.nan).p_value == pytest.approx(
        3 * Deviation(0.01, 0.002, 99).p_value
    )
