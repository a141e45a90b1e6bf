"""Norms and shares of deep networks for users, Hessians too large or out of range, against the assembled Hessian."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.full_hessian.description import Look, describe
from rmtsim.full_hessian.panels import offsets
from rmtsim.full_hessian.structure import Structure
from rmtsim.training.problem import Problem
from tests.cases import problem


def network(loss: str, hidden: tuple[int, ...]) -> dict[str, Any]:
    X, (*layers, V), y = Problem(loss, 2 if loss.startswith("binary") else 4, 5, 24, hidden).draw()
    return {"X": X, "V": 2 * V, "W": [2 * W for W in layers] or None, "y": y, "loss": loss}


def own_blocks(given: dict[str, Any]) -> list[np.ndarray]:
    """Squared norms of the blocks of each layer with itself, from the assembled Hessian."""
    H = rmtsim.hessian(**given)
    weights = [*(given["W"] or []), given["V"]]
    found = []
    for start, W in zip(offsets(weights), weights, strict=False):
        n, rows = W.shape
        part = H[start : start + W.size, start : start + W.size].reshape(n, rows, n, rows)
        found.append((part**2).sum(axis=(1, 3)))
    return found


@pytest.mark.parametrize("loss", ["ce", "mse", "binary_ce", "binary_mse"])
@pytest.mark.parametrize("hidden", [(), (3,), (1,), (4, 3, 5)])
def test_layer_norms_are_those_of_the_hessian(loss: str, hidden: tuple[int, ...]) -> None:
    given = network(loss, hidden)
    for norms, blocks in zip(rmtsim.layer_norms(**given), own_blocks(given), strict=True):
        diagonal, others = np.trace(blocks), blocks.sum() - np.trace(blocks)
        n = len(blocks)
        assert norms.diag_sqfro == pytest.approx(diagonal / n, rel=1e-10)
        assert norms.outside == pytest.approx(others / (diagonal + others), rel=1e-9, abs=1e-14)
        if n == 1:
            assert np.isnan([norms.offdiag_sqfro, norms.ratio]).all()
        else:
            assert norms.offdiag_sqfro == pytest.approx(others / (n * (n - 1)), rel=1e-9, abs=1e-14 * diagonal)
            assert norms.ratio == pytest.approx(norms.offdiag_sqfro / norms.diag_sqfro, rel=1e-12)


@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_layer_norms_are_block_norms(loss: str) -> None:
    p = problem((4, 6, 9, 3), loss)
    found = rmtsim.layer_norms(p.X.tolist(), p.V, W=p.W, loss=loss)
    for norms, expected in zip(found, rmtsim.block_norms(p.X, p.V, W=p.W, loss=loss).values(), strict=True):
        np.testing.assert_allclose(norms[:2], expected, rtol=1e-12)


#: What X, the hidden layers and V are multiplied by.
FACTORS = [(1e-12, 1.0, 1.0), (1e-30, 1e15, 1e3), (1e20, 1e-10, 1.0), (1.0, 1.0, 1e-30), (1e30, 1e-15, 1e-2)]


def moved(given: dict[str, Any], factors: tuple[float, float, float], dtype: str) -> dict[str, Any]:
    x, w, v = factors
    W = None if given["W"] is None else [(w * layer).astype(dtype) for layer in given["W"]]
    return given | {"X": (x * given["X"]).astype(dtype), "V": (v * given["V"]).astype(dtype), "W": W}


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("hidden", [(3,), (4, 3)])
def test_any_size_of_float32_entries(factors: tuple[float, float, float], loss: str, hidden: tuple[int, ...]) -> None:
    if loss == "ce" and np.prod([factors[0], factors[2], *[factors[1]] * len(hidden)]) > 10:
        factors = (factors[0], factors[1], factors[2] / 1e30)
    single = moved(network(loss, hidden), factors, "float32")
    double = {name: A.astype(float) if name in "XV" else A for name, A in single.items()}
    double["W"] = [W.astype(float) for W in single["W"]]
    H, expected = rmtsim.hessian(**single), rmtsim.hessian(**double)
    weights = [*double["W"], double["V"]]
    starts = offsets(weights)
    for a, (start, stop) in enumerate(pairwise(starts)):
        for b in range(len(weights)):
            here = np.s_[start:stop, starts[b] : starts[b + 1]]
            top = np.abs(expected[here]).max()
            assert top > 0
            assert np.abs(H[here] - expected[here]).max() < 1e-4 * top, (a, b)
    for norms, blocks in zip(rmtsim.layer_norms(**single), own_blocks(double), strict=True):
        np.testing.assert_allclose(norms.diag_sqfro, np.trace(blocks) / len(blocks), rtol=1e-9)


@pytest.mark.parametrize("loss", ["ce", "mse"])
def test_powers_of_two_change_no_digit_of_the_hessian(loss: str) -> None:
    given = network(loss, (4, 3))
    W1, W2 = given["W"]
    far = given | {"X": given["X"] * 2.0**100, "W": [W1 * 2.0**-80, W2 * 2.0**50], "V": given["V"] * 2.0**-70}
    starts, powers = offsets([W1, W2, given["V"]]), (80, -50, 70)
    H, expected = rmtsim.hessian(**far), rmtsim.hessian(**given)
    shares = [norms[2:] for norms in rmtsim.layer_norms(**given)]
    np.testing.assert_array_equal(shares, [norms[2:] for norms in rmtsim.layer_norms(**far)])
    found = Structure(far["X"], [*far["W"], far["V"]], far["y"], loss)
    plain = Structure(given["X"], [W1, W2, given["V"]], given["y"], loss)
    for a in range(3):
        np.testing.assert_array_equal(found.maps[a + 1].largest, np.ldexp(plain.maps[a + 1].largest, 2 * powers[a]))
        for b in range(3):
            here = np.s_[starts[a] : starts[a + 1], starts[b] : starts[b + 1]]
            np.testing.assert_array_equal(H[here], np.ldexp(expected[here], powers[a] + powers[b]))
            if b >= a:
                power = 2 * (powers[a] + powers[b])
                np.testing.assert_allclose(found.part(a, b), np.ldexp(plain.part(a, b), power), rtol=1e-12)
    for name in ("stripe_sqfro", "column_sqfro"):
        expected_norms = np.ldexp(getattr(plain, name), [60, 40])
        np.testing.assert_allclose(getattr(found, name), expected_norms, rtol=1e-12)


@pytest.mark.parametrize(
    ("factors", "loss", "words"),
    [
        ((1e-170, 1.0, 1.0), "mse", r"layers 1 and 1 is about \d\.\de-3\d\d, which float64 does not hold"),
        (
            (1e200, 1.0, 1.0),
            "mse",
            r"about \d\.\de\+\d\d\d, which float64 does not hold; give X or the weights in other",
        ),
        ((1e9, 1.0, 1.0), "ce", "leave all probability to one class, so rounding in float64 would take the digits"),
        ((1e9, 1.0, 1.0), "binary_ce", "leave all probability to one class"),
        ((1e200, 1.0, 1e200), "ce", r"logits reach about \d\.\de\+\d\d\d, which float64 cannot subtract"),
    ],
)
def test_hessians_that_float64_cannot_hold(factors: tuple[float, float, float], loss: str, words: str) -> None:
    given = moved(network(loss, (3,)), factors, "float64")
    with pytest.raises(rmtsim.InputError, match=words) as caught:
        rmtsim.hessian(**given)
    assert "\n" not in str(caught.value)
    with pytest.raises(rmtsim.InputError, match=r"the mean squared norm of layer 1 is about|one class|cannot subtract"):
        rmtsim.layer_norms(**given)


def test_descriptions_that_float64_cannot_hold() -> None:
    X, weights, y = Problem("mse", 4, 5, 24, (3,)).draw()
    for factor, words in ((1e-100, "whose square float64 does not hold"), (1e170, "the loss is above")):
        with pytest.raises(rmtsim.InputError, match=words):
            describe(factor * X, weights, y, "mse", Look(), np)


def test_norms_that_are_zero_by_law_stay_zero() -> None:
    given = network("mse", (4, 3))
    dead = given | {"X": np.abs(given["X"]), "W": [-np.abs(given["W"][0]), given["W"][1]]}
    for norms in rmtsim.layer_norms(**dead):
        assert (norms.diag_sqfro, norms.offdiag_sqfro) == (0, 0)
        assert np.isnan([norms.ratio, norms.outside]).all()
    H = rmtsim.hessian(**dead)
    assert not H.any()


def test_a_hessian_that_is_too_large_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    X, V = np.ones((2, 4000)), np.broadcast_to(1.0, (3000, 4000))
    words = r"Hessian of 12,000,000 weights takes 1\.02 PiB, more than the .*; rmtsim\.layer_norms gives"
    with pytest.raises(rmtsim.InputError, match=words) as caught:
        rmtsim.hessian(X, V)
    assert "\n" not in str(caught.value)
    with pytest.raises(rmtsim.InputError, match="takes 524 TiB"):
        rmtsim.hessian(X.astype("f4"), V.astype("f4"))
    with pytest.raises(rmtsim.InputError, match=r"1,000,000 samples through layers of 2, 3 neurons need .*fewer"):
        rmtsim.layer_norms(np.broadcast_to(1.0, (10**6, 4)), np.ones((3, 2)), W=np.ones((2, 4)))

    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("rmtsim.full_hessian.assembled._assembled", full)
    with pytest.raises(rmtsim.InputError, match="more than the memory that is free; rmtsim"):
        rmtsim.hessian(np.ones((2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (
            lambda: rmtsim.simulate(rmtsim.Point("linear", "ce", 10**9, 10**9, 10**9), 1),
            "memory: a draw at C = 1",
        ),
        (lambda: rmtsim.simulate(rmtsim.Point("one_hidden", "ce", 9, 9, 9, 10**6), 1), "memory: a draw at .* TiB"),
        (lambda: rmtsim.simulate(rmtsim.Point("linear", "mse", 2, 2, 2), 10**15), "draws: the rows of .* draws take"),
        (lambda: rmtsim.simulate(rmtsim.Point("linear", "mse", 2, 2, 2), range(10**12)), "draws: the rows of"),
        (lambda: rmtsim.simulate(rmtsim.Point("linear", "ce", 2, 2, 2), 2, batch=10**9), "memory: a batch of .* draws"),
        (
            lambda: rmtsim.block_norms(np.broadcast_to(1.0, (10**9, 10)), np.ones((2, 10))),
            "X: shape .* takes 74.5 GiB",
        ),
        (lambda: rmtsim.block_norms(np.ones((2, 2)), np.broadcast_to(1, (10**10, 2))), r"V: shape .* takes 149 GiB"),
        (lambda: rmtsim.block_norms(np.ones((9, 2)), np.ones((3, 10**5)), W=np.ones((10**5, 2))), "memory: a draw at"),
    ],
)
def test_sizes_that_cannot_fit_are_refused(compute: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for home in ("sampling.simulation", "arrays.user_arrays", "arrays.backend"):
        monkeypatch.setattr(f"rmtsim.{home}.usable_memory", lambda: 16 * 2**30)
    with pytest.raises(rmtsim.InputError, match=words):
        compute()


def test_layer_norms_take_what_the_others_take() -> None:
    given = network("ce", (4, 3))
    with pytest.raises(rmtsim.InputError, match=r"W\[1\]: it is a masked array"):
        rmtsim.layer_norms(**given | {"W": [given["W"][0], np.ma.asarray(given["W"][1])]})
    with pytest.raises(rmtsim.InputError, match="a label lies outside"):
        rmtsim.layer_norms(**given | {"y": given["y"] + 4})
    with pytest.raises(rmtsim.InputError, match=r"W\[1\]: 5 columns do not fit the 4 inputs"):
        rmtsim.layer_norms(**given | {"W": [given["W"][0], np.ones((3, 5))]})
    assert rmtsim.layer_norms(**given | {"y": None}) == rmtsim.layer_norms(**given)
