"""The table of theory against simulation."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from rmtsim import Point, simulate
from rmtsim.figures.parts import part
from rmtsim.paper.agreement import Agreement, spread
from rmtsim.sweeps.spec import builtin_specs, load
from rmtsim.theory import finite


@pytest.fixture(scope="module")
def draws() -> pd.DataFrame:
    linear = [Point("linear", "ce", C, 12, N) for C in (2, 7, 30) for N in (6, 24, 48)]
    hidden = [Point("one_hidden", "mse", C, 10, 20, 3) for C in (2, 9)]
    return pd.concat([simulate(point, 300, seed=5) for point in linear + hidden], ignore_index=True)


def test_every_norm_stands_beside_its_theory(draws: pd.DataFrame) -> None:
    text = Agreement().text(Agreement().numbers(draws))
    rows = [re.split(r" +\| +", line.strip("| ")) for line in text.splitlines() if line.startswith("|")][2:]
    # Linear: diag and offdiag; hidden: both, output: diag (the other is zero in every draw), cross: offdiag.
    assert len(rows) == 9 * 2 + 2 * 4
    [row] = [row for row in rows if row[:7] == ["linear CE", "linear", "7", "12", "24", "–", "off-diagonal"]]
    [exact] = finite("linear", "ce", 7, 12, 24)
    values = draws.query("model == 'linear' and n_classes == 7 and n_samples == 24")["offdiag_sqfro"]
    assert float(row[7]) == pytest.approx(exact.offdiag / 12, rel=1e-5)
    assert float(row[8].split(" ± ")[0]) == pytest.approx(values.mean() / 12, rel=1e-5)
    assert float(row[8].split(" ± ")[1].removesuffix(" %")) == pytest.approx(
        100 * values.sem() / values.mean(), rel=0.06
    )
    assert float(row[9]) == pytest.approx((values.mean() - exact.offdiag) / values.sem(), abs=0.01)


def test_the_spread_is_that_of_a_unit_normal_and_says_when_it_is_not(draws: pd.DataFrame) -> None:
    lines = Agreement().numbers(draws)
    norms = part(lines, "norms")
    z = norms["z"][norms["verdict"] != "exact"]
    assert z.abs().max() < 4
    of_all, diag, _ = part(lines, "spread").to_dict("records")
    assert (of_all["norms"], of_all["largest"]) == (len(z), z.abs().max())
    assert of_all["copies"] == 3  # at C = 2 the off-diagonal norms of the linear model are the diagonal ones, at each N
    assert "3 more are equal to others by identity" in spread(lines)
    of_last = part(lines, "norms").query("quantity == 'diag' and layer in ('linear', 'output')")["z"]
    assert diag["sum_of_squares"] == pytest.approx((of_last**2).sum())
    p_values = [float(p) for p in re.findall(r"p = ([0-9.]+)\.", spread(lines))]
    assert len(p_values) == 2
    assert min(p_values) > 0.01
    wrong = Agreement().numbers(draws.assign(diag_sqfro=1.05 * draws["diag_sqfro"]))
    assert float(re.findall(r"p = ([0-9.]+)\.", spread(wrong))[0]) < 0.01


def test_the_figure_shows_every_z(draws: pd.DataFrame) -> None:
    [ax] = Agreement().plot(Agreement().numbers(draws)).axes
    shown = [line for line in ax.lines if line.get_label() != "unit normal"]
    assert {line.get_label() for line in shown} == {
        "linear CE",
        "hidden layer, MSE",
        "output layer, MSE",
        "cross layer, MSE",
    }
    norms = part(Agreement().numbers(draws), "norms")
    tested = norms[norms["verdict"] != "exact"]
    assert len(tested) < len(norms)
    assert sorted(z for line in shown for z in line.get_ydata()) == sorted(tested["z"])
    assert ax.get_title() == f"{len(tested)} norms against exact theory"  # the number that its text has


def test_the_specs_reach_over_all_cases() -> None:
    points = [point for name in builtin_specs() if name.startswith("agreement_") for point in load(name).points()]
    assert len(points) >= 24
    assert {2, 100_000} <= {point.n_classes for point in points}
    assert {3, 5, 8, 32} <= {point.width for point in points}
    assert {0.1, 0.5, 2.0} <= {point.aspect_ratio for point in points}
    assert {(point.model, point.loss) for point in points} == {
        (model, loss) for model in ("linear", "one_hidden") for loss in ("ce", "mse")
    }
