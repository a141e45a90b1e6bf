"""Verdicts: they agree with draws made from the theory, and with no others."""

import dataclasses
import json
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point
from rmtsim.stats.claims import claims_of
from rmtsim.stats.comparison import compare
from rmtsim.stats.fit import fit
from rmtsim.stats.render import render, tally
from rmtsim.stats.summary import summarize
from rmtsim.theory import finite
from tests.synthetic import sweep_of

CLASSES = (2, 10, 30, 100, 300, 1000, 3000)
DIM, N_SAMPLES = 100, 200

TANH = Ensemble(activation="tanh")

Twist = Callable[[int, float | None], float | None]


def as_it_is(_: int, mean: float | None) -> float | None:
    return mean


def sweep(
    model: str, loss: str, width: int | None = None, classes: tuple[int, ...] = CLASSES, twist: Twist = as_it_is
) -> pd.DataFrame:
    """Draws whose expectations are the theory's at finite C, d, N (0.5 % on every mean), off-diagonals twisted."""
    sizes = [Point(model=model, loss=loss, n_classes=C, dim=DIM, n_samples=N_SAMPLES, width=width) for C in classes]
    means = [
        {p.layer: (p.diag, twist(C, p.offdiag)) for p in finite(model, loss, C, DIM, N_SAMPLES, width)} for C in classes
    ]
    return sweep_of(sizes, means, seed=11)


@pytest.fixture(scope="module")
def linear_draws() -> pd.DataFrame:
    return sweep("linear", "ce")


def the_claim(table: pd.DataFrame, quantity: str, layer: str = "linear") -> pd.Series:
    [place] = table.index[(table["quantity"] == quantity) & (table["layer"] == layer)]
    return table.loc[place]


def test_linear_ce_agrees_with_theorem_1(linear_draws: pd.DataFrame) -> None:
    table = claims_of(summarize(linear_draws))
    assert table["quantity"].tolist() == ["diag", "offdiag", "ratio"]
    assert table["exponent_theorem"].tolist() == [-2, -4, -2]
    assert (table["verdict"] == "agrees").all()
    assert np.allclose(
        table["constant_theorem"], [one := 1 + math.e / 2, two := 1 + math.e**2 / 2, two / one], rtol=1e-12
    )
    pulls = (table["exponent"] - table["exponent_theorem"]) / table["std_error_exponent"]
    assert (pulls.abs() < 3.5).all()
    assert (table["std_error_exponent"] < 0.012).all()
    assert (table["bias_exponent"].abs() < 0.006).all()
    assert (table["size_deviation_percent"] > 3).all()  # and the constants are told apart from their limit:
    assert ((table["constant"] - table["constant_theorem"]) / table["std_error_constant"] > 5).all()


def test_hidden_mse_agrees_and_its_output_layer_is_exactly_block_diagonal() -> None:
    table = claims_of(summarize(sweep("one_hidden", "mse", 8)))
    hidden = table[table["layer"] == "hidden"]
    assert hidden["exponent_theorem"].tolist() == [2, 1, -1]
    assert (hidden["verdict"] == "agrees").all()
    output = table[table["layer"] == "output"]
    assert output["verdict"].tolist() == ["agrees", "exact", "exact"]
    assert output["exponent"].isna().tolist() == [False, True, True]


def test_a_decay_of_another_power_differs() -> None:
    def slower(C: int, mean: float | None) -> float | None:
        return mean * C**0.1 if mean is not None else None

    table = claims_of(summarize(sweep("linear", "ce", twist=slower)))
    assert table["verdict"].tolist() == ["agrees", "differs", "differs"]
    assert "exponent" in the_claim(table, "offdiag")["reason"]


def test_another_constant_differs() -> None:
    table = claims_of(summarize(sweep("linear", "ce", twist=lambda _, mean: None if mean is None else 1.05 * mean)))
    assert table["verdict"].tolist() == ["agrees", "differs", "differs"]
    assert the_claim(table, "ratio")["reason"].startswith("the constant is")


def test_a_power_of_c_does_not_pass_for_a_curve() -> None:
    def bumpy(C: int, mean: float | None) -> float | None:
        return mean * (1.2 if C in (30, 300) else 1) if mean is not None else None

    claim = the_claim(claims_of(summarize(sweep("linear", "ce", twist=bumpy))), "offdiag")
    assert claim["verdict"] == "differs"
    assert "does not describe the points" in claim["reason"]


