"""Rates outside the proportional regime: powers at small d from another route, and the verdicts."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, optimize

from rmtsim.errors import InputError
from rmtsim.figures.style import FAINT
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point
from rmtsim.paper.other_regimes import Regimes, rate_in_words
from rmtsim.paper.regime_rates import FAR, extended, judge_rates, last_power, regimes_of
from rmtsim.stats.claims import SWEEP_COLUMNS
from rmtsim.stats.quoted import quoted
from rmtsim.stats.verdict import reach
from rmtsim.sweeps.spec import load
from rmtsim.theory import finite, large_c
from rmtsim.theory.softmax_moments import weight_moments
from tests.figures import curves
from tests.synthetic import sweep_of, with_heavy_tails

#: Powers of C with a hidden layer, and the d/N where they are.
FEW = ((-1.95, 0.125), (-2.0, 8.0))

SPECS = ("regime_aspect", "regime_dim", "regime_width", "regime_samples", "regime_width_mse", "regime_dim_hidden")


def power_by_optimum(dim: int, n_classes: int) -> float:
    """Largest exponent of C over r = s log C: the tilted classes or the one-hot softmax, times the density of r."""

    def exponent(s: float) -> float:
        tilted = n_classes * (s - 2) if s < 2 / 3 else -n_classes * (1 + s / 2) ** 2 / (2 * s)
        return tilted - dim * s / 2

    parts = ((0, 0.66), (0.67, 2))
    found = [optimize.minimize_scalar(lambda s: -exponent(s), bounds=part, method="bounded").fun for part in parts]
    return max(-2.0 * n_classes, *(-value for value in found))


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 10])
def test_powers_at_small_d_are_the_optimum_over_the_logits_variance(dim: int) -> None:
    diag, offdiag = (last_power("linear", "ce", dim, q, -2.0 * k) for k, q in ((1, "diag"), (2, "offdiag")))
    assert diag == pytest.approx(power_by_optimum(dim, 1), abs=1e-3)
    assert offdiag == pytest.approx(power_by_optimum(dim, 2), abs=1e-3)
    assert last_power("linear", "ce", dim, "ratio", -2.0) == pytest.approx(offdiag - diag)


@pytest.mark.parametrize(("dim", "quantity", "log_power"), [(1, "diag", 1.5), (2, "offdiag", 1.5)])
def test_powers_at_small_d_are_those_of_the_softmax_moments(dim: int, quantity: str, log_power: float) -> None:
    """E|x|⁴λ² over the law of r = |x|²/d, by quadrature, from C = 1e8 to 1e9, with the powers of log C."""

    def moment(C: int) -> float:
        def integrand(r: float) -> float:
            w = weight_moments(C, r)
            return (w.sq_diag if quantity == "diag" else w.sq_offdiag) * r ** (dim / 2 + 1) * math.exp(-dim * r / 2)

        nodes = np.linspace(1e-3, 60 / dim, 61)
        return float(integrate.simpson([integrand(float(r)) for r in nodes], x=nodes))

    slope = math.log10(moment(10**9) / moment(10**8)) - log_power * math.log10(9 / 8)
    assert slope == pytest.approx(last_power("linear", "ce", dim, quantity, math.nan), abs=0.03)
    assert abs(slope - {"diag": -2.0, "offdiag": -4.0}[quantity]) > 0.3


def means(points: list[Point]) -> list[dict[str, tuple[float | None, float | None]]]:
    found = []
    for p in points:
        predictions = finite(p.model, p.loss, p.n_classes, p.dim, p.n_samples, p.width)
        found.append({one.layer: (one.diag, one.offdiag) for one in predictions if one.layer in ("linear", "hidden")})
    return found


@pytest.fixture(scope="module")
def sweep() -> pd.DataFrame:
    """Draws of known means: linear CE at a single sample, and a wide hidden layer, MSE, at two."""
    points = [Point("linear", "ce", C, 32, 1) for C in (10, 100, 300, 1000)]
    points += [Point("one_hidden", "mse", C, 16, 2, 64) for C in (10, 100, 300, 1000)]
    return sweep_of(points, means(points))


@pytest.fixture(scope="module")
def numbers(sweep: pd.DataFrame) -> pd.DataFrame:
    return Regimes().numbers(Regimes().select(sweep))


def test_rates_hold_at_one_sample_and_with_many_neurons(sweep: pd.DataFrame) -> None:
    table = judge_rates(extended(regimes_of(sweep))).set_index(["model", "quantity"])
    assert len(table) == 6
    assert (table["z"].abs() < 3.5).all()
    line = table.loc["linear", "ratio"]
    slope = [finite("linear", "ce", C, 32, 1)[0].ratio for C in FAR]
    assert line["exponent_far"] == pytest.approx(math.log10(slope[1] / slope[0]))
    assert line["verdict"] == "holds"
    assert table.loc["linear", "offdiag"]["verdict"] == "not yet"  # its corrections fall as 1/C, with a large factor
    [theorem], [last] = large_c("linear", "ce", 32.0), large_c("linear", "ce", 32.0, dim=32, n_samples=1)
    assert line["departure_last"] == pytest.approx(last.ratio / theorem.ratio)
    hidden = table.loc["one_hidden"]
    assert (hidden["verdict"] == "holds").all()
    ratio = hidden.loc["ratio"]
    assert ratio["exponent_theory"] == pytest.approx(math.log(102 / 1002) / math.log(10), abs=0.01)  # 1/(C + 2)
    share = 63 * 0.5 * 1000**-1.0
    assert ratio["outside"] == pytest.approx(share / (1 + share), rel=0.25)


def test_what_the_theory_does_not_say_differs(sweep: pd.DataFrame) -> None:
    bent = sweep.assign(offdiag_sqfro=sweep["offdiag_sqfro"] * sweep["n_classes"] ** 0.1)
    table = judge_rates(extended(bent)).set_index(["model", "quantity"])
    assert (table["verdict"].xs("offdiag", level="quantity") == "differs").all()
    assert (table["verdict"].xs("diag", level="quantity") != "differs").all()


def lines(
    model: str, dim: int, exponent: float, far: float, power: float = -2.0, quantity: str = "diag"
) -> pd.DataFrame:
    """Extended table of one sweep whose theory has one slope to C = 1000, another beyond."""
    C = np.array([100, 300, 1000, *FAR])
    theory = C.astype(float) ** exponent
    theory[3:] = theory[2] * (C[3:] / 1000) ** far
    width = None if model == "linear" else 8
    keys = [model, "ce", "linear" if width is None else "output", width, 1.0, dim, dim, *astuple(Ensemble())]
    rows = pd.DataFrame({"n_classes": C, "theory": theory, "measured": np.where(C < 2000, theory, np.nan)})
    rows = rows.assign(std_error=0.01 * rows["measured"], quantity=quantity, power=power, constant=1.0)
    rows = rows.assign(form=C**power, constant_last=1.0, reason="", draws=64, skewness=0.0, heavy_tail=False)
    for name, value in zip(SWEEP_COLUMNS, keys, strict=True):
        rows[name] = value
    return rows


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        (lines("linear", 5, -1.95, -2.0), "holds"),
        (lines("linear", 5, -1.7, -1.9), "not yet"),
        (lines("linear", 1, -1.95, -2.0), "does not hold"),  # C → ∞ says -1.618
        (lines("one_hidden", 3, -1.7, -1.6), "does not hold"),
        (lines("one_hidden", 3, -1.95, -1.8), "does not hold"),
        (lines("one_hidden", 3, -1.95, np.nan), "not tested"),
    ],
)
def test_verdicts_follow_from_three_exponents(table: pd.DataFrame, verdict: str) -> None:
    [line] = judge_rates(table).to_dict("records")
    assert line["verdict"] == verdict


def test_points_with_too_heavy_a_tail_are_left_out() -> None:
    table = lines("linear", 5, -1.95, -2.0, quantity="ratio")
    table = pd.concat([table.iloc[:3], table.iloc[2:3].assign(n_classes=2000), table.iloc[3:]], ignore_index=True)
    off = table.assign(measured=table["measured"].where(table["n_classes"] != 1000, 3 * table["measured"]))
    [told] = judge_rates(off.assign(heavy_tail=off["n_classes"] == 1000)).to_dict("records")
    [without] = judge_rates(table[table["n_classes"] != 1000]).to_dict("records")
    assert told.pop("points_left_out") == 1
    assert without.pop("points_left_out") == 0
    assert {key: value for key, value in told.items() if value != without[key]} == {}
    [differs] = judge_rates(off).to_dict("records")  # negative control
    assert differs["verdict"] == "differs"


@pytest.mark.parametrize(("heavy", "verdict"), [([1000], "not decided"), ([100, 1000], "not decided"), ([], "holds")])
def test_a_rate_of_too_few_points_is_not_decided(heavy: list[int], verdict: str) -> None:
    table = lines("one_hidden", 3, -1.95, -2.0, quantity="ratio")
    [line] = judge_rates(table.assign(heavy_tail=table["n_classes"].isin(heavy))).to_dict("records")
    assert line["verdict"] == verdict
    assert math.isnan(line["departure"]) == math.isnan(line["outside"]) == (1000 in heavy)
    assert math.isnan(line["exponent"]) == (verdict == "not decided")
    assert line["exponent_theory"] == pytest.approx(-1.95)


def test_the_figure_says_where_the_tail_is_too_heavy(sweep: pd.DataFrame, numbers: pd.DataFrame) -> None:
    heavy = with_heavy_tails(sweep, (sweep["model"] == "linear") & sweep["n_classes"].isin([300, 1000]))
    found = Regimes().numbers(Regimes().select(heavy))
    first, second = Regimes().plot(found).axes[:2]
    bars, faint = first.containers
    assert bars.lines[0].get_xdata().tolist()[:2] == [10, 100]
    assert faint.lines[0].get_xdata().tolist() == [300, 1000]
    assert faint.lines[0].get_alpha() == FAINT
    assert len(second.containers) == 1
    low, high = bars.lines[2][0].get_segments()[1][:, 1]
    row = extended(sweep).query("quantity == 'ratio' and n_classes == 100 and model == 'linear'").iloc[0]
    down, up = reach(row["std_error"], row["skewness"]) / row["form"]
    middle = row["measured"] / row["form"]
    assert (middle - low, high - middle) == pytest.approx((down, up), rel=1e-6)
    text = Regimes().text(found)
    assert "Of 2 ratios: not decided 1, holds 1." in text
    assert "too heavy for the mean to be trusted: linear offdiag at C = 300, d/N = 32, 64 draws; linear ratio" in text
    [ratio] = [line for line in text.split("\n") if line.startswith("  ratio") and "not decided" in line]
    assert ratio.split()[2:3] == ["-"]
    headline = Regimes().headline(found)
    said = "not decided at d = 32, d/N = 32: the tail is too heavy for the mean to be trusted at all but fewer than 3 C"
    assert said in headline
    for words in (Regimes().text(numbers), Regimes().headline(numbers)):  # negative control
        assert "he tail is too heavy for the mean to be trusted:" not in words
        assert "not decided at" not in words


def test_the_headline_tells_measurement_from_theory(sweep: pd.DataFrame, numbers: pd.DataFrame) -> None:
    first, _, linear, hidden = Regimes().headline(numbers).split("\n")
    assert "Draws are of C from 100 to 1000" in first
    row = judge_rates(extended(regimes_of(sweep))).set_index(["model", "quantity"]).loc[("linear", "ratio")]
    assert linear == (
        f"- linear model, CE (theorem: -2): holds at d = 32, d/N = 32: measured "
        f"{quoted(row['exponent'], row['std_error_exponent'])}; theory at the same C {row['exponent_theory']:.2f}, "
        f"at C from 10^5 to 10^6 {row['exponent_far']:.2f}, as C → ∞ -2.00"
    )
    assert "- hidden layer, MSE (theorem: -1): holds at d = 16, m = 64, d/N = 8: measured" in hidden


def test_nothing_is_said_of_infinitely_many_classes_where_no_power_is_known() -> None:
    few = pd.concat([lines("one_hidden", 3, p, p, quantity="ratio").assign(aspect_ratio=g) for p, g in FEW])
    line = rate_in_words(judge_rates(few))
    assert "holds up to C = 10^6 at d = 3, m = 8, d/N = 1/8, 8: measured -2.0000(" in line
    assert ") to -1.9500(" in line
    assert "as C" not in line
    assert "10^6" not in rate_in_words(judge_rates(few).assign(verdict="differs"))


def test_the_specs_are_what_is_shown() -> None:
    for name in SPECS:
        points = load(name).points()
        fake = pd.DataFrame([vars(p) | {"layer": p.layers[0], "aspect_ratio": p.aspect_ratio} for p in points])
        assert len(regimes_of(fake)) == len(points)
    with pytest.raises(InputError, match="figure regimes: the draws hold no 3 numbers of classes of at least 100"):
        regimes_of(fake.assign(dim=500))


def test_the_figure_and_the_report_show_every_sweep(sweep: pd.DataFrame, numbers: pd.DataFrame) -> None:
    figure = Regimes().plot(numbers)
    first, second = figure.axes[:2]
    table = extended(sweep).query("quantity == 'ratio'")
    for ax, model in ((first, "linear"), (second, "one_hidden")):
        rows = table[table["model"] == model]
        [bars] = ax.containers
        measured = rows[rows["measured"].notna()]
        shown = np.column_stack(bars.lines[0].get_data()).astype(float)
        expected = np.stack([measured["n_classes"], measured["measured"] / measured["form"]], axis=1)
        np.testing.assert_allclose(shown[np.isfinite(shown[:, 1])], expected)
        [line] = curves(ax, "theory")
        assert line[-1, 0] == FAR[1]
        [beyond] = ax.patches
        assert beyond.get_x() == 1000
    text = Regimes().text(numbers)
    assert "There are draws up to C = 1000; all that is said of more classes is theory." in text
    assert [line.split()[:3] for line in text.split("\n")[:2]] == [["theorem", "measured", "theory"], ["power"] * 3]
    assert "linear ce: d/N = 32, d = 32" in text
    assert "one_hidden mse, hidden layer: d/N = 8, d = 16, m = 64" in text
