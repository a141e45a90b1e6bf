"""Tensor files written byte by byte, right and wrong, by code that shares nothing with the readers, and read."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from rmtsim.files.tensors import Matrix, open_matrix

#: NumPy's dtype of each of the format's names.
DTYPES: dict[str, Any] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16}

#: A matrix to write, and a file of it alone.
A = np.random.default_rng(0).standard_normal((7, 5)) * 3
W = {"w": ("F32", A)}


def safetensors(
    path: Path, tensors: dict[str, tuple[str, np.ndarray]], *, length: int | None = None, **changed: Any
) -> Path:
    """Write tensors of dtypes in `DTYPES`; ``changed`` replaces entries of the header, ``length`` its length."""
    header: dict[str, Any] = {}
    body = b""
    for name, (dtype, array) in tensors.items():
        data = array.astype(DTYPES[dtype]).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    for name, about in changed.items():
        header[name] = header.get(name, {}) | about if isinstance(about, dict) else about
    return raw(path, json.dumps(header).encode(), body, length)


def raw(path: Path, header: bytes, body: bytes = b"", length: int | None = None) -> Path:
    """Write a file of the safetensors format with any header."""
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + body)
    return path


def index(folder: Path, shards: dict[str, Any]) -> Path:
    """Write the index of a sharded checkpoint: tensors to files."""
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": shards}))
    return path


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


def zipped(path: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "w.npy") -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(name, content)
    return path


def changed(path: Path, place: int, content: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[place : place + len(content)] = content
    path.write_bytes(data)
    return path


def tensors(folder: Path, **more: Any) -> Path:
    return safetensors(folder / "a.safetensors", W, **more)


def saved(array: Any) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        np.save(folder / "a.npy", array)
        return folder / "a.npy"

    return save


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()
