"""Files of matrices that cannot be read: each is told in a sentence, in little memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmtsim.cli.main import main
from rmtsim.errors import InputError
from tests.memory_use import little_memory
from tests.tensor_files import (
    A,
    W,
    changed,
    header,
    index,
    raw,
    read,
    safetensors,
    saved,
    tensors,
    zipped,
)

ABOUT = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def with_header(header: Any, body: bytes = b"") -> Callable[[Path], Path]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda folder: raw(folder / "a.safetensors", text, body)


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
    "another kind": (
        written("a.gguf", "GGUF"),
        "has the suffix .gguf, which rmtsim cannot read; give a .safe",
    ),
    "another kind, absent": (lambda f: f"{f}/a.h5:w", "a.h5:w' has the suffix .h5, which rmtsim cannot read"),
    "another kind, of a tensor": (lambda f: f"{f}/a.h5:w.weight", "a.h5:w.weight' has the suffix .h5, which rmtsim"),
    "no kind": (
        lambda f: "a",
        "^weights: 'a' is taken as a file, but has no suffix; give a .safetensors file, .* or a .npz",
    ),
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
