"""Terms of single classes from some of them: unbiased, with an honest error, and only where it is worth it."""

from __future__ import annotations

from types import ModuleType

import numpy as np

import rmtsim
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.kernels.classes import GivenRows
from rmtsim.kernels.cost import diagonal_classes, flops, normals
from rmtsim.kernels.network_norms import Networks, compute
from rmtsim.kernels.tiling import Tiling
from rmtsim.model.point import Point
from tests.cases import problem

CUT = Tiling(tile=7, largest=7, chunk=10, span=9, hold=False)
#: All samples of a problem below in one tile, which is quicker; the chunks decide which classes are sampled.
COARSE = Tiling(tile=60, largest=60, chunk=10, span=60, hold=True)


def norms(X: np.ndarray, V: np.ndarray, classes: int, xp: ModuleType = np, cut: Tiling = CUT):
    arrays = (xp.asarray(A[None]) for A in (X, V))
    X, V = arrays
    draws = Networks(X, [GivenRows(V)], None, None, "ce", ("linear",), xp, tiling=cut, team=ThreadTeam(1))
    return [float(value[0]) for value in compute(draws, sampled_classes=classes)["linear"]]


def test_all_possible_samples_have_the_exact_mean(xp: ModuleType) -> None:
    """Sampling is without repetition, so over all cyclic orders of the classes the estimates average to the truth."""
    p = problem((12, 5, 20, None), "ce", scale=0.4)
    exact = norms(p.X, p.V, 12, xp)
    samples = np.array([norms(p.X, np.roll(p.V, shift, axis=0), 4, xp) for shift in range(12)])
    np.testing.assert_allclose(samples[:, :2].mean(axis=0), exact, rtol=1e-12)
    assert (np.abs(samples[0, :2] / exact - 1) > 1e-9).all()  # a single sample is not the truth


def test_standard_errors_are_those_of_the_estimates() -> None:
    """Estimates of one draw from many random orders of its classes spread as their standard errors say."""
    p = problem((60, 30, 40, None), "ce", scale=30**-0.5)
    rng = np.random.default_rng(0)
    samples = np.array([norms(p.X, rng.permutation(p.V), 20, cut=COARSE) for _ in range(400)])
    spread = samples[:, :2].std(axis=0, ddof=1)
    claimed = (samples[:, 2:] ** 2).mean(axis=0) ** 0.5
    np.testing.assert_allclose(claimed, spread, rtol=0.12)  # 3.5 standard errors of a spread from 400
    assert not np.allclose(0.75 * claimed, spread, rtol=0.12)
    held = Tiling(tile=7, largest=7, chunk=10, span=9, hold=True)
    for cut in (held, COARSE):
        np.testing.assert_allclose(norms(p.X, p.V, 20, cut=cut), norms(p.X, p.V, 20), rtol=1e-12)


def test_simulated_rows_agree_with_exact_ones() -> None:
    point = Point("linear", "ce", 4096, 100, 150)
    exact, sampled = (rmtsim.simulate(point, 24, diagonal=diagonal) for diagonal in ("exact", "auto"))
    assert set(exact["classes"]) == {4096}
    assert set(sampled["classes"]) == {512}
    assert (exact[["std_error_diag", "std_error_offdiag"]] == 0).all(axis=None)
    for quantity in ("diag", "offdiag"):
        difference = sampled[f"{quantity}_sqfro"] - exact[f"{quantity}_sqfro"]
        z = difference / sampled[f"std_error_{quantity}"]
        assert 0.5 < (z**2).mean() ** 0.5 < 2
        assert abs(z.mean()) < 1.5  # a skew law: few classes carry much
        assert (sampled[f"std_error_{quantity}"] ** 2).mean() < 1e-3 * exact[f"{quantity}_sqfro"].var()


def test_where_classes_are_sampled() -> None:
    many = Point("linear", "ce", 10**5, 512, 1024)
    assert diagonal_classes(many, "auto") == 512
    assert diagonal_classes(many, "exact") == 10**5
    for point in (
        Point("linear", "ce", 4000, 512, 1024),  # few classes
        Point("linear", "mse", 10**5, 512, 1024),
        Point("one_hidden", "ce", 10**5, 512, 1024, 8),  # few features: all classes cost little
    ):
        assert diagonal_classes(point, "auto") == point.n_classes
    assert flops(many, ("linear",), "auto") < 0.45 * flops(many, ("linear",))
    assert normals(many, ("linear",), "auto") < 0.6 * normals(many, ("linear",))
