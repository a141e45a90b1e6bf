"""Tensor files written byte by byte, right and wrong, by code that shares nothing with the readers."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

#: NumPy's dtype of each of the format's names.
DTYPES: dict[str, Any] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16}


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
