"""`predict` has the columns and the units of `summarize`: the theory is where the means over draws are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import rmtsim

POINT_COLUMNS = "point_id model loss layer n_classes dim n_samples width init data_variance hidden_gain last_gain"
VALUES = "diag_sqfro offdiag_sqfro ratio std_error_diag std_error_offdiag std_error_ratio"

#: Largest distance of a mean from its theory, in standard errors; a dozen values are compared.
MOST_STD_ERRORS = 4.0

POINTS = [
    rmtsim.Point("linear", "ce", n_classes=5, dim=24, n_samples=36),
    rmtsim.Point("linear", "mse", n_classes=5, dim=24, n_samples=36),
    rmtsim.Point("one_hidden", "ce", n_classes=5, dim=24, n_samples=36, width=12),
    rmtsim.Point("one_hidden", "mse", n_classes=5, dim=24, n_samples=36, width=12),
]


@pytest.fixture(scope="module")
def means() -> pd.DataFrame:
    draws = pd.concat([rmtsim.simulate(point, 400, seed=3) for point in POINTS], ignore_index=True)
    return rmtsim.summarize(draws)


@pytest.fixture(scope="module")
def theory() -> pd.DataFrame:
    return rmtsim.predict(POINTS)


def distances(means: pd.DataFrame, theory: pd.DataFrame) -> pd.Series:
    """Distances of means from the theory in standard errors, for all layers, losses and quantities that have one."""
    both = means.merge(theory, on=POINT_COLUMNS.split(), suffixes=("", "_theory"), validate="one_to_one")
    assert len(both) == len(means) == len(theory)
    found = {}
    for quantity, column in (("diag", "diag_sqfro"), ("offdiag", "offdiag_sqfro"), ("ratio", "ratio")):
        error = np.hypot(both[f"std_error_{quantity}"], both[f"std_error_{quantity}_theory"])
        exact = (error == 0) & (both[column] == both[f"{column}_theory"])
        distance = (both[column] - both[f"{column}_theory"]).abs() / error.mask(error == 0, math.nan)
        names = both["model"] + " " + both["loss"] + " " + both["layer"] + " " + quantity
        found[quantity] = distance.mask(exact, 0.0).set_axis(names)
    return pd.concat(found.values()).dropna()


def test_the_theory_is_where_the_means_over_draws_are(means: pd.DataFrame, theory: pd.DataFrame) -> None:
    found = distances(means, theory)
    assert len(found) == 20  # three of each of six layers, and the off-diagonal blocks of two cross layers
    assert found.max() < MOST_STD_ERRORS, found


def test_values_divided_by_d_are_refused(means: pd.DataFrame, theory: pd.DataFrame) -> None:
    """Negative control: for every layer of d × d blocks, and with both losses."""
    divided = theory.assign(**{name: theory[name] / theory["dim"] for name in ("diag_sqfro", "offdiag_sqfro")})
    found = distances(means, divided).filter(regex="(linear|hidden) (diag|offdiag)$").drop("linear mse linear offdiag")
    assert len(found) == 7
    assert found.min() > 5 * MOST_STD_ERRORS, found


def test_columns_and_types_are_those_of_summarize(means: pd.DataFrame, theory: pd.DataFrame) -> None:
    shared = [*POINT_COLUMNS.split(), "aspect_ratio", *VALUES.split()]
    assert set(shared) <= set(means.columns) & set(theory.columns)
    assert {name: str(theory[name].dtype) for name in shared} == {name: str(means[name].dtype) for name in shared}
    assert theory["layer"].tolist() == ["linear"] * 2 + ["hidden", "output", "cross"] * 2
    assert set(theory["regime"]) == {"finite"}


def test_a_limit_is_given_at_the_points_own_d_and_classes() -> None:
    """Of Theorem 1 at γ = 1/2: 4 (1 + γ) d for MSE, and with CE constants times d, C**-2 and C**-4."""
    point = rmtsim.Point("linear", "mse", n_classes=10, dim=500, n_samples=1000)
    assert rmtsim.predict(point, "limit").diag_sqfro.item() == pytest.approx(6 * 500)
    assert rmtsim.predict(point).diag_sqfro.item() == pytest.approx(6.004 * 500)
    [far] = rmtsim.predict([rmtsim.Point("linear", "ce", 1000, 500, 1000)], regime="large_c").itertuples()
    assert far.diag_sqfro == pytest.approx(2.35914091 * 500 * 1000.0**-2)
    assert far.offdiag_sqfro == pytest.approx(4.69452805 * 500 * 1000.0**-4)
    assert far.ratio == pytest.approx(1.98993117 * 1000.0**-2)
    assert (far.diag_power, far.offdiag_power, far.point_id) == (
        -2,
        -4,
        rmtsim.Point("linear", "ce", 1000, 500, 1000).id,
    )


def test_blocks_of_the_output_layer_are_the_same_size_at_every_d() -> None:
    """The limit of m × m blocks has no factor d; that of the hidden layer's d × d blocks has."""
    small, large = (rmtsim.Point("one_hidden", "mse", 10, dim, 2 * dim, 8) for dim in (50, 100))
    ratio = rmtsim.predict(large, "limit").diag_sqfro / rmtsim.predict(small, "limit").diag_sqfro
    assert ratio.tolist()[:2] == pytest.approx([2, 1])


def test_no_points_make_an_empty_table_of_the_same_types(theory: pd.DataFrame) -> None:
    pd.testing.assert_series_equal(rmtsim.predict([]).dtypes, theory.dtypes)


def test_what_has_no_blocks_is_null_with_the_reason() -> None:
    [row] = rmtsim.predict(rmtsim.Point("linear", "mse", 1, 4, 8)).itertuples()
    assert math.isnan(row.offdiag_sqfro)
    assert row.note == "there are no off-diagonal blocks at n_classes = 1"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rmtsim.predict(POINTS, "infinite"), "^regime: 'infinite' is not known .*finite.*; choose one of"),
        (lambda: rmtsim.predict([POINTS[0], 7]), r"^point: 7 is not valid; give an rmtsim\.Point$"),
        (lambda: rmtsim.predict(None), r"^point: None is not valid; give an rmtsim\.Point$"),
        (
            lambda: rmtsim.predict(rmtsim.Point("linear", "ce", 5, 3, 4, ensemble=rmtsim.Ensemble(last_gain=100))),
            "^at C = 5, d = 3, N = 4, data_variance, hidden_gain, last_gain: the logits have 100 times",
        ),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(rmtsim.InputError, match=words):
        call()
