"""NumPy's .npy and .npz files: headers are checked against the size of the file, and nothing is ever unpickled."""

from __future__ import annotations

import io
import math
import os
import shutil
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from rmtsim.files.regular_files import open_regular, regular_descriptor
from rmtsim.files.stored_tensors import ELEMENTS, OpenFile, StoredTensor, UnreadableError
from rmtsim.text.sizes import format_bytes
from rmtsim.text.words import abridge

#: Readers of the header, by the version of the format; version 3 is for names of fields only.
_HEADERS: dict[tuple[int, int], Callable[[Any], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

#: Bytes in which a header of numbers ends: NumPy itself reads no header of more than 10 000.
_HEADER = 16 << 10

#: Bytes that a compressed array may always unpack to; a larger one to at most a multiple of what the file has of it.
_ALWAYS, _MOST_TIMES = 256 << 20, 100

#: The header of a file inside an archive: its first bytes, its length, and where the lengths of name and extras stand.
_LOCAL, _LOCAL_BYTES, _LENGTHS = b"PK\x03\x04", 30, slice(26, 30)


class NpyFile:
    """The one array of a .npy file, which has no name: it is called the empty text.

    Raises
    ------
    OSError, UnreadableError
        If it cannot be read, or is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = OpenFile(regular_descriptor(path, os.O_RDONLY))
        self._header = _Header(self._file.read(0, _HEADER))

    @property
    def axes(self) -> Mapping[str, int]:
        """The number of axes of the array."""
        return {"": len(self._header.shape)}

    def tensor(self, name: str) -> StoredTensor:
        """Return the array; raise UnreadableError if its dtype is not read or does not fit its bytes."""
        return self._header.stored(self._file, 0, self._file.size)


class NpzFile:
    """The arrays of a .npz file, compressed or not.

    Raises
    ------
    OSError, UnreadableError
        If it cannot be read, or is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        with self._archive() as archive:
            there = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            self._infos = {info.filename.removesuffix(".npy"): info for info in there}
            self._headers = {}
            for name, info in self._infos.items():
                with archive.open(info) as member:
                    self._headers[name] = _Header(member.read(_HEADER))

    @property
    def axes(self) -> Mapping[str, int]:
        """The number of axes of each array."""
        return {name: len(header.shape) for name, header in self._headers.items()}

    def tensor(self, name: str) -> StoredTensor:
        """Return an array, one that is compressed from a temporary file that has no name.

        Raises
        ------
        OSError, UnreadableError
            If it cannot be unpacked, its dtype is not read or does not fit its bytes.
        """
        info, header = self._infos[name], self._headers[name]
        header.check(info.file_size)
        if info.compress_type == ZIP_STORED:
            file = OpenFile(regular_descriptor(self._path, os.O_RDONLY))
            return header.stored(file, _place(file, info), info.file_size)
        if info.file_size > max(_ALWAYS, _MOST_TIMES * info.compress_size):
            raise UnreadableError(
                f"has {format_bytes(info.compress_size)} of {abridge(name)} that would unpack to "
                f"{format_bytes(info.file_size)}; if that is meant, write it without compression, by numpy.savez"
            )
        with self._archive() as archive, archive.open(info) as member, tempfile.TemporaryFile() as whole:
            shutil.copyfileobj(member, whole, 1 << 20)
            whole.flush()
            return header.stored(OpenFile(os.dup(whole.fileno())), 0, whole.tell())

    @contextmanager
    def _archive(self) -> Iterator[ZipFile]:
        try:
            with open_regular(self._path) as file, ZipFile(file) as archive:
                yield archive
        except (OSError, UnreadableError, MemoryError):
            raise
        except Exception as error:  # a file that is no archive can raise anything
            raise UnreadableError("is damaged, or no .npz file; write it anew, by numpy.savez") from error


class _Header:
    """What the header of a .npy file says.

    Parameters
    ----------
    start
        The first bytes of the file.
    """

    def __init__(self, start: bytes) -> None:
        file = io.BytesIO(start)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what Python 2 wrote
                shape, by_column, self._element = _HEADERS[np.lib.format.read_magic(file)](file)
        except Exception as error:  # NumPy evaluates the text of the header, which can raise anything
            raise UnreadableError("is damaged, or no .npy file; write it anew, by numpy.save") from error
        if any(isinstance(size, bool) or size < 0 for size in shape):
            raise UnreadableError(f"has a header with the shape {abridge(shape)}; write it anew, by numpy.save")
        self.shape, self._by_column, self._length = shape, by_column and len(shape) > 1, file.tell()

    def stored(self, file: OpenFile, place: int, size: int) -> StoredTensor:
        """Return the array whose file, of ``size`` bytes, begins at a place of another."""
        self.check(size)
        name = _dtype_name(self._element)
        element = ELEMENTS[name] if name == "bfloat16" else self._element
        return StoredTensor(file, place + self._length, self.shape, name, element, self._by_column)

    def check(self, size: int) -> None:
        """Raise UnreadableError unless the array is one of numbers that take what a file of ``size`` bytes has."""
        _dtype_name(self._element)
        claimed, there = math.prod(self.shape) * self._element.itemsize, size - self._length
        if claimed != there:
            wrong = "is cut short" if claimed > there else "has more than its array"
            raise UnreadableError(
                f"{wrong}: {self._element} of shape {abridge(self.shape)} takes {claimed} bytes, and {there} are "
                "there; write it anew"
            )


def _dtype_name(element: np.dtype[Any]) -> str:
    if element.hasobject:
        raise UnreadableError(
            "holds Python objects, which only a pickle can, and pickles are never read; save numbers, by "
            "numpy.save(FILE, numpy.array(values, dtype=float))"
        )
    if element.kind == "f" and element.name in ELEMENTS:
        return element.name
    if element.kind == "V" and element.itemsize == 2 and element.names is None and element.subdtype is None:
        return "bfloat16"  # NumPy writes the dtype of ml_dtypes, and so of JAX, as two bytes of no kind
    raise UnreadableError(
        f"holds {abridge(str(element))[1:-1]}, not {', '.join(ELEMENTS)}; if these are quantised weights, save "
        "what they stand for as one of these"
    )


def _place(file: OpenFile, info: ZipInfo) -> int:
    """Return where the bytes of a member that is not compressed begin."""
    local = file.read(info.header_offset, _LOCAL_BYTES)
    if len(local) < _LOCAL_BYTES or not local.startswith(_LOCAL) or info.compress_size != info.file_size:
        raise UnreadableError("is damaged, or no .npz file; write it anew, by numpy.savez")
    name, extras = struct.unpack("<HH", local[_LENGTHS])
    return int(info.header_offset + _LOCAL_BYTES + name + extras)
