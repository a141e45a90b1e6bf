"""Deep networks' own blocks: norms, their theory, and which sizes drive them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from rmtsim.errors import InputError
from rmtsim.figures import get_figure
from rmtsim.figures.parts import part
from rmtsim.full_hessian import layer_norms as norms_module
from rmtsim.full_hessian.layer_norms import own_norms
from rmtsim.full_hessian.structure import Structure, off_diagonal
from rmtsim.paper.fan_out.networks import Case, all_at_random, fan_out, fan_out_draws, one_at_a_time
from rmtsim.paper.fan_out.powers import deviations, exponents, joint, later_sums, measured, predictors, role
from rmtsim.stats.quoted import quoted
from rmtsim.sweeps.experiment import table_file
from rmtsim.theory import finite
from rmtsim.theory.deep import deep_layers
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from tests.figures import curves


@pytest.mark.parametrize("loss", ["ce", "mse", "binary_ce", "binary_mse"])
@pytest.mark.parametrize("hidden", [(), (3,), (4, 3, 5)])
def test_layer_norms_are_those_of_the_full_hessian(
    loss: str, hidden: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(norms_module, "_HELD", 200)  # several pieces a layer
    X, weights, y = Problem(loss, 2 if loss.startswith("binary") else 6, 5, 24, hidden).draw()
    weights = [2 * W for W in weights]
    found = Structure(X, weights, y, loss, cells=0)
    for a, norms in enumerate(own_norms(X, weights, loss)):
        blocks = found.part(a, a)
        assert norms.diag == pytest.approx(np.diagonal(blocks).mean(), rel=1e-10)
        if len(blocks) > 1:
            expected = blocks[off_diagonal(len(blocks))].mean()
            assert norms.offdiag == pytest.approx(expected, rel=1e-10, abs=1e-14 * norms.diag)
        else:
            assert math.isnan(norms.offdiag)


def test_squared_loss_has_no_off_diagonal_in_the_last_layer() -> None:
    X, weights, _ = Problem("mse", 6, 5, 24, (4, 3)).draw()
    assert own_norms(X, weights, "mse")[-1].offdiag == 0


def test_theory_of_one_hidden_layer_is_the_exact_one() -> None:
    for sizes, N in (((64, 8, 10), 128), ((5, 3, 7), 4)):
        found = deep_layers("mse", sizes, N)
        d, m, C = sizes
        for layer, exact in zip(found, finite("one_hidden", "mse", C, d, N, m), strict=False):
            assert tuple(layer) == pytest.approx((exact.diag, exact.offdiag), rel=1e-8)


SIZES = (5, 3, 6, 2, 4)


def one_sample(sizes: tuple[int, ...], draws: int) -> np.ndarray:
    """Mean squared norms of the blocks with MSE and N = 1, (draws, layers, 2): by products of masked weights."""
    rng = np.random.default_rng(1)
    h = rng.standard_normal((draws, sizes[0]))
    inputs, weights, masks = [h], [], []
    for before, after in pairwise(sizes):
        weights.append(rng.standard_normal((draws, after, before)) / before**0.5)
        pre = np.einsum("zij,zj->zi", weights[-1], inputs[-1])
        masks.append(pre > 0)
        inputs.append(pre * masks[-1])
    B, found = np.broadcast_to(np.eye(sizes[-1]), (draws, sizes[-1], sizes[-1])), []
    for a in range(len(weights) - 1, -1, -1):
        squares = (2 * np.einsum("zci,zcj->zij", B, B)) ** 2 * np.sum(inputs[a] ** 2, axis=1)[:, None, None] ** 2
        n = sizes[a + 1]
        diag = np.einsum("zii->z", squares)
        found.append(np.stack([diag / n, (squares.sum((1, 2)) - diag) / (n * (n - 1))], axis=1))
        if a:
            B = B @ weights[a] * masks[a - 1][:, None, :]
    return np.stack(found[::-1], axis=1)


def test_theory_is_exact_for_one_sample() -> None:
    values = one_sample(SIZES, 200_000)
    values = values.reshape(len(values), -1)[:, :-1]  # all but the zero off-diagonal of the last layer
    mean, error = values.mean(0), values.std(0) / len(values) ** 0.5

    def z(sizes: tuple[int, ...]) -> np.ndarray:
        return np.abs(mean - np.ravel(deep_layers("mse", sizes, 1))[:-1]) / error

    assert z(SIZES).max() < 4
    assert z((5, 3, 2, 6, 4)).max() > 20  # the order of the widths matters


def test_theory_refuses_what_is_no_network() -> None:
    with pytest.raises(InputError, match="loss: 'hinge'"):
        deep_layers("hinge", (3, 4), 5)
    for sizes in ((3,), (), 3):
        with pytest.raises(InputError, match="two or more classes"):
            deep_layers("ce", sizes, 5)  # type: ignore[arg-type]
    for sizes, n_samples, sentence in (
        ((3, 4, 1), 5, "sizes: C: 1 is not valid; give a whole number from 2"),
        ((-4, 3, 4), 5, "sizes: d: -4 is not valid; give a whole number from 1"),
        ((3, 0, 4), 5, "sizes: n_1: 0 is not valid"),
        ((3, 2, 5.5, 4), 5, "sizes: n_2: 5.5 is not valid"),
        ("abc", 5, "sizes: d: 'a' is not valid"),
        ((3, 4), 0, "n_samples: 0 is not valid"),
        ((3, 4), -5, "n_samples: -5 is not valid"),
        ((3, 4), 2.5, "n_samples: 2.5 is not valid"),
    ):
        with pytest.raises(InputError, match=sentence):
            deep_layers("mse", sizes, n_samples)  # type: ignore[arg-type]


def test_theory_takes_any_sequence_and_gives_nothing_away() -> None:
    found = deep_layers("mse", [5, 3, 4], 6)
    assert found == deep_layers("mse", np.array([5, 3, 4]), np.int64(6))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        found[0] = found[1]  # type: ignore[index]


def test_theory_of_many_samples_to_leading_order() -> None:
    sizes, N = (40, 48, 24, 96), 40
    for loss in ("mse", "ce"):
        rows = measured(fan_out_draws(Case("one", -1, sizes), loss, N, range(40)))
        rows = rows[rows["layer"] < 3]
        assert np.all(np.abs(rows["ratio"] / rows["theory"] - 1) < 0.12 + 4 * rows["std_error"] / rows["theory"])
        other = deep_layers(loss, (40, 24, 48, 96), N)[0].ratio  # the next layer twice as wide
        assert abs(rows["ratio"].iloc[0] / other - 1) > 0.15 + 4 * rows["std_error"].iloc[0] / other


def test_leading_order_is_a_sum_over_later_layers() -> None:
    sizes = (10**6, 30_000, 20_000, 40_000, 10_000)
    q, cos = [], 0.0
    for _ in range(3):
        theta = math.acos(cos)
        q.append((math.pi - theta) / (2 * math.pi))
        cos = (math.sin(theta) + (math.pi - theta) * cos) / math.pi
    later = 4 * q[1] / sizes[2] + (2 * q[1]) ** 2 * (4 * q[2] / sizes[3] + (2 * q[2]) ** 2 / sizes[4])
    expected = [q[0] * later, q[1] * (4 * q[2] / sizes[3] + (2 * q[2]) ** 2 / sizes[4]), q[2] / sizes[4]]
    found = [layer.ratio for layer in deep_layers("mse", sizes, 10**12)]
    np.testing.assert_allclose(found[:3], expected, rtol=1e-3)


def test_designs() -> None:
    cases = one_at_a_time(3, 8, [4, 8, 16])
    assert len(cases) == 1 + 4 * 2
    assert cases[0] == Case("one", -1, (8, 8, 8, 8))
    for case in cases[1:]:
        assert [k for k, size in enumerate(case.sizes) if size != 8] == [case.varied]
    sizes = np.log([case.sizes for case in all_at_random(4, 16, 256, 400)])
    assert abs(sizes.mean() - np.log(64)) < 0.06
    assert np.abs(np.corrcoef(sizes.T) - np.eye(5)).max() < 0.2
    for full in (False, True):
        tasks = fan_out(full).tasks
        assert len({table_file(task) for task in tasks}) == len(tasks)


POWERS = {"own": 0.25, "next": -0.75, "later": -0.5, "fan-in": 0.125, "earlier": -0.0625}


def planted(cases: list[Case], draws: int = 3) -> pd.DataFrame:
    """A table in which every layer's ratio is a product of powers of the sizes, by their roles."""
    rng = np.random.default_rng(0)
    lines = []
    for case in cases:
        for layer in range(1, len(case.sizes)):
            log = sum(POWERS[role(layer, k)] * math.log(size) for k, size in enumerate(case.sizes))
            for draw in range(draws):
                diag = rng.uniform(1, 2)
                lines.append(
                    {"design": case.design, "varied": case.varied, "depth": len(case.sizes) - 1, "layer": layer}
                    | {"hidden": "-".join(map(str, case.sizes[1:-1])), "dim": case.sizes[0]}
                    | {"n_classes": case.sizes[-1], "n_samples": 32, "loss": "ce", "steps": 0, "learning_rate": 0.0}
                    | {"progress": 0.0, "draw": draw, "diag_sqfro": diag, "offdiag_sqfro": diag * math.exp(log)}
                )
    return pd.DataFrame(lines)


