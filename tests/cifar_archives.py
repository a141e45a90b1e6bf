"""Archives of CIFAR-100 as it is published, with few pictures."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rmtsim.data.cifar import Cifar100


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 and the NumPy of its time wrote, as the published files are: bytes are its strings."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    def save_global(self, value: Any, name: str | None = None) -> None:
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{value.__name__}\n".encode())
        self.memoize(value)

    dispatch[bytes] = save_string
    dispatch[type] = save_global
    dispatch[type(np.empty)] = save_global  # functions of NumPy's C code
    dispatch[type(os.system)] = save_global


def python2_dumps(content: Any) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()


def published(n: int = 40, **changes: Any) -> dict[bytes, Any]:
    rng = np.random.default_rng(1)
    content = {
        b"filenames": [f"image_{i}.png".encode() for i in range(n)],
        b"batch_label": b"training batch 1 of 1",
        b"fine_labels": rng.integers(100, size=n).tolist(),
        b"coarse_labels": rng.integers(20, size=n).tolist(),
        b"data": rng.integers(256, size=(n, 3072), dtype=np.uint8),
    }
    changed = {name.encode(): value for name, value in changes.items()}
    return {key: value for key, value in {**content, **changed}.items() if value is not None}


def write(folder: Path, content: Any, dumps: Callable[[Any], bytes] = python2_dumps) -> Cifar100:
    folder.mkdir(exist_ok=True)
    (folder / "train").write_bytes(content if isinstance(content, bytes) else dumps(content))
    return Cifar100(str(folder))
