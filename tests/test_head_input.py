"""What `measure` is given: bad arguments, names of classes and groups of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmtsim
from tests.heads import C, clustered


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    return clustered()


V, X = np.ones((4, 3)), np.arange(18.0).reshape(6, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X": np.ones((6, 5))}, "X: it has 5 columns, and V has 3"),
        ({"X": np.ones(6)}, "X: shape (6,) is not valid; give a matrix (N, d)"),
        ({"X": np.ones((0, 3))}, "X: shape (0, 3) has no entries"),
        ({"V": np.ones((1, 3))}, "V: it has one row"),
        ({"V": np.full((4, 3), np.nan)}, "V: it holds NaN at [0, 0]"),
        ({"X": np.where(X == 7, np.inf, X)}, "X: it holds inf at [2, 1]"),
        ({"V": np.ones((4, 3), complex)}, "V: dtype complex128 is not valid"),
        ({"V": np.full((4, 3), 1e300), "dtype": "float32"}, "V: it holds numbers too large for float32"),
        ({"X": 1e-200 * X, "dtype": "float32"}, "X: it holds numbers too small for float32; compute in float64"),
        ({"X": 1e-50 * X, "dtype": "float32"}, "X: it holds numbers too small for float32; compute in float64"),
        ({"bias": np.ones(3)}, "bias: shape (3,) does not fit V with 4 rows"),
        ({"bias": np.array([1.0, 2.0, 3.0, np.nan])}, "bias: it holds NaN at [3]"),
        ({"bias_as": "row"}, "bias_as: 'row' is not known; choose one of column, left-out"),
        ({"batch": 7}, "batch: 7 is more than the 6 rows of X; give at most 6"),
        ({"batch": 0}, "batch: 0 is not valid; give a whole number from 1"),
        ({"scale": 0}, "scale: 0 is not valid; give a positive number"),
        ({"scale": math.nan}, "scale: nan is not valid"),
        ({"scale": 1e-300}, "X, V: samples times 1e-300 are below what float64 holds; give another scale"),
        ({"nulls": "gausian"}, "nulls: 'gausian' is not known (did you mean gaussian?)"),
        ({"permutations": 0}, "permutations: 0 is not valid"),
        ({"top": -1}, "top: -1 is not valid"),
        ({"shuffle": -1}, "shuffle: -1 is not valid"),
        ({"dtype": "float16"}, "dtype: 'float16' is not known"),
        ({"groups": [1, 2, 3]}, "groups has 3 entries and there are 4 classes"),
        ({"groups": [[1, 2], [3, 4]]}, "groups: shape (2, 2) is not valid"),
        ({"vocabulary": "nothing.txt"}, "vocabulary: nothing.txt cannot be read"),
        ({"V": "nothing.npy"}, "V: "),
        ({"memory": "1MiB"}, "memory: a batch of 6 samples"),
        ({"V": 1e300 * V, "X": 1e9 * X}, "X, V: logits reach about"),
    ],
)
def test_bad_input(change: dict[str, Any], words: str) -> None:
    with pytest.raises(rmtsim.InputError) as raised:
        rmtsim.measure(**({"V": V, "X": X} | change))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_scale_that_float32_cannot_hold_is_computed_in_float64() -> None:
    """Where logits hardly matter, norms go with the fourth power of the scale; in float32 they would be zero."""
    single = {"V": V.astype("float32"), "X": X.astype("float32")}
    plain, small = (rmtsim.measure(**single, scale=scale, nulls=(), batch=3) for scale in (1e-9, 1e-50))
    assert (plain.dtype, small.dtype) == ("float32", "float64")
    assert small.diag_sqfro / 1e-200 == pytest.approx(plain.diag_sqfro / 1e-36, rel=1e-5)
    assert small.diag_sqfro > 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("v.txt", "a\nb\nc\nd\ne\n", "has 5 names and there are 4 classes"),
        ("v.json", '{"a": 4}', "gives 'a' the number 4, and classes are 0 to 3"),
        ("v.json", '{"a": "b"}', "does not hold what it should; give a list of names"),
        ("v.json", "[1, 2]", "does not hold what it should; give a list of names"),
        ("v.json", "{", "cannot be used (it is not JSON"),
        ("v.txt", b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_bad_vocabularies(name: str, content: str | bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(rmtsim.InputError, match=r"^vocabulary: ") as raised:
        rmtsim.measure(V, X, nulls=(), vocabulary=path)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        "a\nb\n\nd\n",
        '["a", "b", "", "d"]',
        '{"a": 0, "d": 3, "b": 1}',
        '{"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"content": "d", "id": 3}]}',
        '{"model": {"vocab": [["a", -1.5], ["b", -2.5], ["", 0], ["d", 0]]}}',
    ],
)
def test_vocabularies(content: str, tmp_path: Path) -> None:
    path = tmp_path / ("v.json" if content[0] in "[{" else "v.txt")
    path.write_text(content, "utf-8")
    found = rmtsim.measure(V, X, nulls=(), vocabulary=path, classes=True)
    assert found.classes is not None
    assert found.classes["token"].tolist() == ["a", "b", "", "d"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"a": [0, 1], "b": [1, 2, 3]}', "puts class 1 into 'a' and 'b'"),
        ('{"a": [0, 1], "b": [3]}', "puts class 2 into no group"),
        ('{"a": [0, 4]}', "puts 4 into 'a'; give lists of classes, whole numbers from 0 to 3"),
        ('{"a": 0}', "puts None into 'a'"),
        ('["a", "b"]', "has 2 entries and there are 4 classes"),
        ('"a"', "does not hold what it should"),
    ],
)
def test_bad_groups(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    path.write_text(content, "utf-8")
    with pytest.raises(rmtsim.InputError, match=r"^groups: ") as raised:
        rmtsim.measure(V, X, nulls=(), groups=path)
    assert words in str(raised.value)


def test_groups_from_files_are_those_of_a_list(tmp_path: Path, arrays: dict[str, Any]) -> None:
    labels = ["even", "odd"] * (C // 2)
    (tmp_path / "g.txt").write_text("\n".join(labels), "utf-8")
    members = {name: [k for k in range(C) if labels[k] == name] for name in ("even", "odd")}
    (tmp_path / "g.json").write_text(json.dumps(members), "utf-8")
    found = [
        rmtsim.measure(arrays["V"], arrays["X"], nulls=(), groups=groups).groups["share"].tolist()  # type: ignore[index]
        for groups in (labels, tmp_path / "g.txt", tmp_path / "g.json")
    ]
    assert found[0] == found[1] == found[2]
    assert sum(found[0]) == pytest.approx(1)
    whole = rmtsim.measure(arrays["V"], arrays["X"], nulls=(), groups=["all"] * C)
    assert whole.groups is not None
    assert whole.groups["share"][1] == pytest.approx(whole.outside)
    assert whole.groups["share"][2] == pytest.approx(0, abs=1e-12)
