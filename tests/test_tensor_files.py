"""Matrices from files: they are those of the file, in little memory, whatever is done to it."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmtsim.errors import InputError
from rmtsim.files.tensors import open_vector
from tests.memory_use import little_memory
from tests.tensor_files import (
    DTYPES,
    A,
    check_rows,
    header,
    index,
    opened,
    raw,
    read,
    safetensors,
    saved,
    tensors,
    zipped,
)

GOLDEN = Path(__file__).parent / "golden" / "tensors"
NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
B = A.astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_every_format_are_those_of_the_file(tmp_path: Path, dtype: str) -> None:
    stored = A.astype(DTYPES[dtype])
    safetensors(tmp_path / "a.safetensors", {"bias": ("F32", A[:, 0]), "a.w:0": (dtype, A), "b": (dtype, A.T)})
    index(tmp_path, {"x.y": "a.safetensors", "a.w:0": "a.safetensors"})
    np.save(tmp_path / "a.npy", stored)
    np.savez(tmp_path / "a.npz", stored, second=stored[:3])
    np.savez_compressed(tmp_path / "b.npz", only=stored)
    for place in (
        "a.safetensors:a.w:0",
        "model.safetensors.index.json:a.w:0",
        "a.npy",
        "a.npz:arr_0",
        "b.npz",
        "b.npz:only",
    ):
        matrix = opened(tmp_path / place)
        check_rows(matrix, stored)
        assert matrix.dtype == NAMES[dtype]
        assert matrix.source.startswith(str(tmp_path / place))


def test_files_that_the_library_of_the_format_wrote() -> None:
    """What safetensors.numpy.save_file made of arrays of NumPy and ml_dtypes: `golden/tensors/write_tensors.py`."""
    expected = np.load(GOLDEN / "expected.npy")
    for dtype, name in NAMES.items():
        matrix = opened(f"{GOLDEN}/head.safetensors:{name}")
        assert matrix.dtype == name
        check_rows(matrix, expected.astype(DTYPES[dtype]))
    bias = open_vector(f"{GOLDEN}/head.safetensors", what="bias")
    np.testing.assert_array_equal(bias, expected[:, 1])


@pytest.mark.parametrize(
    "array",
    [np.asfortranarray(A), A.astype(np.float16).T, np.asfortranarray(B), A.astype(">f4"), A[:, :1], A[:1]],
    ids=["columns", "columns of float16", "columns of bfloat16", "big-endian", "one column", "one row"],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.filterwarnings("ignore:Stored array in format 2.0")
def test_every_way_in_which_numpy_writes_a_matrix(tmp_path: Path, array: np.ndarray, version: tuple[int, int]) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    matrix = opened(tmp_path / "a.npy")
    for start in range(len(array)):
        np.testing.assert_array_equal(matrix.rows(start, len(array)), array[start:].astype(float))


def test_many_blocks_make_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are read some at a time; where one ends and the next begins changes nothing, nor do threads."""
    monkeypatch.setattr("rmtsim.files.stored_tensors._AT_ONCE", 11)
    monkeypatch.setattr("rmtsim.files.stored_tensors._GATHERED", 11)
    np.savez_compressed(tmp_path / "a.npz", rows=B, columns=np.asfortranarray(B))
    for name in ("rows", "columns"):
        matrix = opened(tmp_path / f"a.npz:{name}")
        check_rows(matrix, B)
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _, matrix=matrix: matrix.rows(1, 6), range(40)):
                np.testing.assert_array_equal(found, B[1:6].astype(float))


