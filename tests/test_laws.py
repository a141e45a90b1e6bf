"""Other laws of data: their moments, and rows of a stream that do not depend on the chunk."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rmtsim.data import row_laws
from rmtsim.data.datasets import _LAWS
from rmtsim.data.row_laws import RowLaw, parse_row_law
from rmtsim.sampling.random_rows import RandomRows, stream
from rmtsim.sampling.weight_rows import weight_rows
from tests.laws import COVARIANCES, MOST, distance

OTHERS = [law for law in COVARIANCES if law != "gaussian"]


@pytest.mark.parametrize("text", COVARIANCES)
def test_a_law_has_the_moments_that_it_states(text: str) -> None:
    law = parse_row_law(text)
    X = law.rows(np.random.default_rng(5), 40_000, 6)
    assert law.text == text
    covariance = COVARIANCES[text]
    assert law.isotropic == np.array_equal(covariance, np.eye(6))
    for i in range(6):
        assert distance(X[:, i], 0.0) < MOST
        for j in range(i + 1):
            assert distance(X[:, i] * X[:, j], covariance[i, j]) < MOST
    squares, products = (X**2).sum(axis=1), (X[::2] * X[1::2]).sum(axis=1)
    assert distance(squares, 6.0) < MOST
    assert distance(squares**2, law.fourth_moment(6)) < MOST
    assert distance(products**2, law.pair_moment(6)) < MOST
    assert law.pair_moment(6) == pytest.approx(np.sum(covariance**2), rel=1e-12)
    if text != "gaussian":  # negative control: the law is not the Gaussian one
        far = [distance(squares**2, 48.0), distance(products**2, 6.0), distance((X**4).mean(axis=1), 3.0)]
        assert max(far) > 8


def test_student_t_has_the_moments_that_it_has_and_no_others() -> None:
    assert parse_row_law("student_t:5").fourth_moment(10) == 10 * 9 + 10 * 9
    assert parse_row_law("student_t:4").fourth_moment(10) == math.inf
    assert parse_row_law("student_t:2.5").pair_moment(10) == 10


@pytest.mark.parametrize("text", ["ar1:-0.7", "spectrum:0.3", "spiked:3:8", "sphere", "rademacher"])
def test_what_pairs_have_tends_to_its_limit(text: str) -> None:
    law = parse_row_law(text)
    errors = [abs(law.pair_moment(dim) / dim / law.pair_limit - 1) for dim in (1000, 100_000)]
    assert errors[1] < 0.01
    assert errors[1] <= errors[0]


def test_spectra_without_a_limit_grow() -> None:
    for text in ("spectrum:0.5", "spectrum:1"):
        law = parse_row_law(text)
        assert law.pair_limit == math.inf
        assert law.pair_moment(10_000) / 10_000 > 1.2 * law.pair_moment(1000) / 1000


@pytest.mark.parametrize("text", COVARIANCES)
def test_more_rows_only_add_to_fewer(text: str) -> None:
    """Which makes rows of a stream independent of the chunk, also where blocks of rows end."""
    law = parse_row_law(text)
    few, many = (law.rows(stream(bytes(16)), count, 6) for count in (3, 700))
    np.testing.assert_array_equal(many[:3], few)
    X = RandomRows("key", range(2), (1500, 6), 2.0, law=law, dtype="float64", xp=np)
    whole = X.all()
    for start, stop in ((0, 1), (5, 513), (511, 512), (1000, 1500)):
        np.testing.assert_array_equal(X.rows(slice(start, stop)), whole[:, start:stop])
    np.testing.assert_array_equal(X.draw((1,)).all(), whole[1])
    rounded = RandomRows("key", range(2), (1500, 6), 2.0, law=law, dtype="float32", xp=np).all()
    np.testing.assert_array_equal(rounded, whole.astype("float32"))


def test_a_device_that_makes_normals_takes_other_laws_from_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU gets is what NumPy's streams make for its keys."""
    from rmtsim.arrays.backends.numpy_backend import NumPyBackend

    law = parse_row_law("sphere")
    host = RandomRows("key", [3, 5], (20, 6), 2.0, law=law, dtype="float32", xp=np).all()
    monkeypatch.setattr(NumPyBackend, "makes_normals", True)
    monkeypatch.setattr(NumPyBackend, "normals", lambda self, *_: np.full((20, 6), 7.0), raising=False)
    assert RandomRows("key", [3], (20, 6), 2.0, dtype="float32", xp=np).all()[0, 0, 0] == 7  # negative control
    np.testing.assert_array_equal(RandomRows("key", [3, 5], (20, 6), 2.0, law=law, dtype="float32", xp=np).all(), host)
    uniform = weight_rows("uniform", "key", [3], (20, 6), 1 / 3, dtype="float32", xp=np).all()
    assert np.abs(uniform).max() <= 1


def test_every_law_that_comes_with_rmtsim_is_tested() -> None:
    laws = {law.name for law in _LAWS if issubclass(law, RowLaw)}
    assert laws == {text.partition(":")[0] for text in COVARIANCES}


def test_the_annotations_of_a_law_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than all else that is done with a law."""
    row_laws._kinds_of.cache_clear()
    read, real = list[type](), row_laws.get_type_hints
    monkeypatch.setattr(row_laws, "get_type_hints", lambda law: read.append(law) or real(law))
    for degrees in range(5, 15):
        assert parse_row_law(f"student_t:{degrees}").moments == degrees
    assert len(read) == 1