def test_a_single_nonzero_draw_spoils_an_exact_zero() -> None:
    draws = sweep("linear", "mse")
    assert the_claim(claims_of(summarize(draws)), "offdiag")["verdict"] == "exact"
    draws.loc[5, "offdiag_sqfro"] = 1e-12
    claim = the_claim(claims_of(summarize(draws)), "offdiag")
    assert claim["verdict"] == "differs"
    assert "exactly zero" in claim["reason"]
    assert (compare(summarize(draws)).query("quantity == 'offdiag'")["verdict"] == "differs").sum() == 1


def test_too_few_classes_are_not_tested() -> None:
    table = claims_of(summarize(sweep("linear", "ce", classes=(2, 3, 100, 1000))))
    assert (table["verdict"] == "not tested").all()
    assert table["reason"].str.contains("a fit needs 3 numbers of classes").all()


def test_a_sweep_that_stops_before_the_asymptotics_is_not_tested() -> None:
    hidden = finite("one_hidden", "ce", 30, DIM, N_SAMPLES, 8, layers=("hidden",))
    draws = sweep_of(
        [Point("one_hidden", "ce", 30, DIM, N_SAMPLES, 8)], [{p.layer: (p.diag, p.offdiag) for p in hidden}]
    )
    table = claims_of(summarize(draws))
    claim = the_claim(table, "offdiag", "hidden")
    assert claim["verdict"] == "not tested"
    assert "from its form as C → ∞; sweep larger C" in claim["reason"]
    assert the_claim(table, "diag", "hidden")["reason"].startswith("a fit needs")


def test_no_claim_on_the_cross_layer_but_a_theory() -> None:
    cross = Point(model="one_hidden", loss="mse", n_classes=10, dim=DIM, n_samples=N_SAMPLES, width=8)
    *_, exact = finite("one_hidden", "mse", 10, DIM, N_SAMPLES, 8)
    for value, verdict in ((exact.offdiag, "agrees"), (2 * exact.offdiag, "differs")):
        both = fit(sweep_of([cross], [{"cross": (None, value)}]))
        for table in (both.claims, both.points):
            assert table["quantity"].tolist() == ["offdiag"]
        assert both.claims["verdict"].tolist() == ["not tested"]
        assert "no claim on the cross layer" in both.claims["reason"].iloc[0]
        assert both.points["verdict"].tolist() == [verdict]


def test_points_agree_with_the_theory_at_finite_size(linear_draws: pd.DataFrame) -> None:
    table = compare(summarize(linear_draws))
    assert len(table) == 3 * len(CLASSES)
    assert (table["verdict"] == "agrees").all()
    assert table["within_limit"].all()
    assert (table["z"].abs() < 3.5).all()
    large = table[table["n_classes"] >= 300]
    off = (large["measured"] - large["limit"]) / large["std_error"]
    assert (off > 3.5).any()  # negative control: against the bare limit they do not agree
    ratio = the_claim(table[table["n_classes"] == 100], "ratio")
    [expected] = finite("linear", "ce", 100, DIM, N_SAMPLES)
    assert ratio["finite"] == pytest.approx(expected.offdiag / expected.diag)
    assert ratio["size_deviation_percent"] == pytest.approx(100 * (ratio["finite"] / ratio["limit"] - 1))


def test_z_scores_are_standard_normal() -> None:
    classes = tuple(range(10, 160, 2))
    table = compare(summarize(sweep("one_hidden", "mse", 4, classes=classes)))
    z = table[(table["layer"] == "hidden") & (table["quantity"] == "offdiag")]["z"]
    assert len(z) == 75
    assert abs(z.mean()) < 4 / math.sqrt(75)
    assert abs(z.std() - 1) < 4 / math.sqrt(150)


def test_a_point_off_by_three_percent_differs() -> None:
    draws = sweep("linear", "ce", twist=lambda C, mean: 1.03 * mean if C == 100 and mean is not None else mean)
    table = compare(summarize(draws))
    differing = table[table["verdict"] == "differs"]
    assert "offdiag" in differing["quantity"].tolist()
    assert set(differing["n_classes"]) == {100}
    assert the_claim(table[table["n_classes"] == 2], "offdiag")["verdict"] == "agrees"


def test_few_draws_are_given_students_t(linear_draws: pd.DataFrame) -> None:
    table = compare(summarize(linear_draws[linear_draws["draw"] < 12]))
    assert (table["verdict"] == "agrees").all()
    few = compare(summarize(linear_draws[linear_draws["draw"] < 3]))
    assert not (few["verdict"] == "differs").any()
    blind = few["verdict"] == "not decided"
    assert blind.mean() > 0.9  # most triples could have shown nothing of less than a factor of 2
    assert (blind == (few["detectable_percent"] > 100)).all()
    one = compare(summarize(linear_draws[linear_draws["draw"] == 0]))
    assert (one["verdict"] == "not tested").all()
    assert (one["reason"] == "one draw has no standard error").all()