def test_rows_of_four_gigabytes_take_little_memory(tmp_path: Path) -> None:
    """C = 262,144 and d = 8192 in bfloat16: a file with holes, so that nothing of the size is written."""
    shape = (262_144, 8192)
    size = 2 * shape[0] * shape[1]
    about = {"dtype": "BF16", "shape": shape, "data_offsets": [0, size]}
    raw(tmp_path / "a.safetensors", json.dumps({"lm_head.weight": about}).encode())
    start = os.path.getsize(tmp_path / "a.safetensors")
    last = np.arange(1, 8193).astype(ml_dtypes.bfloat16)
    with (tmp_path / "a.safetensors").open("r+b") as file:
        file.seek(start + size - 2 * shape[1])
        file.write(last.tobytes())
    with little_memory(16 << 20):
        matrix = opened(tmp_path / "a.safetensors")
        assert matrix.shape == shape
        found = matrix.rows(shape[0] - 64, shape[0])
    np.testing.assert_array_equal(found[-1], last.astype(float))
    assert not found[:-1].any()


def test_names_may_have_colons_and_so_may_paths(tmp_path: Path) -> None:
    folder = tmp_path / "C:" / "old.npz:new"
    folder.mkdir(parents=True)
    for name in ("head.npy", "x.npz:y.npy"):
        np.save(folder / name, A)
        check_rows(opened(folder / name), A)
    np.savez(folder / "x.npz", **{"layers.3:0": B, "z.npy:w": A})
    check_rows(opened(f"{folder}/x.npz:layers.3:0"), B)
    check_rows(opened(f"{folder}/x.npz:z.npy:w"), A)
    os.rename(folder / "head.npy", folder / "HEAD.NPY")
    check_rows(opened(folder / "HEAD.NPY"), A)
    os.symlink(folder / "x.npz", tmp_path / "link.npz")
    check_rows(opened(f"{tmp_path}/link.npz:layers.3:0"), B)


def test_without_a_name_the_one_tensor_that_fits_is_meant(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "a.safetensors", {"w": ("BF16", A), "b": ("F16", A[:, 0])})
    assert opened(path).source == f"{path}:w"
    found = open_vector(str(path), what="bias", length=7)
    np.testing.assert_array_equal(found, A[:, 0].astype(np.float16))
    assert found.dtype == np.float64


def not_finite(value: float) -> np.ndarray:
    array = np.ones((600, 1000))
    array[587, 3] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_is_told_with_its_place(tmp_path: Path, value: float, dtype: str) -> None:
    path = safetensors(tmp_path / "a.safetensors", {"w": (dtype, not_finite(value))})
    matrix = opened(path)
    assert matrix.rows(0, 587).all()
    assert matrix.rows(588, 600).all()
    message = rf"weights: {value} in row 587, column 3 \(counted from 0\) of {path}:w is not valid; give finite numbers"
    with pytest.raises(InputError, match=message):
        matrix.rows(500, 600)
    safetensors(path, {"b": (dtype, not_finite(value)[587])})
    with pytest.raises(InputError, match=rf"bias: {value} in entry 3 \(counted from 0\) of {path}:b is not valid"):
        open_vector(str(path), what="bias")


def test_numbers_that_the_dtype_asked_for_cannot_hold(tmp_path: Path) -> None:
    matrix = opened(safetensors(tmp_path / "a.safetensors", {"w": ("F64", not_finite(1e300))}))
    assert matrix.rows(587, 588)[0, 3] == 1e300
    with pytest.raises(
        InputError, match=r"1e\+300 in row 587, column 3 .* is too large for float32; compute in float64"
    ):
        matrix.rows(0, 600, np.float32)


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "a.safetensors", {"w": ("F32", A)})
    matrix = opened(path)
    os.truncate(path, os.path.getsize(path) - 4)
    assert matrix.rows(0, 6).shape == (6, 5)
    with pytest.raises(InputError, match=r"weights: .*:w was cut short while it was read; write it anew"):
        matrix.rows(0, 7)