def test_fits_find_planted_powers() -> None:
    table = planted([*one_at_a_time(3, 8, [4, 8, 16]), *all_at_random(3, 4, 32, 12)])
    rows = measured(table)
    for fits in (exponents(table), joint(rows)):
        assert len(fits) == 3 * 4
        np.testing.assert_allclose(fits["exponent"], fits["role"].map(POWERS), atol=1e-10)
        sums = later_sums(fits).set_index("layer")["exponent"]
        assert sums.to_dict() == pytest.approx({1: -1.25, 2: -0.75})
    np.testing.assert_allclose(joint(rows)["r_squared"], 1)


def test_predictors_find_a_planted_law() -> None:
    rows = measured(planted(all_at_random(3, 4, 32, 12)))
    harmonic = [sum(1 / n for n in sizes[a + 1 :]) for sizes, a in zip(rows["sizes"], rows["layer"], strict=True)]
    found = predictors(rows.assign(ratio=np.array(harmonic) * rows["layer"])).set_index("predictor")
    assert found.loc["harmonic", ["slope", "r_squared", "scatter"]].tolist() == pytest.approx([1, 1, 0], abs=1e-6)
    assert found.loc["own", "r_squared"] < 0.3


def test_deviations_find_planted_ones() -> None:
    rows = measured(planted(all_at_random(3, 4, 32, 30)))
    network = pd.factorize(rows["sizes"])[0]
    rng = np.random.default_rng(2)
    log = 0.1 + 0.2 * rng.standard_normal(network.max() + 1)[network] + 0.01 * rows["layer"]
    [found] = deviations(rows.assign(ratio=rows["theory"] * np.exp(log), std_error=0.0)).to_dict("records")
    hidden = log[rows["layer"] < 3]
    assert (found["layers"], found["networks"], found["noise"]) == (60, 30, 0)
    assert [found[name] for name in ("rms", "mean", "least", "most")] == pytest.approx(
        [np.sqrt(np.mean(hidden**2)), hidden.mean(), hidden.min(), hidden.max()]
    )
    of_networks = hidden.groupby(network[rows["layer"] < 3]).mean()  # two layers each, which go together
    assert found["std_error"] == pytest.approx(of_networks.std() / 30**0.5)
    assert found["std_error"] > 1.3 * hidden.std() / 60**0.5