def test_a_value_without_a_standard_error_says_why(linear_draws: pd.DataFrame) -> None:
    some = linear_draws[(linear_draws["n_classes"] == 10) & (linear_draws["draw"] < 20)]
    one_has_all = some.assign(diag_sqfro=np.where(some["draw"] == 0, 1e100, some["diag_sqfro"]))
    reason = the_claim(compare(summarize(one_has_all)), "ratio")["reason"]
    assert reason == "all 20 draws are equal, or one has all of it, which does not show how much they spread"
    zero = compare(summarize(some.assign(diag_sqfro=0.0, offdiag_sqfro=0.0)))
    assert the_claim(zero, "ratio")["reason"] == "all diagonal blocks are zero, so there is no ratio"


def test_one_class_has_no_off_diagonal_blocks() -> None:
    single = Point(model="linear", loss="mse", n_classes=1, dim=DIM, n_samples=N_SAMPLES)
    [prediction] = finite("linear", "mse", 1, DIM, N_SAMPLES)
    table = compare(summarize(sweep_of([single], [{"linear": (prediction.diag, None)}])))
    assert table["verdict"].tolist() == ["agrees", "not tested", "not tested"]
    assert the_claim(table, "offdiag")["reason"] == "there are no such blocks"


def test_the_text_fits_and_says_what_matters(linear_draws: pd.DataFrame) -> None:
    both = fit(pd.concat([linear_draws, sweep("one_hidden", "mse", 8)]))
    for text in (both.text(), render(both.claims), render(both.points)):
        assert max(len(line) for line in text.splitlines()) <= 110
    assert "linear ce: d/N = 0.5, d = 100, N = 200\n" in both.text()
    assert "one_hidden mse, output layer: d/N = 0.5, d = 100, N = 200, m = 8\n" in both.text()
    [line] = [line for line in render(both.claims).splitlines() if "-4" in line.split()[1:2]]
    claim = the_claim(both.claims, "offdiag")
    for number in (claim["exponent"], claim["std_error_exponent"]):
        assert f"{number:.4f}" in line
    assert f"{claim['size_deviation_percent']:+.2f}%" in line
    assert line.endswith("agrees")
    exact = int((both.points["verdict"] == "exact").sum())
    assert exact == 2 * 7  # off-diagonal blocks and ratio of the output layer with MSE, at every C
    tested = len(both.points) - exact
    said = " ".join(both.text().split())
    assert f": {tested} of {tested} agree, {exact} more are equal by identity; largest |z|" in said
    assert f"{claim['exponent_deviation']:+.4f}" in line
    assert f"{claim['detectable_exponent_deviation']:.4f}" in line


def test_the_text_fits_a_narrow_terminal(linear_draws: pd.DataFrame) -> None:
    found = fit(linear_draws)
    text = f"{found.text(80)}\n{render(found.compared, 80)}"
    assert max(map(len, text.splitlines())) <= 80
    assert "would have room for: free, ±s.e., bias, size)" in text
    wide = found.text().splitlines()
    assert [line.split()[-1] for line in wide if line.startswith("  diag")] == [
        line.split()[-1] for line in text.splitlines() if line.startswith("  diag")
    ]


def test_a_reason_that_all_lines_have_is_said_once() -> None:
    points = [Point("linear", "ce", C, dim=40, n_samples=80) for C in (2, 5, 10)]
    lines = render(claims_of(summarize(pd.concat([rmtsim.simulate(point, 8) for point in points]))))
    assert lines.count("from its form as C → ∞") == 3  # each its own
    tanh = [dataclasses.replace(point, model="one_hidden", width=3, ensemble=TANH) for point in points]
    draws = pd.concat([rmtsim.simulate(point, 8, layers="hidden") for point in tanh])
    shown = render(claims_of(summarize(draws))).splitlines()
    [place] = [k for k, line in enumerate(shown) if "the theory is that of relu" in line]
    assert shown[place - 1].startswith("one_hidden ce, hidden layer: d/N = 0.5, d = 40")


def test_records_are_json_without_nan() -> None:
    document = fit(sweep("linear", "mse", classes=(1, 10, 30))).document()
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    [claim] = [claim for claim in document["claims"] if claim["quantity"] == "diag"]
    assert claim["exponent"] is None
    assert claim["width"] is None
    assert type(claim["dim"]) is int