class Tells:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".PT"])
def test_pickles_are_not_read_and_told_how_to_convert(tmp_path: Path, suffix: str) -> None:
    path, ran = tmp_path / f"model{suffix}", tmp_path / "ran"
    path.write_bytes(pickle.dumps(Tells(ran)))
    for text in (str(path), f"{path}:lm_head.weight"):
        with pytest.raises(
            InputError, match=r"is a pickle, which can run any code.*two lines of Python, `import "
        ) as told:
            opened(text)
        first, second = str(told.value).split("`")[1::2]
        compile(f"{first}\n{second}", "the two lines", "exec")
        assert str(path) in second
        assert f"{tmp_path}/model." in second.replace(repr(str(path)), "")
    assert not ran.exists()
    values = np.array([[Tells(ran)]])
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    np.savez(tmp_path / "a.npz", w=values, v=A)
    for name in ("a.npy", "a.npz:w"):
        with pytest.raises(
            InputError, match="holds Python objects, which only a pickle can, and pickles are never read"
        ):
            opened(tmp_path / name)
    check_rows(opened(tmp_path / "a.npz:v"), A)
    assert not ran.exists()


def test_a_header_that_is_too_long_to_be_read(tmp_path: Path) -> None:
    """As long as the file allows: nothing of it is read."""
    path = tensors(tmp_path, length=2**33)
    os.truncate(path, 2**34)
    with (
        little_memory(1 << 20),
        pytest.raises(InputError, match="is not read: its header has 8 GiB, and at most 32 MiB"),
    ):
        opened(path)
    (tmp_path / "a.json").touch()
    os.truncate(tmp_path / "a.json", 2**34)
    with little_memory(1 << 20), pytest.raises(InputError, match="is not read: it has 16 GiB, and at most 32 MiB are"):
        opened(tmp_path / "a.json:w")


def test_an_array_that_unpacks_to_more_than_a_hundred_times_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "a.npz", header((1000, 400), "<f8") + bytes(3_200_000))
    assert not opened(path).rows(0, 1000).any()
    monkeypatch.setattr("rmtsim.files.numpy_files._ALWAYS", 3_000_000)
    with pytest.raises(
        InputError, match=r"of 'w' that would unpack to 3.05 MiB; if that is meant, write it without comp"
    ):
        opened(path)


def test_vectors_that_are_not_valid(tmp_path: Path) -> None:
    path = str(saved(A[:, 0])(tmp_path))
    with pytest.raises(InputError, match=r"bias: .*a.npy has 7 numbers, not 5; give one for each"):
        open_vector(path, what="bias", length=5)
    with pytest.raises(InputError, match=r"bias: .* has the shape \(7, 5\); give a vector"):
        open_vector(str(saved(A)(tmp_path)), what="bias")


FILES = {
    "a.safetensors": lambda folder: safetensors(folder / "a.safetensors", {"w": ("BF16", A), "b": ("F32", A[:, 0])}),
    "a.npy": saved(A),
    "a.npz": lambda folder: zipped(folder / "a.npz", saved(A)(folder).read_bytes()),
    "b.npz": lambda folder: zipped(folder / "b.npz", saved(A)(folder).read_bytes(), zipfile.ZIP_STORED),
    "a.json": lambda folder: (tensors(folder), index(folder, {"w": "a.safetensors"}))[1].rename(folder / "a.json"),
}


@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_to_a_file_is_told_or_harmless(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    """Some bytes changed, taken out or put in: the result is finite rows or a sentence, and never much memory."""
    path = FILES[kind](tmp_path)
    content = bytearray(path.read_bytes())
    place = st.one_of(st.integers(0, min(len(content), 300)), st.integers(0, len(content)))
    digits = st.sampled_from([b"0", b"9" * 9, b"9" * 19, b"-", b'"', b"[", b"}", b",", b"\xff\xff\xff\xff", b"\0"])
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(place)
        stop = start + data.draw(st.integers(0, 8))
        content[start:stop] = data.draw(st.one_of(digits, st.binary(max_size=8)))
    path.write_bytes(content)
    with little_memory(8 << 20):
        try:
            finite, said = np.isfinite(read(path)).all(), "weights: "
        except InputError as error:
            finite, said = True, str(error)
    assert finite
    assert said.startswith("weights: ")
    assert "\n" not in said
