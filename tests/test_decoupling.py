"""Decoupling: the paired estimator against brute force, its limit, its rate, and couplings that behave otherwise."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rmtsim.errors import InputError, RunError
from rmtsim.paper.coupling import PLACES, TIMES, Coupling, border_traces, decoupling_draws
from rmtsim.paper.decoupling import Decoupling, decoupling
from rmtsim.paper.decoupling_rates import fit_decoupling, fit_rate, summarize_decoupling
from rmtsim.sweeps.experiment import Experiment, Task, table_file
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.theory.decoupling_limit import (
    _at,
    hidden_weights,
    limiting_difference,
    linear_ce_weights,
    stieltjes_of_sample,
)
from rmtsim.theory.spectra import block_spectrum

LINEAR = Coupling("linear", "ce", "diag", 3)

#: Draws of it at each number of samples.
DRAWS = {32: 1500, 64: 1000, 128: 600, 256: 300}


@cache
def draws_of(coupling: Coupling, n_samples: int, draws: int) -> pd.DataFrame:
    return decoupling_draws(coupling, n_samples // 2, n_samples, range(draws))


def differences(coupling: Coupling, n_samples: int, draws: int, t: float = 1.0) -> np.ndarray:
    """d (s_H(t) − s_H̃) of every draw, (draws, places)."""
    rows = draws_of(coupling, n_samples, draws)
    rows = rows[rows["t"] == t]
    values = rows["difference_real"].to_numpy() + 1j * rows["difference_imag"].to_numpy()
    return n_samples // 2 * values.reshape(draws, len(PLACES))


def deviation(a: np.ndarray, b: np.ndarray | complex) -> float:
    """Largest difference of the means over draws, real and imaginary, in standard errors."""
    b = np.asarray(b)
    far = []
    for part in (np.real, np.imag):
        x, y = part(a), part(b)
        error = np.std(x, axis=0) ** 2 / len(x) + (np.std(y, axis=0) ** 2 / len(y) if y.ndim == 2 else 0)
        far.append(np.abs(np.mean(x, axis=0) - (np.mean(y, axis=0) if y.ndim == 2 else y)) / np.sqrt(error))
    return float(np.max(far))


def brute_force(n_samples: int, draws: int, t: float) -> np.ndarray:
    """tr (H(t) − z)⁻¹ − tr (H̃ − z)⁻¹ of linear CE, C = 3, from whole spectra, X and X̃ as in the paper."""
    rng, d = np.random.default_rng(5), n_samples // 2
    X, other = rng.normal(size=(2, draws, n_samples, d))
    V = rng.normal(size=(draws, 3, d)) / np.sqrt(d)

    def traces(data: np.ndarray) -> np.ndarray:
        p = np.exp(data @ V.mT)
        p = p[..., 0] / p.sum(axis=-1)
        H = X.mT @ ((p * (1 - p) / LINEAR.scale)[..., None] * X) / n_samples
        return np.sum(1 / (np.linalg.eigvalsh(H)[:, None] - np.array(PLACES)[:, None]), axis=-1)

    return traces(np.sqrt(t) * X + np.sqrt(1 - t) * other) - traces(other)


@pytest.mark.parametrize("t", [0.5, 1.0])
def test_the_paired_estimator_agrees_with_the_papers_definition(t: float) -> None:
    direct, paired = brute_force(16, 30_000, t), differences(LINEAR, 16, 3000, t)
    assert deviation(direct, paired) < 4
    assert deviation(direct, 0) > 4


def test_pairing_makes_the_error_fall_with_the_size() -> None:
    """Where the traces of independent copies scatter the more, the larger they are."""
    small, large = (np.std(differences(LINEAR, N, draws)[:, 0]) for N, draws in ((16, 3000), (256, 300)))
    assert large < small / 2.5
    assert np.std(brute_force(64, 500, 1.0)[:, 0]) > 1.3 * np.std(brute_force(16, 500, 1.0)[:, 0])


def test_schurs_complement_is_exact() -> None:
    rng = np.random.default_rng(0)
    U, B, weights = rng.normal(size=(2, 20, 3)), rng.normal(size=(2, 20, 6)), rng.normal(size=(2, 20))
    z = np.array([0.3 + 0.2j, -1 - 0.5j])

    def traces(X: np.ndarray) -> np.ndarray:
        H = X.mT @ (weights[..., None] * X) / 20
        return np.sum(1 / (np.linalg.eigvalsh(H)[:, None] - z[:, None]), axis=-1)

    expected = traces(np.concatenate([U, B], axis=-1)) - traces(B)
    np.testing.assert_allclose(border_traces(U, B, weights, z), expected, rtol=1e-10)


@pytest.mark.parametrize(
    "coupling",
    [
        LINEAR,
        Coupling("linear", "ce", "offdiag", 10),
        Coupling("one_hidden", "ce", "offdiag", 10, 4),
        Coupling("one_hidden", "mse", "offdiag", 10, 4),
    ],
    ids=str,
)
def test_the_limit_is_the_theorys(coupling: Coupling, monkeypatch: pytest.MonkeyPatch) -> None:
    is_linear = coupling.model == "linear"
    weights = linear_ce_weights(coupling.block) if is_linear else hidden_weights(coupling.V, coupling.loss, "offdiag")
    r, scale = coupling.n_features(1), coupling.scale

    monkeypatch.setattr("rmtsim.theory.decoupling_limit._LOG2_POINTS", 12)  # two digits, where draws tell one

    def theory(gamma: float) -> np.ndarray:
        return limiting_difference(lambda U: weights(U) / scale, r, gamma, PLACES).value[0]

    measured = differences(coupling, 256, 300)
    assert deviation(measured, theory(0.5)) < 4
    assert deviation(measured, theory(2.0)) > 4


def test_the_path_goes_as_the_theory_says() -> None:
    theory = limiting_difference(lambda U: linear_ce_weights("diag")(U) / LINEAR.scale, 3, 0.5, PLACES, TIMES)
    for k, t in enumerate(TIMES):
        assert deviation(differences(LINEAR, 256, 300, t), theory.value[k]) < 4


def test_signs_alone_are_decoupled_exactly() -> None:
    """x and −x give the same x xᵀ, so 1(w·x > 0) is a coin beside it, at every size; two such signs are not."""
    one, two = (differences(Coupling("one_hidden", "mse", block, 10, 4), 16, 4000) for block in ("diag", "offdiag"))
    assert deviation(one, 0) < 4
    assert deviation(two, 0) > 4


def test_the_rate_is_that_of_the_coupling() -> None:
    """1/N where the weights see few directions; N^−1/2 where they see half of all, although they are bounded."""

    def slope(coupling: Coupling, sizes: dict[int, int]) -> float:
        found = [abs(np.mean(differences(coupling, N, draws)[:, 0])) / N for N, draws in sizes.items()]
        return float(np.polyfit(np.log(list(sizes)), np.log(found), 1)[0])

    assert -1.15 < slope(LINEAR, DRAWS) < -0.85
    assert -0.65 < slope(Coupling("radial"), {16: 600, 32: 300, 64: 150, 128: 60}) < -0.35


def test_constant_weights_have_nothing_to_decouple() -> None:
    found = limiting_difference(lambda U: np.ones(len(U)), 4, 0.5, [1 + 1j, 2 - 0.5j])
    assert np.max(np.abs(found.value)) < 1e-3
    z, gamma = 0.7 + 0.3j, 0.5  # Marchenko and Pastur's quadratic
    s = stieltjes_of_sample(np.ones(3), gamma, z)
    assert abs(gamma * z * s**2 + (z + gamma - 1) * s + 1) < 1e-11
    assert s.imag > 0


def test_a_sample_of_weights_has_the_stieltjes_transform_of_their_law() -> None:
    rng = np.random.default_rng(3)
    weights = linear_ce_weights("diag")(rng.normal(size=(200_000, 10)))
    z = 0.1 + 0.1j
    exact = block_spectrum("linear", "ce", "linear", "diag", 10, 0.5).stieltjes(z)
    assert abs(stieltjes_of_sample(weights, 0.5, z) / exact - 1) < 2e-3
    assert abs(stieltjes_of_sample(weights, 1.0, z) / exact - 1) > 2e-2


def test_the_limit_is_a_derivative() -> None:
    rng = np.random.default_rng(1)
    U, gamma, t, z, step = rng.normal(size=(50, 3)), 0.5, np.array([0.3, 1.0]), 0.2 + 0.3j, 1e-5
    weights = rng.uniform(size=50)

    def log_det(z: complex) -> np.ndarray:
        s = stieltjes_of_sample(weights, gamma, z)
        M = -z * np.eye(3) + np.einsum("n,ni,nj->ij", weights / (1 + gamma * weights * s), U, U) / 50
        return np.array([np.log(np.linalg.det(np.eye(3) + time * (s * M - np.eye(3)))) for time in t])

    slope = (log_det(z + step) - log_det(z - step)) / (2 * step)
    np.testing.assert_allclose(_at(U, weights, gamma, z, t), -slope, rtol=1e-6)


def test_draws_are_functions_of_their_numbers() -> None:
    whole, part = (decoupling_draws(LINEAR, 40, 80, draws, seed=3) for draws in (range(5), range(2, 4)))
    pd.testing.assert_frame_equal(whole[whole["draw"].isin([2, 3])].reset_index(drop=True), part)
    other = decoupling_draws(LINEAR, 40, 80, range(2, 4), seed=4)
    assert (other["difference_real"] != part["difference_real"]).all()


def test_bad_couplings_are_refused() -> None:
    with pytest.raises(InputError, match="constant weights"):
        Coupling("linear", "mse")
    with pytest.raises(InputError, match="model: 'deep' is not known; choose one of linear"):
        Coupling("deep")
    with pytest.raises(InputError, match="'offdiag' is not valid; it needs two classes"):
        Coupling("linear", "ce", "offdiag", 1)
    with pytest.raises(InputError, match="dim: 3 is not valid; give more than the 3 components"):
        decoupling_draws(LINEAR, 3, 6, range(2))
    with pytest.raises(InputError, match="z: a real number"):
        limiting_difference(linear_ce_weights("diag"), 2, 0.5, 1.0)
    with pytest.raises(InputError, match="times: a number outside"):
        limiting_difference(linear_ce_weights("diag"), 2, 0.5, 1j, 1.5)
    with pytest.raises(InputError, match="aspect_ratio: 0 is not valid"):
        limiting_difference(linear_ce_weights("diag"), 2, 0, 1j)
    with pytest.raises(InputError, match="n_features: 65"):
        limiting_difference(linear_ce_weights("diag"), 65, 0.5, 1j)


def test_a_power_with_a_correction_is_found() -> None:
    rng, N = np.random.default_rng(2), np.array([32.0, 64, 128, 256, 512, 1024])
    exact = 0.3 / N * np.exp(-4 / N)
    fit = fit_rate(N, exact * (1 + 0.01 * rng.normal(size=6)), 0.01 * exact)
    assert abs(fit.exponent + 1) < 3 * fit.std_error_exponent
    assert abs(fit.limit - 0.3) < 3 * fit.std_error_limit
    assert abs(fit.plain_slope + 1) > 4 * fit.std_error_plain_slope  # what the correction is for
    slow = fit_rate(N, exact * N**0.3, 0.01 * exact * N**0.3)
    assert slow.exponent + 1 > 3.5 * slow.std_error_exponent


def test_verdicts_tell_true_from_false() -> None:
    parts = [draws_of(LINEAR, N, n) for N, n in DRAWS.items()]
    rows = pd.concat([*parts, draws_of(Coupling("radial"), 32, 20)], ignore_index=True)
    summary = summarize_decoupling(rows[rows["model"] == "linear"])
    whole = summary[(summary["t"] == 1) & (summary["n_samples"] == 256) & (summary["z_real"] == 1)].iloc[0]
    values = differences(LINEAR, 256, 300)[:, 0]
    assert whole["difference"] == pytest.approx(abs(np.mean(values)))
    assert whole["std_error_difference_real"] == pytest.approx(np.std(values.real, ddof=1) / np.sqrt(300))
    fits = fit_decoupling(summary)
    assert fits["verdict"].tolist() == ["agrees"] * len(PLACES)
    numbers = Decoupling().numbers(rows[rows["model"] == "linear"])
    assert "linear CE, diagonal, C = 3" in Decoupling().text(numbers)
    wrong = summary.assign(limit_real=2 * summary["limit_real"], limit_imag=2 * summary["limit_imag"])
    assert fit_decoupling(wrong)["verdict"].tolist() == ["differs"] * len(PLACES)
    control = summarize_decoupling(rows[rows["model"] == "radial"])
    assert control["limit_real"].isna().all()


def tables(calls: list[int], n: int = 3, fail_at: int = -1) -> Experiment:
    def task(k: int) -> Task:
        def compute() -> pd.DataFrame:
            if k == fail_at:
                raise KeyboardInterrupt
            calls.append(k)
            return pd.DataFrame({"k": [k], "square": [k * k]})

        return Task(f"table-{k}", {"k": k}, compute, cost=-k)

    return Experiment("squares", [task(k) for k in range(n)])


def test_a_repeat_computes_nothing_and_a_kill_loses_only_what_was_in_flight(tmp_path: Path) -> None:
    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run_tables(tables(calls, fail_at=1), tmp_path, workers=1)
    assert calls == [0]
    assert run_tables(tables(calls), tmp_path, workers=2).new_tables == 2
    assert run_tables(tables(calls), tmp_path).new_tables == 0
    assert sorted(calls) == [0, 1, 2]
    assert tables(calls).read(tmp_path)["square"].tolist() == [0, 1, 4]
    assert [path.suffix for path in (tmp_path / "experiments" / "squares").iterdir()] == [".parquet"] * 3


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    run_tables(tables([], n=2), tmp_path)
    with pytest.raises(
        InputError, match=r"squares: 1 of its 3 tables are not in .*; run `rmtsim reproduce squares --out DIR`"
    ):
        tables([]).read(tmp_path)
    [first, _] = tables([], n=2).tasks
    (tmp_path / "experiments" / "squares" / table_file(first)).write_bytes(b"torn")
    with pytest.raises(RunError, match=r"is torn .*; remove it"):
        tables([], n=2).read(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; give a directory"):
        run_tables(tables([]), tmp_path / "file")


def test_other_parameters_are_other_tables() -> None:
    names = [
        {table_file(task) for task in decoupling(seed, draws).tasks}
        for seed, draws in ((0, None), (1, None), (0, {32: 9}))
    ]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