def test_one_hidden_ce_agrees_and_other_constants_and_powers_differ() -> None:
    """At the precision of Figure 9's sweep, where heavy tails slow the corrections, the fit's bias stays small."""
    classes = (10, 20, 50, 100, 200, 500, 1000, 3000)
    sizes = [Point("one_hidden", "ce", C, 500, 1000, 8) for C in classes]
    theory = [finite("one_hidden", "ce", C, 500, 1000, 8, layers=("hidden", "output")) for C in classes]

    def verdicts(twist: Twist) -> pd.DataFrame:
        means = [{p.layer: (p.diag, twist(C, p.offdiag)) for p in ps} for C, ps in zip(classes, theory, strict=True)]
        return claims_of(summarize(sweep_of(sizes, means, seed=5, rse=0.16)))

    table = verdicts(as_it_is)
    assert set(table["verdict"]) == {"agrees"}
    assert (table["bias_exponent"].abs() < table["std_error_exponent"]).all()
    hidden = table["layer"] == "hidden"
    assert (table["bias_constant"].abs() < table["std_error_constant"])[hidden].all()
    # In the output layer the pairs n = k, of weight 1/N, are still far from their own C → ∞ form at C = 3000.
    assert (table["bias_constant"].abs() < 0.04 * table["constant"])[~hidden].all()
    for twist in (lambda _, mean: 1.15 * mean, lambda C, mean: mean * C**0.3):
        table = verdicts(twist)
        for layer in ("hidden", "output"):
            assert the_claim(table, "offdiag", layer)["verdict"] == "differs"
            assert the_claim(table, "diag", layer)["verdict"] == "agrees"


def test_identities_are_counted_apart_and_broken_ones_differ() -> None:
    """At C = 2 all blocks of the last layer have equal norms; with MSE its off-diagonal ones are zero."""
    two = [Point("linear", loss, 2, 20, 40) for loss in ("ce", "mse")]
    draws = pd.concat([rmtsim.simulate(point, 64, seed=1) for point in two], ignore_index=True)
    table = compare(summarize(draws))
    assert table["verdict"].tolist() == ["agrees", "exact", "exact"] * 2
    assert table["p_value"].isna().tolist() == [False, True, True] * 2
    assert tally(table, "agree").startswith("2 of 2 agree, 4 more are equal by identity; largest |z| ")
    ce = draws["loss"] == "ce"
    broken = draws.assign(offdiag_sqfro=draws["offdiag_sqfro"].where(~ce, 1.5 * draws["offdiag_sqfro"]))
    broken.loc[broken.index[-1], "offdiag_sqfro"] = 1e-12
    ratio_and_zeros = compare(summarize(broken))["verdict"].tolist()
    assert ratio_and_zeros[2:5] == ["differs", "agrees", "differs"]


def test_points_account_for_their_number(linear_draws: pd.DataFrame) -> None:
    """z = 3.6 among 21 values is chance; alone it is none."""
    summary = summarize(linear_draws)
    table = compare(summary)
    chosen = (table["n_classes"] == 300) & (table["quantity"] == "diag")
    at = summary["n_classes"] == 300
    summary.loc[at, "diag_sqfro"] = (
        table.loc[chosen, "finite"].item() + 3.6 * table.loc[chosen, "std_error"].item()
    ) * DIM
    together, alone = compare(summary), compare(summary[at])
    assert the_claim(together[together["n_classes"] == 300], "diag")["verdict"] == "agrees"
    assert the_claim(alone, "diag")["p_value"] == pytest.approx(6.3e-4, rel=0.05)  # Student's t, 63 degrees
    assert the_claim(alone, "diag")["p_adjusted"] == pytest.approx(3 * the_claim(alone, "diag")["p_value"])
    summary.loc[at, "diag_sqfro"] *= 1.02
    assert the_claim(compare(summary[at]), "diag")["verdict"] == "differs"


def test_a_table_of_coarse_and_far_values_keeps_its_width() -> None:
    draws = sweep("linear", "ce", twist=lambda C, mean: 300 * mean if C == 30 and mean is not None else mean)
    few = draws[draws["draw"] < 4]
    both = fit(few)
    assert set(both.claims["verdict"]) == {"not tested"}  # too few draws for weights
    assert {"not decided", "differs"} <= set(both.points["verdict"])
    for text in (render(both.claims), render(both.compared), both.text()):
        assert max(map(len, text.splitlines())) <= 110
