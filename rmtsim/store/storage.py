"""Files of a store in a local directory, or in a file system of pyarrow or fsspec. A file is whole or absent."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from rmtsim.errors import InputError
from rmtsim.files.durable_files import sync_folder, write_durably
from rmtsim.files.path_names import check_path
from rmtsim.files.regular_files import open_regular
from rmtsim.store.exchange import BEGINS, dissolve, replace_files
from rmtsim.store.failures import ServerError, hiding_secrets, may_pass
from rmtsim.store.file_access import FOLDERS, Files
from rmtsim.store.locations import parse_address
from rmtsim.store.nesting import Listing, check_apart, is_store
from rmtsim.text.addresses import Address
from rmtsim.text.words import abridge

__all__ = ["WRITING", "Files", "LocalFiles", "RemoteFiles", "open_files"]

#: Names that fsspec has for object stores and similar file systems.
_FSSPEC = ("memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")

#: Object stores show only whole objects; elsewhere a file is written under a hidden name and renamed.
_OBJECT_STORES = {"s3", "gcs", "abfs", *(f"py::fsspec+{name}" for name in _FSSPEC)}


#: Most bytes of a file that are fetched in one request; most bytes of a local file that are read at once.
_WHOLE, _SMALL = 64 << 20, 1 << 20

#: Folder of files that are being written: readers of a whole folder, such as polars, read hidden files as data.
WRITING = ".writing"


class LocalFiles(Files):
    """A local directory. Files are written under a hidden name, with fsync, rename, and fsync of the directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.location = root, str(root)
        self.address = Address(os.path.abspath(root))  # the same in the working directory of a worker
        existing = next((path for path in (root, *root.parents) if path.exists()), root)
        if existing.exists() and not existing.is_dir():
            raise InputError(f"store: {existing} is a file; give a directory")
        check_apart(os.path.realpath(root), _listing(), str(root))

    def exists(self, folder: str = "") -> bool:
        """Return whether the root, or a folder in it, exists."""
        return (self.root / folder).is_dir()

    def prepare(self, folders: tuple[str, ...]) -> None:
        """Make the root and folders in it; raise InputError where the root holds other things and is no store yet."""
        if others := self._others():
            things = f"other things, such as {abridge(others[0])}, and no store"
            raise InputError(f"store: {self.root} holds {things}; give a folder that is empty or not there yet")
        if (self.root / WRITING).is_symlink():  # what is unfinished there is deleted
            raise InputError(f"store: {self.root / WRITING} is a link, not a folder; remove it")
        try:
            for folder in folders:
                if not (path := self.root / folder).is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    sync_folder(self.root)
        except OSError as error:
            raise InputError(
                f"store: {self.root} cannot be written ({error.strerror}); give another directory"
            ) from error

    def _others(self) -> list[str]:
        """Return what a folder holds that is no store: a run that is given one by mistake would scatter files in it."""
        there = {*self.names(""), *self.folders("")}
        begun = "draws" in there or ".lock" in there
        if begun or is_store(str(self.root), _listing()):
            return []
        return sorted(there - {*FOLDERS, WRITING, "locks"})

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder."""
        return self._names(folder, lambda entry: not entry.is_dir())

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""
        return self._names(folder, lambda entry: entry.is_dir())

    def _names(self, folder: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[str]:
        with self._refusal(folder, "read", "make it readable, or give another --store"):
            try:
                with os.scandir(self.root / folder) as entries:
                    return sorted(entry.name for entry in entries if wanted(entry))
            except FileNotFoundError:
                return []

    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading."""
        file = open_regular(self.root / path)
        if os.fstat(file.fileno()).st_size > _SMALL:
            return pa.PythonFile(file, mode="r")
        with file:
            return pa.BufferReader(file.read())

    def state(self, path: str) -> object:
        """Return a value that changes when anyone writes the file."""
        status = os.stat(self.root / path)
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def write(self, path: str, data: bytes | pa.Buffer) -> None:
        """Write a file, whole or not at all."""
        with self._refusal(path, "written"):
            write_durably(self.root / path, data, self.root / WRITING)

    def replace(self, folder: str, new: Iterable[tuple[str, bytes | pa.Buffer]], gone: Collection[str]) -> bool:
        """Replace files by new ones, in one step where the file system can do that."""
        return replace_files(self.root / folder, new, gone, self.root / WRITING)

    def settle(self, folder: str, gone: Callable[[], Collection[str]]) -> None:
        """Finish a `replace` that was killed."""
        for name in self.folders(WRITING):
            if name.startswith(BEGINS):
                with self._refusal(f"{WRITING}/{name}", "removed", "nothing is lost"):
                    dissolve(self.root / WRITING / name, self.root / folder, gone())

    def delete(self, path: str) -> None:
        """Delete a file."""
        with self._refusal(path, "removed", "nothing is lost"):
            (self.root / path).unlink(missing_ok=True)

    def where(self, path: str = "") -> str:
        """Return a path as messages show it."""
        return str(self.root / path)


