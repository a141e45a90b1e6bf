"""A user's own arrays: those of the file, samples of them, and every file that is not valid."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from rmtsim.data.cifar import Cifar100
from rmtsim.data.labelled import content_hash
from rmtsim.data.own_data import OwnData
from rmtsim.errors import InputError
from rmtsim.store import Store
from tests.laws import distance


def save(path: Path, **arrays: Any) -> OwnData:
    rng = np.random.default_rng(3)
    content = {"X": rng.standard_normal((30, 4)), "y": rng.integers(3, size=30), **arrays}
    np.savez(path, **{name: value for name, value in content.items() if value is not None})
    return OwnData(str(path))


@pytest.mark.parametrize("x_type", ["f8", "f4", "f2", "i4", "u1", ">f8"])
@pytest.mark.parametrize("y_type", ["i8", "u1", "f8", "?"])
def test_own_arrays_are_those_of_the_file(tmp_path: Path, x_type: str, y_type: str) -> None:
    X = np.random.default_rng(0).integers(200, size=(30, 4)).astype(x_type)
    y = (np.arange(30) % 3).astype(y_type)
    found, labels = save(tmp_path / "a.npz", X=X, y=y).draw(3, 4, 30, "0")
    np.testing.assert_array_equal(found, X)
    np.testing.assert_array_equal(labels, y)
    assert (found.dtype, labels.dtype) == (np.float64, np.int64)
    found[:] = 0  # a copy
    np.testing.assert_array_equal(OwnData(str(tmp_path / "a.npz")).draw(3, 4, 30, "0")[0], X)


def test_own_samples_are_drawn_uniformly_without_replacement(tmp_path: Path) -> None:
    data = save(tmp_path / "a.npz", X=np.arange(30.0)[:, None], y=np.arange(30))
    draws = [data.draw(30, 1, 12, str(key)) for key in range(400)]
    for X, y in draws:
        np.testing.assert_array_equal(X[:, 0], y)
        assert len(set(y.tolist())) == 12
    taken = np.array([np.isin(np.arange(30), y) for _, y in draws])
    assert max(distance(taken[:, i], 12 / 30) for i in range(30)) < 4
    assert distance([y[0] for _, y in draws], 14.5) < 4
    np.testing.assert_array_equal(data.draw(30, 1, 12, "5")[0], draws[5][0])


def test_own_data_are_known_by_their_values_not_their_place(tmp_path: Path) -> None:
    one = save(tmp_path / "one.npz")
    X, y = one.draw(3, 4, 30, "0")
    other = save(tmp_path / "two.npz", X=np.asfortranarray(X), y=y.astype(np.uint8), more=np.ones(3))
    assert one.parameters() == other.parameters()
    assert "one" not in json.dumps(one.parameters())
    X[2, 3] = np.nextafter(X[2, 3], 9)
    assert save(tmp_path / "three.npz", X=X).parameters() != one.parameters()
    y[4] = (y[4] + 1) % 3
    assert save(tmp_path / "four.npz", y=y).parameters() != one.parameters()
    assert content_hash(np.zeros((2, 3))) != content_hash(np.zeros((3, 2)))
    assert content_hash(np.zeros(2)) != content_hash(np.zeros(2, int))
    assert OwnData(tmp_path / "one.npz") == one  # type: ignore[arg-type]


def test_texts_have_the_files_name_and_what_is_in_it(tmp_path: Path) -> None:
    one, same = save(tmp_path / "one.npz"), save(tmp_path / "two.npz")
    (tmp_path / "elsewhere").mkdir()
    other = save(tmp_path / "elsewhere" / "one.npz", X=np.ones((30, 4)))
    assert one.text == f"one.npz@{one.parameters()['sha256'][:8]}"
    assert one.text.replace("one", "two") == same.text
    assert one.text != other.text
    assert other.text.startswith("one.npz@")


NAN = np.where(np.eye(30, 4) > 0, np.nan, 1.0)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": NAN}, "X: nan in row 0 of .* is not valid; give finite numbers"),
        ({"X": np.full((30, 4), -np.inf)}, "X: -inf in row 0"),
        ({"X": np.full((30, 4), np.longdouble("1e4000"))}, "X: inf in row 0"),
        ({"X": np.zeros(30)}, r"X: float64 of shape \(30,\) in .* is not valid; give real numbers of shape \(n, d\)"),
        ({"X": np.zeros((30, 2, 2))}, r"shape \(30, 2, 2\)"),
        ({"X": np.zeros((0, 4)), "y": np.zeros(0, int)}, r"shape \(0, 4\)"),
        (
            {"X": np.zeros((30, 4), complex)},
            "X: dtype complex128 is not valid; give real numbers, as X.real, and save .* anew",
        ),
        ({"X": np.full((30, 4), "a")}, "X: dtype <U1 is not valid; give real numbers"),
        ({"X": np.zeros((30, 4), bfloat16)}, r"raw bytes .* save X.astype\('float32'\)"),
        ({"X": np.zeros((30, 4), [("a", float)])}, r"structured array; give X\[FIELD\]"),
        ({"y": np.full(30, "cat")}, r"y: dtype <U3, .* numpy.unique\(y, return_inverse=True\)"),
        ({"X": np.full((30, 4), None)}, "damaged, or no .npz file of numbers"),
        ({"X": None}, "holds y, not X and y; give a file that numpy.savez"),
        ({"X": None, "y": None, "Z": np.ones(2)}, "holds Z, not X and y"),
        ({"y": np.zeros(29, int)}, r"y: int64 of shape \(29,\) in .*; give whole numbers of shape \(30,\)"),
        ({"y": np.eye(30, 3)}, r"y: float64 of shape \(30, 3\).* y.argmax\(axis=1\)"),
        ({"y": np.full(30, 1.5)}, "y: the label 1.5 in .* is not valid; give whole numbers from 0"),
        ({"y": np.full(30, np.nan)}, "y: the label nan"),
        ({"y": np.full(30, -1)}, "y: the label -1"),
        ({"y": np.full(30, 2**64 - 1, np.uint64)}, "y: the label 18446744073709551615"),
        ({"y": np.full(30, 3)}, "n_classes: 3 is not valid; y of .* has the label 3, .* so give at least 4"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        save(tmp_path / "a.npz", **arrays).draw(3, 4, 30, "0")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((3, 5, 30), "dim: 5 is not valid; X of .* has 4 columns"),
        ((2, 4, 30), "n_classes: 2 is not valid"),
        ((3, 4, 31), "n_samples: 31 is not valid; .* has 30 samples"),
        ((3, 4, 0), "n_samples: 0 is not valid"),
    ],
)
def test_sizes_that_do_not_fit_the_arrays_are_refused(tmp_path: Path, sizes: tuple[int, int, int], words: str) -> None:
    for tried in (lambda data: data.draw(*sizes, "0"), lambda data: data.check(*sizes)):
        with pytest.raises(InputError, match=words):
            tried(save(tmp_path / "a.npz"))


def test_a_file_that_is_no_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.npz")
    content = (tmp_path / "a.npz").read_bytes()
    np.save(tmp_path / "array.npy", np.eye(3))
    array = (tmp_path / "array.npy").read_bytes()
    trace = tmp_path / "trace"
    hostile = pickle.dumps(Touch(str(trace)))
    for i, bad in enumerate((b"", b"text", content[:200], content[:-30], array, hostile)):
        path = tmp_path / f"{i}.npz"
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"cannot be read .*; give a file that numpy.savez"):
            OwnData(str(path)).parameters()
    assert not trace.exists()
    for name in ("absent.npz", ".", "a.npz/b.npz"):
        with pytest.raises(InputError, match=r"cannot be read .*; give a file that numpy.savez"):
            OwnData(str(tmp_path / name)).parameters()
    assert whole.parameters()["kind"] == "arrays"


class Touch:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_files_are_found_from_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by workers on Ray, which have one of their own."""
    (tmp_path / "typed").mkdir()
    monkeypatch.chdir(tmp_path / "typed")
    np.savez("mine.npz", X=np.eye(4), y=[0, 1, 2, 1])
    travelling = [pickle.dumps(data) for data in (OwnData("mine.npz"), Cifar100("pictures", "none"))]
    store = Store("results")
    monkeypatch.chdir(tmp_path)
    own, pictures = map(pickle.loads, travelling)
    assert own.check(3, 4, 2) is None
    assert pictures == Cifar100(str(tmp_path / "typed" / "pictures"), "none")
    assert store.files.address.reveal() == str(tmp_path / "typed" / "results")
    assert store.location == "results"
