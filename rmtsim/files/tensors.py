"""Matrices and vectors of trained networks, read from ``FILE[:TENSOR]``: .safetensors, .npy and .npz.

The safetensors format has a library of its own. It is not used here: without PyTorch it reads no bfloat16, and of what
is wrong with a file it tells a word, where this program tells what, where and what would be valid. The format is a
table and numbers; `rmtsim.files.safetensors_files` reads it in a page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rmtsim.errors import InputError
from rmtsim.files.numpy_files import NpyFile, NpzFile
from rmtsim.files.path_names import check_path, names_in
from rmtsim.files.safetensors_files import SafetensorsFile, ShardedCheckpoint
from rmtsim.files.stored_tensors import Matrix, StoredTensor, UnreadableError
from rmtsim.text.addresses import shown
from rmtsim.text.words import abridge, did_you_mean, number_of

__all__ = ["Matrix", "open_matrix", "open_vector"]


class _TensorFile(Protocol):
    @property
    def axes(self) -> Mapping[str, int | None]: ...

    def tensor(self, name: str) -> StoredTensor: ...


_READERS: dict[str, Callable[[str], _TensorFile]] = {
    ".safetensors": SafetensorsFile,
    ".json": ShardedCheckpoint,
    ".npy": NpyFile,
    ".npz": NpzFile,
}

_WANTED = "give a .safetensors file, the .safetensors.index.json of a sharded checkpoint, a .npy or a .npz file"

#: Files that are pickles, and the two lines of Python that convert one; OLD and NEW stand for the files.
_TORCH = (
    "import torch, safetensors.torch",
    "safetensors.torch.save_file({name: tensor.contiguous().clone() for name, tensor in torch.load(OLD, "
    'map_location="cpu", weights_only=True).items()}, NEW)',
    ".safetensors",
)
_PICKLE = ("import numpy, pickle", 'numpy.save(NEW, pickle.load(open(OLD, "rb")))', ".npy")
_PICKLES = dict.fromkeys((".bin", ".pt", ".pth", ".ckpt"), _TORCH) | dict.fromkeys((".pkl", ".pickle"), _PICKLE)

#: Words in the names of last layers, which are listed first.
_TELLING = ("head", "classifier", "embed", "fc", "output", "feature")

#: At most this many names are listed.
_SHOWN = 5


def open_matrix(text: str, *, what: str) -> Matrix:
    """Open a matrix in a file, of which nothing but the header is read before its rows are asked for.

    Parameters
    ----------
    text
        ``FILE`` or ``FILE:TENSOR``. FILE ends in .safetensors, .npy, .npz or, for the index of a sharded checkpoint,
        .json. Names of tensors may have dots and colons. Without a name the file must have one tensor, or one matrix.
    what
        What it is, such as ``weights``: the first word of messages.

    Returns
    -------
    Matrix
        With at least one row and one column. Numbers may be stored as float64, float32, float16 or bfloat16.

    Raises
    ------
    InputError
        If there is no such file or tensor, or the file is not what its header claims. Nothing is ever unpickled.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from rmtsim.files.tensors import open_matrix
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/head.npz", weight=np.eye(3, 2), bias=np.zeros(3))
    ...     matrix = open_matrix(f"{folder}/head.npz:weight", what="weights")
    >>> matrix.shape, matrix.dtype, matrix.rows(1, 3).tolist()
    ((3, 2), 'float64', [[0.0, 1.0], [0.0, 0.0]])
    """
    stored, source = _find(text, what, 2)
    return Matrix(stored, what, source)


def open_vector(text: str, *, what: str, length: int | None = None) -> npt.NDArray[np.float64]:
    """Read a vector, such as a bias, as `open_matrix` does; ``length`` is what it must have, if that is known."""
    stored, source = _find(text, what, 1)
    if length is not None and stored.shape != (length,):
        raise InputError(f"{what}: {source} has {stored.shape[0]} numbers, not {length}; give one for each")
    return Matrix(stored, what, source).rows(0, stored.shape[0])[:, 0]


def _find(text: str, what: str, axes: int) -> tuple[StoredTensor, str]:
    """Return a tensor with so many axes, none of which is empty, and what it is called in messages."""
    path, given = _split(os.fspath(text), what)
    try:
        file = _READERS[Path(path).suffix.lower()](path)
        name = _chosen(given, file.axes, axes)
        stored = file.tensor(name)
    except OSError as error:
        raise InputError(f"{what}: {path} cannot be read ({error.strerror or error}); {_WANTED}") from error
    except UnreadableError as error:
        raise InputError(f"{what}: {path} {error}") from error
    source = f"{path}:{name}" if name else path
    shape = abridge(stored.shape)
    if len(stored.shape) != axes:
        wanted = "a matrix, with a row for each" if axes == 2 else "a vector"
        reshape = f", as by reshape(-1, {stored.shape[-1]})" if axes == 2 < len(stored.shape) else ""
        raise InputError(f"{what}: {source} has the shape {shape}; give {wanted}{reshape}")
    if 0 in stored.shape:
        raise InputError(f"{what}: {source} is empty, its shape is {shape}; give at least one number")
    return stored, source


def _split(text: str, what: str) -> tuple[str, str | None]:
    """Return the file, which is there and of a kind that is read, and the name of the tensor if one is given.

    A colon ends the file where a suffix stands before it; so paths and names may have colons.
    """
    if "://" in text or shown(text) != text:
        raise InputError(f"{what}: '{shown(text)}' is an address; give a file on this machine")
    known = tuple(re.escape(suffix) for suffix in (*_READERS, *_PICKLES))
    ends = [found.end() - 1 for found in re.finditer(f"({'|'.join(known)}):", text, re.IGNORECASE)]
    places = [(text, None), *((text[:end], text[end + 1 :]) for end in ends)]
    there = [place for place in places if os.path.exists(place[0])]
    path, name = there[0] if there else places[min(1, len(ends))]
    check_path(path, what, _WANTED)
    if lines := _PICKLES.get(Path(path).suffix.lower()):
        first, second, suffix = lines
        files = {"OLD": repr(path), "NEW": repr(str(Path(path).with_suffix(suffix)))}
        second = re.sub("OLD|NEW", lambda found: files[found[0]], second)
        raise InputError(
            f"{what}: {path} is a pickle, which can run any code, so it is not read; if you trust it, convert it "
            f"by two lines of Python, `{first}` and `{second}`"
        )
    if os.path.isdir(path):
        inside = [f"{path}/{file}" for file in names_in(path) if file.lower().endswith(tuple(_READERS))]
        choices = f"a file, such as {_listed(inside, key=len)}" if inside else _WANTED.removeprefix("give ")
        raise InputError(f"{what}: {path} is a folder; give {choices}")
    if Path(path).suffix.lower() not in _READERS:
        suffix = Path(os.path.basename(path).partition(":")[0]).suffix  # names of tensors have dots, too
        kind = (
            f"has the suffix {suffix}, which rmtsim cannot read" if suffix else "is taken as a file, but has no suffix"
        )
        raise InputError(f"{what}: {path!r} {kind}; {_WANTED}, with :TENSOR after it where it holds several tensors")
    if not there:
        folder, file = os.path.split(path)
        meant = did_you_mean(file, names_in(folder))
        raise InputError(f"{what}: there is no file {path}{meant}; {_WANTED}")
    return path, name


def _chosen(given: str | None, axes: Mapping[str, int | None], wanted: int) -> str:
    """Return the name of the tensor that is meant; raise UnreadableError with names to choose from."""
    if given is not None and given in axes:
        return given
    if list(axes) == [""]:
        if given is not None:
            raise UnreadableError(f"has one array, without a name; leave ':{given}' off")
        return ""
    fitting = [name for name, count in axes.items() if count in (wanted, None)] or list(axes)
    if not axes:
        raise UnreadableError("holds no tensor; give another file")
    if given is None and 1 in (len(axes), len(fitting)):
        return fitting[0]
    choices = _listed([abridge(name)[1:-1] for name in fitting], key=_is_telling)
    if given is None:
        raise UnreadableError(f"has {number_of(len(axes), 'tensor')}; name one, as in FILE:TENSOR, such as {choices}")
    raise UnreadableError(f"has no tensor {abridge(given)}{did_you_mean(given, axes)}; it has {choices}")


def _is_telling(name: str) -> bool:
    return not any(word in name.lower() for word in _TELLING)


def _listed(names: Sequence[str], key: Callable[[str], Any]) -> str:
    first = sorted(names, key=key)[:_SHOWN]
    return ", ".join(first) + (f" and {len(names) - len(first)} more" if len(names) > len(first) else "")
