"""The counter-based generator: published answers, cuts, dtypes, the law of the normals, independence of streams."""

from __future__ import annotations

from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from rmtsim.arrays.philox import normals, philox4x32

N = 200_000


def name(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def words(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], dtype=np.uint32)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [  # the three vectors "philox4x32 10" of Random123's known answers: zeros, ones, the digits of π
        ("0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers(counter: str, key: str, answer: str) -> None:
    np.testing.assert_array_equal(philox4x32(words(counter), words(key)), words(answer))


def test_counters_may_have_any_leading_axes() -> None:
    counters = np.random.default_rng(0).integers(2**32, size=(2, 3, 4), dtype=np.uint32)
    key = words("a4093822 299f31d0")
    out = philox4x32(counters, key)
    assert out.dtype == np.uint32
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(out[place], philox4x32(counters[place], key))


def test_stretches_do_not_depend_on_how_they_are_cut() -> None:
    whole = normals(name("cut"), 0, 40_001)
    for cuts in ([0, 1, 2, 3, 40_001], [0, 16_383, 16_384, 16_385, 40_000, 40_001], [0, 7, 7, 20_001, 40_001]):
        parts = [normals(name("cut"), a, b) for a, b in pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_numbers_beyond_32_bits() -> None:
    """The upper word of the counter counts too."""
    start = 2**34 - 3
    far = normals(name("far"), start, start + 6)
    np.testing.assert_array_equal(far[3:], normals(name("far"), start + 3, start + 6))
    assert not np.intersect1d(far, normals(name("far"), 0, 6)).size
    assert len(normals(name("far"), 2**63 - 1, 2**63)) == 1


def test_both_dtypes_see_the_same_draw() -> None:
    double, single = (normals(name("dtype"), 5, 1000, dtype) for dtype in ("float64", "float32"))
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, double.astype(np.float32))


@pytest.mark.parametrize(("identity", "start", "stop"), [(b"short", 0, 1), (bytes(16), -1, 1), (bytes(16), 2, 1)])
def test_arguments_are_checked(identity: bytes, start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=r"stream|range"):
        normals(identity, start, stop)


def test_normals_are_exact_where_angles_are() -> None:
    """Against Box–Muller in 40 digits, from the same bits; also next to the zeros of sine and cosine."""
    mpmath = pytest.importorskip("mpmath")
    identity = name("exact")
    key = np.frombuffer(identity, dtype="<u4")
    with mpmath.workdps(40):
        for pair in range(200):
            a, b, c, d = (int(word) for word in philox4x32(np.array([pair, 0, *key[2:]], dtype=np.uint32), key[:2]))
            radius = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf((a << 32 | b) // 2**11 + 1) / 2**53))
            angle = 2 * mpmath.mpf((c << 32 | d) // 2**11) / 2**53
            exact = [float(radius * mpmath.cospi(angle)), float(radius * mpmath.sinpi(angle))]
            np.testing.assert_allclose(normals(identity, 2 * pair, 2 * pair + 2), exact, rtol=1e-15)


def departure(sample: np.ndarray) -> float:
    """Largest departure of the first four moments from N(0, 1), in standard errors."""
    exact, variance = np.array([0, 1, 0, 3]), np.array([1, 2, 15, 96])
    moments = np.array([np.mean(sample**power) for power in (1, 2, 3, 4)])
    return float(np.max(np.abs(moments - exact) / np.sqrt(variance / len(sample))))


def test_law() -> None:
    sample = normals(name("law"), 0, N)
    wrong = 1.02 * sample
    assert stats.kstest(sample, "norm").pvalue > 1e-3
    assert stats.kstest(wrong, "norm").pvalue < 1e-3
    assert departure(sample) < 3.5
    assert departure(wrong) > 3.5
    assert np.abs(sample).max() < 8.6


def test_law_of_a_stretch_far_out() -> None:
    assert stats.kstest(normals(name("law"), 2**40 + 1, 2**40 + 1 + N), "norm").pvalue > 1e-3


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Largest correlation, in standard errors, of two samples and of their squares."""
    pairs = [(a, b), (a**2 - 1, b**2 - 1)]
    return max(abs(float(np.mean(x * y) / np.sqrt(np.mean(x**2) * np.mean(y**2) / len(a)))) for x, y in pairs)


def test_streams_and_neighbours_are_independent() -> None:
    x, v = (normals(name(f"0/point/3/{role}"), 0, N) for role in "XV")
    assert not np.intersect1d(x, v).size
    assert correlation(x, v) < 3.5
    assert correlation(x[::2], x[1::2]) < 3.5  # cosine and sine of one angle
    assert correlation(x[:-2], x[2:]) < 3.5  # neighbouring counters
    assert correlation(x, 0.02 * x + v) > 3.5


def test_every_word_of_the_name_matters() -> None:
    streams = [
        normals(identity, 0, 100) for identity in (bytes(16), *(bytes(k) + b"\1" + bytes(15 - k) for k in range(16)))
    ]
    assert len(np.unique(np.concatenate(streams))) == 1700