@pytest.fixture(scope="module")
def small() -> pd.DataFrame:
    """A small experiment with all that the figure shows."""
    training = Schedule(20, 1e-3, (0.0, 1.0))
    tables = []
    for loss in ("mse", "ce"):
        cases = one_at_a_time(3, 12, [6, 12, 24])
        tables += [fan_out_draws(case, loss, 16, range(6)) for case in cases]
        tables += [fan_out_draws(case, loss, 16, range(2), training) for case in cases]
        tables += [fan_out_draws(case, loss, 16, range(4)) for case in all_at_random(3, 6, 24, 8)]
    return pd.concat(tables, ignore_index=True)


def test_draws_are_the_problems(small: pd.DataFrame) -> None:
    problem = Problem("ce", 12, 12, 16, (12, 6))
    rows = small.query("loss == 'ce' and hidden == '12-6' and steps == 0 and draw == 3 and design == 'one'")
    X, weights, _ = problem.draw(3)
    np.testing.assert_array_equal(rows[["diag_sqfro", "offdiag_sqfro"]], own_norms(X, weights, "ce"))
    ran = small[small["steps"] > 0]
    before, after = ran[ran["progress"] == 0], ran[ran["progress"] == 1]
    assert after["mean_loss"].notna().all()
    assert not np.any(before["diag_sqfro"].to_numpy() == after["diag_sqfro"].to_numpy())