class RemoteFiles(Files):
    """A file system with pyarrow's interface."""

    def __init__(self, address: Address, connect: Callable[[], tuple[Any, str]]) -> None:
        self.address, self.location, self._connect = address, address.shown, connect
        self._system: Any = None
        self._root = ""

    @property
    def system(self) -> Any:
        """The file system, connected to at its first use."""
        if self._system is None:
            with self._refusal("", "reached", "give another --store"), hiding_secrets(self.address):
                self._system, self._root = self._connect()
        return self._system

    def exists(self, folder: str = "") -> bool:
        """Return whether the root, or a folder in it, exists."""
        with self._refusal("", "reached", "give another --store"), hiding_secrets(self.address):
            return self._is_folder(self._path(folder))

    def prepare(self, folders: tuple[str, ...]) -> None:
        """Make the root and folders in it."""
        with self._refusal("", "written", "give another --store"), hiding_secrets(self.address):
            check_apart(self._path(""), Listing(self._listed, self._read), self.where())
            if self.system.type_name == "s3":  # which has no folders, and makes the bucket where the address says so
                self.system.create_dir(self._root.partition("/")[0])
            else:
                for folder in folders:
                    self.system.create_dir(self._path(folder))

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder."""
        return self._names(folder, pafs.FileType.File)

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder."""
        return self._names(folder, pafs.FileType.Directory)

    def _names(self, folder: str, kind: pafs.FileType) -> list[str]:
        with self._refusal(folder, "read", "give another --store"), hiding_secrets(self.address):
            return sorted(info.base_name for info in self._infos(self._path(folder)) if info.type == kind)

    def _infos(self, path: str) -> list[pafs.FileInfo]:
        found: list[pafs.FileInfo] = self.system.get_file_info(pafs.FileSelector(path, allow_not_found=True))
        return found

    def _listed(self, path: str) -> list[str]:
        return [info.base_name for info in self._infos(path)]

    def _is_folder(self, path: str) -> bool:
        return bool(self.system.get_file_info(path).type == pafs.FileType.Directory)

    def open(self, path: str) -> pa.NativeFile:
        """Open a file for reading; up to 64 MiB, more than any shard of rmtsim's, are fetched in one request."""
        with hiding_secrets(self.address):
            file = self.system.open_input_file(self._path(path))
            if file.size() > _WHOLE:
                return file
            with file:
                return pa.BufferReader(file.read_buffer())

    def state(self, path: str) -> object:
        """Return None: only a request to the server could show it, and the caller reads the file next anyway."""
        return None

    def _content(self, path: str) -> bytes:
        try:
            with hiding_secrets(self.address):
                return self._read(self._path(path))
        except ServerError as error:
            if not may_pass(error):
                raise
        with hiding_secrets(self.address):  # an answer that broke off is not asked for again by the library
            return self._read(self._path(path))

    def _read(self, path: str) -> bytes:
        with self.system.open_input_stream(path) as stream:
            return bytes(stream.read())

    def write(self, path: str, data: bytes | pa.Buffer) -> None:
        """Write a file, whole or not at all."""
        with self._refusal(path, "written"), hiding_secrets(self.address):
            if self.system.type_name in _OBJECT_STORES:
                self._put(self._path(path), data)
            else:
                temporary = self._path(self._temporary(path))
                self._put(temporary, data)
                self.system.move(temporary, self._path(path))

    def _temporary(self, path: str) -> str:
        """Return the path of a file until it is whole."""
        folder, _, name = path.rpartition("/")
        if folder == "locks":  # claims are written without the lock, whose holder tidies the other folder up
            return f"{folder}/.{name}.tmp"
        self.system.create_dir(self._path(WRITING))
        return f"{WRITING}/.{name}.tmp"

    def _put(self, path: str, data: bytes | pa.Buffer) -> None:
        with self.system.open_output_stream(path) as stream:
            stream.write(data)

    def replace(self, folder: str, new: Iterable[tuple[str, bytes | pa.Buffer]], gone: Collection[str]) -> bool:
        """Return False: a server takes one file at a time."""
        return False

    def settle(self, folder: str, gone: Callable[[], Collection[str]]) -> None:
        """Do nothing, as `replace` does nothing."""

    def delete(self, path: str) -> None:
        """Delete a file."""
        with (
            self._refusal(path, "removed", "nothing is lost"),
            suppress(FileNotFoundError),
            hiding_secrets(self.address),
        ):
            self.system.delete_file(self._path(path))

    def where(self, path: str = "") -> str:
        """Return a path as messages show it."""
        base = self.location.partition("?")[0].rstrip("/")
        return f"{base}/{path}" if path else base

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}".rstrip("/") if self.system is not None else path


def open_files(location: str | os.PathLike[str] | Address) -> Files:
    """Return the files at a local path or an address such as ``s3://bucket/prefix``, without contacting a server yet.

    Raises
    ------
    InputError
        If the address is not valid.
    """
    if not isinstance(location, str | os.PathLike | Address):
        raise InputError(
            f"store: {abridge(location)} is not valid; give a directory, or an address such as s3://bucket"
        )
    address = location if isinstance(location, Address) else Address(os.fspath(location))
    location = address.reveal()
    if not location.strip():
        raise InputError("store: the location is empty, as from a variable that is not set; give a directory")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/[^/]", location):  # as pathlib makes of an address
        right = Address(location.replace(":/", "://", 1))
        raise InputError(f"store: '{address}' is not a valid address; give {right}, with two slashes")
    if "://" in location:
        if re.search("[\ud800-\udfff]", location):
            raise InputError(f"store: '{address}' is not valid UTF-8; give another address")
        place = parse_address(address)
        if place.connect is not None:
            return RemoteFiles(address, place.connect)
        location = place.path
    check_path(location, "store", "give another directory")
    return LocalFiles(Path(location))


def _listing() -> Listing:
    """Return access to the folders of this machine."""
    return Listing(_listed, lambda path: Path(path).read_bytes())


def _listed(path: str) -> list[str]:
    return os.listdir(path) if os.path.isdir(path) else []
