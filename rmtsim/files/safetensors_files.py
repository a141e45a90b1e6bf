"""Files of the safetensors format, one or a sharded checkpoint: headers are read within limits and checked before use.

A file is 8 bytes with the length of the header, the header, and the numbers of all tensors. The header is a JSON table
of the dtype, the shape and the place of each tensor. The index of a sharded checkpoint is a JSON table of the file of
each tensor. Whatever such files claim is held against their size before anything of that size is made.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmtsim.files.regular_files import regular_descriptor
from rmtsim.files.stored_tensors import ELEMENTS, OpenFile, StoredTensor, UnreadableError
from rmtsim.text.json_text import PlainDataError, parse_json
from rmtsim.text.sizes import format_bytes
from rmtsim.text.words import abridge, number_of

#: The format's names of the dtypes that are read.
_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}

#: Bytes of the length of the header, and of a header or an index, at most. The index of a checkpoint of 92 000 tensors
#: takes 9 MB.
_LENGTH, _MOST = 8, 32 << 20

_METADATA = "__metadata__"


@dataclass(frozen=True)
class _Entry:
    """What a header says of a tensor: the format's name of the dtype, the shape, and the first and the last byte."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


class SafetensorsFile:
    """The tensors of one file.

    Raises
    ------
    OSError, UnreadableError
        If it cannot be read, or its header does not describe its content.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = OpenFile(regular_descriptor(path, os.O_RDONLY))
        self._entries, self._begin = _read_header(self._file)

    @property
    def axes(self) -> Mapping[str, int]:
        """The number of axes of each tensor."""
        return {name: len(entry.shape) for name, entry in self._entries.items()}

    def tensor(self, name: str) -> StoredTensor:
        """Return a tensor; raise UnreadableError if its dtype is not read or does not fit its bytes."""
        entry = self._entries[name]
        dtype = _DTYPES.get(entry.dtype)
        if dtype is None:
            raise UnreadableError(
                f"has {abridge(name)} as {abridge(entry.dtype)[1:-1]}, not {', '.join(_DTYPES)}; if these are "
                "quantised weights, save what they stand for as one of these"
            )
        claimed = math.prod(entry.shape) * ELEMENTS[dtype].itemsize
        if claimed != entry.stop - entry.start:
            raise UnreadableError(
                f"has a header that contradicts itself: {abridge(name)} of shape {abridge(entry.shape)} takes "
                f"{claimed} bytes as {entry.dtype}, and its place has {entry.stop - entry.start}; write it anew"
            )
        return StoredTensor(self._file, self._begin + entry.start, entry.shape, dtype, ELEMENTS[dtype])


class ShardedCheckpoint:
    """The tensors that the index of a sharded checkpoint names; its files lie in the folder of the index.

    Raises
    ------
    OSError, UnreadableError
        If the index cannot be read, or is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        file = OpenFile(regular_descriptor(path, os.O_RDONLY))
        index = _parse(file, 0, file.size, "it")
        shards = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(shards, dict):
            raise UnreadableError("is not the index of a sharded checkpoint: it has no table weight_map")
        self._folder, self._shards = Path(path).parent, shards

    @property
    def axes(self) -> Mapping[str, None]:
        """The tensors; how many axes each has stands in the files alone."""
        return dict.fromkeys(self._shards)

    def tensor(self, name: str) -> StoredTensor:
        """Return a tensor; raise UnreadableError if its file lies elsewhere, is not there or is damaged."""
        shard = self._shards[name]
        place = f"names the file {abridge(shard)} for {abridge(name)}"
        if not isinstance(shard, str) or shard in ("", ".", "..") or "\0" in shard or Path(shard).name != shard:
            raise UnreadableError(f"{place}, which is not the name of a file in its own folder")
        if not shard.endswith(".safetensors"):
            raise UnreadableError(f"{place}; only .safetensors files are read, since others can run code")
        try:
            file = SafetensorsFile(self._folder / shard)
            if name in file.axes:
                return file.tensor(name)
        except FileNotFoundError:
            raise UnreadableError(f"{place}, which is not there; bring all files of the checkpoint here") from None
        except OSError as error:
            raise UnreadableError(f"{place}, which cannot be read ({error.strerror or error})") from error
        except UnreadableError as error:
            raise UnreadableError(f"{place}, which {error}") from error
        raise UnreadableError(f"{place}, which has no such tensor; bring index and files of one checkpoint here")


def _read_header(file: OpenFile) -> tuple[dict[str, _Entry], int]:
    """Return what the header says of the tensors, which fill the rest of the file, and where they begin."""
    size = file.size
    if size < _LENGTH:
        raise UnreadableError(f"is cut short: it has {size} bytes, and the length of its header takes {_LENGTH}")
    length = int.from_bytes(file.read(0, _LENGTH), "little")
    if length > size - _LENGTH:
        raise UnreadableError(
            f"is cut short, or no .safetensors file: its header is to have {format_bytes(length)}, and "
            f"{format_bytes(size - _LENGTH)} follow"
        )
    header = _parse(file, _LENGTH, length, "its header")
    if not isinstance(header, dict):
        raise UnreadableError("has a header that is not a table of tensors")
    entries = {name: _entry(name, about) for name, about in header.items() if name != _METADATA}
    _check_places(entries, size - _LENGTH - length)
    return entries, _LENGTH + length


def _parse(file: OpenFile, start: int, length: int, what: str) -> Any:
    if length > _MOST:
        raise UnreadableError(f"is not read: {what} has {format_bytes(length)}, and at most {format_bytes(_MOST)} are")
    try:
        return parse_json(file.read(start, length), _MOST)
    except PlainDataError as error:
        reason = str(error).removeprefix("it ")
        raise UnreadableError(f"is damaged, or of another format: {what} {reason}") from error


def _entry(name: str, about: Any) -> _Entry:
    match about:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [start, stop]} if all(
            type(number) is int and number >= 0 for number in (*shape, start, stop)
        ):
            if start <= stop:
                return _Entry(dtype, tuple(shape), start, stop)
    raise UnreadableError(
        f"has a header without a valid dtype, shape and data_offsets of {abridge(name)}; write it anew"
    )


def _check_places(entries: Mapping[str, _Entry], size: int) -> None:
    """Raise UnreadableError unless the tensors fill ``size`` bytes, without holes and without sharing any."""
    end, before = 0, ""
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start < end:
            raise UnreadableError(f"has a header in which {abridge(before)} and {abridge(name)} overlap; write it anew")
        if entry.start > end:
            raise UnreadableError(
                f"has a header with a hole: bytes {end} to {entry.start} belong to no tensor; write it anew"
            )
        end, before = entry.stop, name
    if end > size:
        raise UnreadableError(f"is cut short: its tensors take {format_bytes(end)}, and {format_bytes(size)} are there")
    if end < size:
        raise UnreadableError(f"has {number_of(size - end, 'byte')} that belong to no tensor; write it anew")