def test_the_next_layer_matters_and_the_own_does_not() -> None:
    def ratio(*hidden: int) -> tuple[float, float]:
        rows = measured(fan_out_draws(Case("one", -1, (16, *hidden, 24)), "mse", 24, range(240)))
        return rows["ratio"].iloc[0], rows["std_error"].iloc[0]

    (base, error), (own, own_error), (following, next_error) = ratio(8, 8), ratio(32, 8), ratio(8, 32)
    assert abs(own / base - 1) < 4 * math.hypot(error, own_error) / base
    assert following / base < 0.75 - 4 * math.hypot(error, next_error) / base


def test_figure_shows_the_table(small: pd.DataFrame) -> None:
    shown = get_figure("fan_out")
    numbers = shown.numbers(small)
    figure = shown.plot(numbers)
    upper, lower = figure.axes[0], figure.axes[3]
    rows = measured(small).query("steps == 0 and design == 'one'")
    for axes, loss in ((upper, "mse"), (lower, "ce")):
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert len(axes.containers) == len(curves(axes, "theory")) == 4
        of_layer = rows[(rows["loss"] == loss) & (rows["layer"] == 1)]
        chosen = of_layer[of_layer["varied"].isin([-1, 2])].sort_values("ratio", ascending=False)
        marks = np.column_stack(axes.containers[2].lines[0].get_data()).astype(float)
        np.testing.assert_allclose(marks[:, 1], chosen["ratio"])
        np.testing.assert_allclose(curves(axes, "theory")[2][:, 1], chosen["theory"])
    fits = exponents(small).query("loss == 'mse' and layer == 1 and steps == 0")
    marks = np.column_stack(figure.axes[6].containers[0].lines[0].get_data()).astype(float)
    np.testing.assert_allclose(marks[:, 1], fits["exponent"])
    assert "after 20 steps of Adam from rate 0.001, 2 draws" in shown.text(numbers)
    start, theory, training = shown.headline(numbers).split("\n")
    assert start.startswith("- At initialisation")
    assert "layers of 8 networks: root mean square" in theory
    own = exponents(small).query("loss == 'ce' and role == 'own' and layer < 3 and steps > 0 and progress == 1")
    values = ", ".join(quoted(*pair) for pair in zip(own["exponent"], own["std_error"], strict=True))
    least = (own["exponent"] / own["std_error"]).abs().min()
    assert f"CE, own neurons {values} (|z| at least {least:.1f})" in training
    own = exponents(small).query("role == 'own' and layer < 3 and steps == 0")
    weights = own["std_error"] ** -2
    mean = quoted(np.average(own["exponent"], weights=weights), weights.sum() ** -0.5)
    largest = (own["exponent"] / own["std_error"]).abs().max()
    assert f"own neurons {mean} on average over 4 layers, largest |z| {largest:.1f};" in start
    assert part(numbers, "own")["layers"].tolist() == [4]
    assert "-0.000 " not in shown.text(numbers)
