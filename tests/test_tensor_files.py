"""Matrices from files: they are those of the file, in little memory, and every bad file is told in a sentence."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.files.tensors import Matrix, open_matrix, open_vector
from tests.tensor_files import DTYPES, index, raw, safetensors
from tests.test_bombs import header, little_memory

GOLDEN = Path(__file__).parent / "golden" / "tensors"
NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
A = np.random.default_rng(0).standard_normal((7, 5)) * 3
B = A.astype(ml_dtypes.bfloat16)


def opened(path: Path | str, what: str = "weights") -> Matrix:
    return open_matrix(str(path), what=what)


def read(path: Path | str) -> np.ndarray:
    matrix = opened(path)
    return matrix.rows(0, matrix.shape[0])


def check_rows(matrix: Matrix, expected: np.ndarray) -> None:
    """Fail unless any rows are those of the array, to the bit."""
    assert matrix.shape == expected.shape
    for start, stop in [(0, len(expected)), (2, 5), (3, 3), (len(expected) - 1, len(expected))]:
        found = matrix.rows(start, stop)
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found, expected[start:stop].astype(np.float64))
    found = matrix.rows(1, 4, np.float32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected[1:4].astype(np.float32))


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


def zipped(path: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "w.npy") -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(name, content)
    return path


def changed(path: Path, place: int, content: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[place : place + len(content)] = content
    path.write_bytes(data)
    return path


W = {"w": ("F32", A)}
ABOUT = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def tensors(folder: Path, **more: Any) -> Path:
    return safetensors(folder / "a.safetensors", W, **more)


def with_header(header: Any, body: bytes = b"") -> Callable[[Path], Path]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda folder: raw(folder / "a.safetensors", text, body)


def saved(array: Any) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        np.save(folder / "a.npy", array)
        return folder / "a.npy"

    return save


def several(folder: Path) -> Path:
    path = folder / "a.safetensors"
    names = ["model.embed_tokens.weight", *(f"model.layers.{k}.mlp.weight" for k in range(9)), "lm_head.weight"]
    return safetensors(path, dict.fromkeys(names, ("F32", A)) | {"norm": ("F32", A[0])})


def sharded(folder: Path, **shards: Any) -> Path:
    tensors(folder)
    (folder / "inner").mkdir()
    safetensors(folder / "inner" / "b.safetensors", W)
    return index(folder, shards)


def written(name: str, content: bytes | str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder / name

    return write


def named(make: Callable[[Path], Path], name: str) -> Callable[[Path], str]:
    return lambda folder: f"{make(folder)}:{name}"


BAD: dict[str, tuple[Callable[[Path], Path | str], str]] = {
    # .safetensors: the header
    "empty file": (written("a.safetensors", b""), "is cut short: it has 0 bytes, and the length of its header takes 8"),
    "seven bytes": (written("a.safetensors", b"\0" * 7), "is cut short: it has 7 bytes"),
    "truncated header": (
        written("a.safetensors", b"\x40" + b"\0" * 7 + b'{"w":'),
        "its header is to have 64 B, and 5 B",
    ),
    "header beyond the file": (lambda f: tensors(f, length=400), "its header is to have 400 B, and"),
    "gigantic header": (lambda f: tensors(f, length=2**63), "no .safetensors file: its header is to have"),
    "not JSON": (with_header(b"{'w': 1}"), "of another format: its header is not JSON: Expecting property name"),
    "not UTF-8": (with_header(b'{"\xff": 1}'), "its header is not UTF-8 text"),
    "deep JSON": (with_header(b"[" * 10_000), "lie more than 32 deep inside one another"),
    "long numbers": (with_header(b'{"w": ' + b"9" * 10_000 + b"}"), "a whole number of more than 64 bits"),
    "a list": (with_header([1, 2]), "has a header that is not a table of tensors"),
    "no tensor": (with_header({"__metadata__": {"format": "pt"}}), "holds no tensor; give another file"),
    "a tensor that is a number": (with_header({"w": 3}), "without a valid dtype, shape and data_offsets of 'w'"),
    "no shape": (with_header({"w": {"dtype": "F32", "data_offsets": [0, 0]}}), "without a valid dtype, shape"),
    "negative shape": (lambda f: tensors(f, w={"shape": [-7, -5]}), "without a valid dtype, shape"),
    "shape of text": (lambda f: tensors(f, w={"shape": ["7", 5]}), "without a valid dtype, shape"),
    "shape of floats": (lambda f: tensors(f, w={"shape": [7.0, 5]}), "without a valid dtype, shape"),
    "shape of truths": (lambda f: tensors(f, w={"shape": [True, 35]}), "without a valid dtype, shape"),
    "offsets of one": (lambda f: tensors(f, w={"data_offsets": [140]}), "without a valid dtype, shape"),
    "offsets backwards": (lambda f: tensors(f, w={"data_offsets": [140, 0]}), "without a valid dtype, shape"),
    "offsets beyond the file": (
        lambda f: tensors(f, w={"data_offsets": [0, 2**50]}),
        "its tensors take 1 PiB, and 140 B",
    ),
    "overlapping tensors": (
        with_header({"w": ABOUT, "v": ABOUT | {"data_offsets": [8, 24]}}, b"\0" * 24),
        "has a header in which 'w' and 'v' overlap",
    ),
    "a hole": (
        with_header({"w": ABOUT, "v": ABOUT | {"data_offsets": [20, 36]}}, b"\0" * 36),
        "with a hole: bytes 16 to 20 belong to no tensor",
    ),
    "bytes at the end": (with_header({"w": ABOUT}, b"\0" * 17), "has 1 byte that belong to no tensor"),
    "shape that does not fit": (
        lambda f: tensors(f, w={"shape": [7, 6]}),
        "takes 168 bytes as F32, and its place has 140",
    ),
    "a shape of exabytes": (lambda f: tensors(f, w={"shape": [2**62, 2**62]}), "and its place has 140"),
    "dtype that does not fit": (lambda f: tensors(f, w={"dtype": "F64"}), "takes 280 bytes as F64"),
    "unknown dtype": (lambda f: tensors(f, w={"dtype": "F33"}), "has 'w' as F33, not F64, F32, F16, BF16"),
    "int8": (
        lambda f: tensors(f, w={"dtype": "I8", "shape": [7, 20]}),
        "has 'w' as I8, not .* if these are quantised weights, save what they stand for",
    ),
    # names of tensors
    "a name mistyped": (
        named(several, "lm_haed.weight"),
        r"has no tensor 'lm_haed.weight' \(did you mean lm_head.weight\?\); it has model.embed_tokens.weight, lm_head.",
    ),
    "a name far off": (named(several, "x"), "has no tensor 'x'; it has model.embed_tokens.weight, .* and 6 more"),
    "an empty name": (named(several, ""), "has no tensor ''; it has"),
    "no name of several": (
        several,
        "has 12 tensors; name one, as in FILE:TENSOR, such as model.embed_tokens.weight, lm_head.weight, .* and 6 more",
    ),
    "a vector": (named(several, "norm"), r":norm has the shape \(5,\); give a matrix, with a row for each"),
    "a name of what has none": (named(saved(A), "w"), "has one array, without a name; leave ':w' off"),
    # sharded checkpoints
    "index that is not JSON": (written("a.json", "{"), "of another format: it is not JSON"),
    "index that is not UTF-8": (written("a.json", b"\xff"), "it is not UTF-8"),
    "index of something else": (
        written("config.json", '{"vocab_size": 3}'),
        "is not the index of a sharded checkpoint",
    ),
    "index without tensors": (lambda f: index(f, {}), "holds no tensor"),
    "missing shard": (
        lambda f: named(lambda f: sharded(f, w="b.safetensors"), "w")(f),
        "'b.safetensors' for 'w', which is not there",
    ),
    "shard without the tensor": (lambda f: sharded(f, v="a.safetensors"), "for 'v', which has no such tensor"),
    "shard above": (lambda f: sharded(f, w="../a.safetensors"), "which is not the name of a file in its own folder"),
    "shard below": (lambda f: sharded(f, w="inner/b.safetensors"), "is not the name of a file in its own folder"),
    "shard anywhere": (lambda f: sharded(f, w="/etc/a.safetensors"), "is not the name of a file in its own folder"),
    "shard of no name": (lambda f: sharded(f, w=""), "is not the name of a file in its own folder"),
    "shard that is a number": (lambda f: sharded(f, w=3), "names the file 3 for 'w', which is not the name"),
    "shard that is a pickle": (
        lambda f: sharded(f, w="a.bin"),
        "only .safetensors files are read, since others can run",
    ),
    "shard that is damaged": (
        lambda f: (index(f, {"w": "a.safetensors"}), tensors(f, length=900))[0],
        "names the file 'a.safetensors' for 'w', which is cut short",
    ),
    # .npy
    "empty .npy": (written("a.npy", b""), "is damaged, or no .npy file"),
    ".npy of text": (written("a.npy", "1,2,3\n4,5,6\n"), "is damaged, or no .npy file"),
    ".npy header that is code": (
        lambda f: changed(saved(A)(f), 10, b"__import__('os').getpid()"),
        "is damaged, or no .npy file",
    ),
    ".npy header beyond the file": (written("a.npy", b"\x93NUMPY\2\0\xff\xff\xff\xff{"), "is damaged, or no .npy file"),
    ".npy cut short": (
        lambda f: written("a.npy", saved(A)(f).read_bytes()[:-1])(f),
        r"is cut short: float64 of shape \(7, 5\) takes 280 bytes, and 279 are there",
    ),
    ".npy with more": (lambda f: written("a.npy", saved(A)(f).read_bytes() + b"1")(f), "has more than its array"),
    ".npy of exabytes": (written("a.npy", header((2**40, 2**20), "<f8")), "is cut short"),
    ".npy of negative shape": (
        lambda f: written("a.npy", header((7, 5), "<f8").replace(b"(7, 5)", b"(-7,5)") + b"\0" * 280)(f),
        r"has a header with the shape \(-7, 5\)",
    ),
    ".npy of integers": (saved(np.ones((2, 2), np.int8)), "holds int8, not float64, .* quantised"),
    ".npy of complex numbers": (saved(np.ones((2, 2), complex)), "holds complex128, not float64"),
    ".npy of long doubles": (saved(np.ones((2, 2), np.longdouble)), "holds float128, not float64"),
    ".npy of text in fields": (saved(np.zeros((2, 2), "f4,f4")), "holds .*f0.*, not float64"),
    ".npy of a stack": (saved(np.ones((2, 3, 4))), r"has the shape \(2, 3, 4\); give a matrix, .*by reshape\(-1, 4\)"),
    ".npy of one number": (saved(3.0), r"has the shape \(\); give a matrix"),
    "empty batch": (saved(np.ones((0, 5))), r"is empty, its shape is \(0, 5\); give at least one number"),
    "no columns": (saved(np.ones((5, 0))), "is empty"),
    "no rows of safetensors": (lambda f: safetensors(f / "a.safetensors", {"w": ("F32", A[:0])}), ":w is empty"),
    # .npz
    "empty .npz": (written("a.npz", b""), "is damaged, or no .npz file"),
    ".npz cut short": (
        lambda f: written("a.npz", zipped(f / "b.npz", saved(A)(f).read_bytes()).read_bytes()[:-30])(f),
        "is damaged, or no .npz file",
    ),
    ".npz without arrays": (lambda f: zipped(f / "a.npz", b"hello", name="readme.txt"), "holds no tensor"),
    ".npz of what is no array": (lambda f: zipped(f / "a.npz", b"hello"), "is damaged, or no .npy file"),
    ".npz with a damaged array": (
        lambda f: changed(
            zipped(f / "a.npz", saved(np.random.default_rng(0).random((90, 90)))(f).read_bytes()), 3000, b"~~~"
        ),
        "is damaged, or no .npz file",
    ),
    ".npz that lies": (lambda f: zipped(f / "a.npz", header((9, 9), "<f8") + b"\0" * 8), "is cut short"),
    # files
    "no file": (
        lambda f: (tensors(f), f / "b.safetensors")[1],
        r"there is no file .*b.safetensors \(did you mean a.safe",
    ),
    "no file, with a name": (lambda f: f"{f}/b.npz:w", "there is no file .*/b.npz; give a .safetensors file"),
    "a folder": (lambda f: (tensors(f), f)[1], "is a folder; give a file, such as .*/a.safetensors"),
    "an empty folder": (lambda f: f, "is a folder; give a .safetensors file|is a folder; a .safetensors file"),
    "a folder of that name": (lambda f: ((f / "a.npy").mkdir(), f / "a.npy")[1], "is a folder"),
    "a pipe": (lambda f: (os.mkfifo(f / "a.npy"), f / "a.npy")[1], "cannot be read .it is a named pipe"),
    "another kind": (written("a.gguf", "GGUF"), "is of no kind that is read; give a .safetensors file"),
    "another kind, absent": (lambda f: f"{f}/a.h5:w", "is of no kind that is read"),
    "an address": (lambda f: "s3://user:secret@bucket/a.npy", r"'s3://\*\*\*@bucket/a.npy' is an address; give a file"),
    "a null character": (lambda f: f"{f}/a\0.npy", "has a null character"),
    "nothing": (lambda f: "", "give a .safetensors file"),
}


@pytest.mark.parametrize("case", BAD)
def test_every_bad_file_is_told_in_a_sentence(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = BAD[case]
    text = str(make(tmp_path))
    there = sorted(tmp_path.rglob("*"))
    with little_memory(8 << 20), pytest.raises(InputError, match=message) as told:
        read(text)
    said = str(told.value)
    assert said.startswith("weights: ")
    assert "\n" not in said
    assert len(said) < 600
    features = tmp_path_factory.mktemp("good") / "features.npy"
    np.save(features, np.ones((4, 5)))
    assert (
        main(["measure", "--weights", text, "--features", str(features), "--classes-out", str(tmp_path / "c.parquet")])
        == 2
    )
    out, error = capsys.readouterr()
    assert not out
    assert error.startswith("rmtsim measure: --weights: ")
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == there


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
