"""Numbers of the paper's figures, each against a computation of its own from a small table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from rmtsim.figures.parts import part
from rmtsim.paper.block_eigenvalues import block_eigenvalues
from rmtsim.paper.coupling import Coupling, decoupling_draws
from rmtsim.paper.decoupling import Decoupling
from rmtsim.paper.fig2 import Fig2
from rmtsim.paper.hessian_pictures import picture_task
from rmtsim.paper.limiting_laws import limiting_spectrum
from rmtsim.paper.limiting_spectra import LimitingSpectra
from rmtsim.paper.linked_network import EXAMPLES, LinkedNetwork, full_links
from rmtsim.paper.simo import Simo, simo_entries
from rmtsim.paper.wishart import Wishart, wishart_eigenvalues
from rmtsim.paper.wishart_laws import wishart_law
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint
from rmtsim.training.trajectory import NORMS

DRAWS = 6


def sem(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / len(values) ** 0.5)


def jackknife(above: np.ndarray, below: np.ndarray) -> tuple[float, float]:
    """Return Σ above / Σ below without its bias of order 1/n, and its standard error, leaving out draw by draw."""
    n = len(above)
    left = np.array([np.delete(above, k).sum() / np.delete(below, k).sum() for k in range(n)])
    return n * above.sum() / below.sum() - (n - 1) * left.mean(), float(((n - 1) * np.var(left)) ** 0.5)


def test_pictures_have_shares_losses_and_maps() -> None:
    problem, schedule = Problem("mse", 3, 5, 12, (2,)), Schedule(4, 0.05, (0, 1))
    tasks = [picture_task("MSE", problem, schedule, draw, NORMS) for draw in range(1, 4)]
    tables = [task.table(Checkpoint()) for task in (picture_task("MSE", problem, schedule), *tasks)]
    pictures = pd.concat(tables, ignore_index=True)
    numbers = Fig2().numbers(pictures)
    shares = part(numbers, "shares").set_index(["step", "share"])
    for step in (0, 4):
        for share, layer in (("whole", 0), ("hidden", 1)):
            of_part = pictures[(pictures["step"] == step) & (pictures["layer"] == layer) & (pictures["other"] == layer)]
            outside, total = (
                of_part.loc[of_part["quantity"] == name, "value"].to_numpy() for name in ("outside", "total_sqfro")
            )
            value, error = jackknife(outside * total, total)
            found = shares.loc[(step, share)]
            assert (found["value"], found["std_error"], found["draws"]) == pytest.approx((value, error, 4))
    training = part(numbers, "training")
    assert training["step"].tolist() == [0, 4]
    for row in training.itertuples():
        losses = pictures[(pictures["quantity"] == "loss") & (pictures["step"] == row.step)]["value"].to_numpy()
        assert (row.value, row.std_error, row.draws) == pytest.approx((losses.mean(), sem(losses), 4))
        assert (row.steps, row.learning_rate) == (4, 0.05)
    maps = part(numbers, "maps")
    assert {"edge", "mean", "largest", "block_edge", "block_sqfro"} == set(maps["quantity"])
    for quantity, kept in maps.groupby("quantity"):
        values = pictures[pictures["quantity"] == quantity].groupby(["step", "layer"])["value"]
        if quantity == "largest":
            assert kept.set_index(["step", "layer"])["value"].to_dict() == values.max().to_dict()
        else:
            assert kept.groupby(["step", "layer"])["value"].agg(list).to_dict() == values.agg(list).to_dict()


def test_ties_and_ratios_are_those_of_the_entries() -> None:
    wide = LinkedNetwork(full_links(4, 3))
    rows = pd.concat([simo_entries("example 2", EXAMPLES["example 2"], 50), simo_entries("4 outputs", wide, 50)])
    numbers = Simo().numbers(rows)
    for row in part(numbers, "ties").itertuples():
        cells = [cell for cell in rows.itertuples() if (cell.example, cell.tie) == (row.example, row.tie)]
        assert row.entries == len(cells)
        assert row.vanishing == sum(cell.largest == 0 for cell in cells)
        assert row.mean_square == pytest.approx(np.mean([cell.mean_square for cell in cells]))
        assert row.expected == pytest.approx(np.mean([cell.expected for cell in cells]))
        assert row.largest == max(cell.largest for cell in cells)
        z = [abs(cell.mean_square - cell.expected) / cell.std_error for cell in cells if cell.std_error > 0]
        assert row.worst_z == pytest.approx(max(z, default=0))
    [ratio] = part(numbers, "ratios").itertuples()
    cells = {(cell.row, cell.column): cell for cell in rows.itertuples() if cell.example == "4 outputs"}
    off = [cells[pair] for pair in (("w1", "w2"), ("w1", "w3"), ("w2", "w3"))]
    diag = [cells[f"w{k}", f"w{k}"] for k in (1, 2, 3)]
    above, below = (sum(cell.mean_square for cell in of) for of in (off, diag))
    assert ratio.ratio == pytest.approx(above / below)
    assert ratio.expected == pytest.approx(1 / 6)
    errors = [sum(cell.std_error**2 for cell in of) ** 0.5 for of in (off, diag)]
    assert ratio.std_error == pytest.approx(ratio.ratio * np.hypot(errors[0] / above, errors[1] / below))
    assert set(part(numbers, "entries")["example"]) == {"example 2"}


def largest_gap(x: np.ndarray, cdf: np.ndarray, dim: int) -> float:
    """Return sup |F_n − F| by looking at both sides of every step; x are the positive of ``dim`` values."""
    order = np.argsort(x)
    gaps = []
    for k, F in enumerate(cdf[order]):
        zeros = dim - len(x)
        gaps += [abs((zeros + k) / dim - F), abs((zeros + k + 1) / dim - F)]
    return max(gaps)


def test_distances_of_wishart_spectra_are_the_largest_gaps() -> None:
    rows = pd.concat([wishart_eigenvalues(weights, 24, 4, DRAWS) for weights in ("coupled", "copy")])
    line = part(Wishart().numbers(rows), "distances").iloc[0]
    coupled, copy = (rows[rows["weights"] == weights] for weights in ("coupled", "copy"))
    law = wishart_law("coupled", 10, 6.0)
    cdf = law.cdf(coupled["eigenvalue"].to_numpy() / 10)
    assert line["atom"] == pytest.approx(20 / 24)
    assert line["atom_law"] == pytest.approx(20 / 24)
    assert line["distance"] == pytest.approx(largest_gap(coupled["eigenvalue"].to_numpy(), cdf, DRAWS * 24), abs=2e-5)
    of_draws = np.array(
        [
            largest_gap(draw["eigenvalue"].to_numpy(), cdf[draw["place"]], 24)
            for _, draw in coupled.assign(place=np.arange(len(coupled))).groupby("draw")
        ]
    )
    assert line["distance_of_draw"] == pytest.approx(of_draws.mean(), abs=2e-5)
    assert line["std_error_distance_of_draw"] == pytest.approx(sem(of_draws), abs=2e-5)
    pooled = [np.concatenate([np.zeros(20 * DRAWS), table["eigenvalue"]]) for table in (coupled, copy)]
    gaps = [abs((pooled[0] <= x).mean() - (pooled[1] <= x).mean()) for x in np.concatenate(pooled)]
    assert line["distance_to_copy"] == pytest.approx(max(gaps))
    others = [
        largest_gap(kept["eigenvalue"].to_numpy(), law.cdf(kept["eigenvalue"].to_numpy() / 10), 24 * (DRAWS - 1))
        for kept in (coupled[coupled["draw"] != left_out] for left_out in range(DRAWS))
    ]
    assert line["std_error_distance"] == pytest.approx(np.sqrt((DRAWS - 1) * np.var(others)), abs=2e-5)


def test_distances_of_blocks_and_their_slope() -> None:
    from rmtsim import Point

    tables = [
        block_eigenvalues(Point("linear", "ce", 10, d, 2 * d), "diag", n) for d, n in {8: 12, 16: 8, 32: 5}.items()
    ]
    numbers = LimitingSpectra().numbers(pd.concat(tables, ignore_index=True))
    law, found = limiting_spectrum("diag", 10, 0.5), part(numbers, "distances")
    for row, table in zip(found.itertuples(), tables, strict=True):
        x = [draw["eigenvalue"].to_numpy() for _, draw in table.groupby("draw")]
        gaps = np.array([largest_gap(of_draw, law.cdf(of_draw), len(of_draw)) for of_draw in x])
        assert row.draws == len(gaps)
        assert (row.distance, row.std_error_distance) == pytest.approx((gaps.mean(), sem(gaps)), abs=2e-5)
    y = np.log(found["distance"].to_numpy(float))
    errors = (found["std_error_distance"] / found["distance"]).to_numpy(float)
    d = np.log(found["dim"].to_numpy(float))
    (_, slope), covariance = curve_fit(lambda x, a, b: a + b * x, d, y, sigma=errors, absolute_sigma=True)
    [rate] = part(numbers, "slopes").itertuples()
    assert (rate.slope, rate.std_error_slope) == pytest.approx((slope, covariance[1, 1] ** 0.5), rel=1e-5)
    assert set(part(numbers, "eigenvalues")["dim"]) == {32}


def test_differences_and_rates_of_decoupling() -> None:
    coupling = Coupling("linear", "ce", "diag", 3)
    rows = pd.concat([decoupling_draws(coupling, n // 2, n, range(200)) for n in (16, 32, 64, 128)], ignore_index=True)
    numbers = Decoupling().numbers(rows)
    means, fits = part(numbers, "means"), part(numbers, "fits")
    for row in means.itertuples():
        same = rows[(rows["n_samples"] == row.n_samples) & (rows["t"] == row.t) & (rows["z_real"] == row.z_real)]
        real, imag = (row.dim * same[f"difference_{of}"].to_numpy() for of in ("real", "imag"))
        assert (row.difference_real, row.std_error_difference_real) == pytest.approx((real.mean(), sem(real)))
        assert (row.difference_imag, row.std_error_difference_imag) == pytest.approx((imag.mean(), sem(imag)))
        length = np.hypot(real.mean(), imag.mean())
        along = (real * real.mean() + imag * imag.mean()) / length
        assert (row.difference, row.std_error_difference) == pytest.approx((length, sem(along)))

    def power_law(x: np.ndarray, constant: float, exponent: float, correction: float) -> np.ndarray:
        return constant + exponent * np.log(x) + correction / x

    for fit in fits.itertuples():
        whole = means[(means["t"] == 1) & (means["z_real"] == fit.z_real)]
        N, y = whole["n_samples"].to_numpy(float), np.log((whole["difference"] / whole["dim"]).to_numpy(float))
        errors = (whole["std_error_difference"] / whole["difference"]).to_numpy(float)
        for model, value, error in (
            (power_law, fit.exponent, fit.std_error_exponent),
            (lambda x, a, b: power_law(x, a, b, 0), fit.plain_slope, fit.std_error_plain_slope),
        ):
            best, covariance = curve_fit(model, N, y, sigma=errors, absolute_sigma=True)
            assert (value, error) == pytest.approx((best[1], covariance[1, 1] ** 0.5), rel=1e-4)
        pinned = curve_fit(lambda x, a, b: power_law(x, a, -1, b), N, y, sigma=errors, absolute_sigma=True)
        limit = 0.5 * np.exp(pinned[0][0])
        assert (fit.limit, fit.std_error_limit) == pytest.approx((limit, limit * pinned[1][0, 0] ** 0.5), rel=1e-4)
        z = (fit.exponent + 1) / fit.std_error_exponent, (fit.limit - fit.limit_theory) / fit.std_error_limit
        if max(map(abs, z)) < 3:
            assert fit.verdict == "agrees"
