"""The tables of experiments in a store: those that exist, those that should, and copies of tables from other stores.

``_spec.json`` in the folder of an experiment holds what was run under its name: the spec, and the paths of the tables
that it makes. So nothing else is needed to see which tables are missing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from rmtsim.arrays.pool import Pool
from rmtsim.errors import InputError
from rmtsim.store.failures import TornError
from rmtsim.store.saved_files import saved_prefix
from rmtsim.store.storage import Files
from rmtsim.store.store import Store
from rmtsim.store.strays import is_stray
from rmtsim.store.table_files import TableFile
from rmtsim.store.writer import Writer
from rmtsim.text.json_text import PlainDataError, parse_json

#: Folder of the tables in a store; each experiment has a folder in it.
FOLDER = "experiments"

#: Name of the file with an experiment's spec; pandas skips names that begin with an underscore.
SPEC = "_spec.json"

#: The document of an experiment: ``spec``, as plain data, and ``tables``, the paths of the tables that it makes.
Document = dict[str, Any]

#: Number of files that are read at a time.
_AT_A_TIME = 4


def experiment_names(store: Store) -> list[str]:
    """Return the names of the folders of experiments."""
    return [name for name in store.files.folders(FOLDER) if not is_stray(name)]


def is_table(name: str) -> bool:
    """Return whether a file of this name, in the folder of an experiment, is meant as a table."""
    return name.endswith(".parquet") and not name.startswith((".", "_")) and not is_stray(name)


def tables(store: Store) -> list[str]:
    """Return the paths of all tables in a store."""
    return [
        f"{FOLDER}/{folder}/{name}"
        for folder in experiment_names(store)
        for name in store.files.names(f"{FOLDER}/{folder}")
        if is_table(name)
    ]


def specs(store: Store) -> dict[str, Document]:
    """Return the documents of the experiments that were run into a store, by name.

    Raises
    ------
    StoreError
        If a document cannot be read, or is not valid.
    """
    found = ((name, spec_of(store, name)) for name in experiment_names(store))
    return {name: document for name, document in found if document is not None}


def spec_of(store: Store, name: str) -> Document | None:
    """Return the document of an experiment, None where nothing was run under its name; raises as `specs` does."""
    path = f"{FOLDER}/{name}/{SPEC}"
    if SPEC not in store.files.names(f"{FOLDER}/{name}"):
        return None
    text = store.files.read(path)
    try:
        document = parse_json(text)
    except PlainDataError:
        document = None
    if isinstance(document, dict) and "tables" not in document:  # earlier versions kept the spec alone
        document = {"spec": document, "tables": None}
    match document:
        case {"spec": dict(), "tables": None | list()} if all(map(_is_path, document["tables"] or ())):
            found: Document = document
            return found
    raise TornError(f"store: {store.files.where(path)} is torn; remove it and run its experiment again")


def _is_path(path: Any) -> bool:
    """Return whether a value is the path of a table, such as ``experiments/NAME/FILE.parquet``."""
    parts = path.split("/") if isinstance(path, str) else ()
    return len(parts) == 3 and parts[0] == FOLDER and parts[1] not in ("", ".", "..") and is_table(parts[2])


def files_beside(store: Store, paths: Collection[str]) -> set[str]:
    """Return the paths of all files in the folders of these paths."""
    folders = {path.rpartition("/")[0] for path in paths}
    return {f"{folder}/{name}" for folder in folders for name in store.files.names(folder)}


class Count(NamedTuple):
    """How many tables an experiment makes; None where an earlier version did not keep their names."""

    tables: int | None
    done: int | None
    begun: int | None  #: those that are missing and have a saved state


def count_tables(store: Store, document: Document) -> Count:
    """Count the tables of an experiment by the names of the files that are there."""
    paths: list[str] | None = document["tables"]
    if paths is None:
        return Count(None, None, None)
    there = files_beside(store, paths)
    prefixes = {f"{path.rpartition('.')[0]}." for path in there}
    missing = [path for path in paths if path not in there]
    return Count(len(paths), len(paths) - len(missing), sum(_saved(path) in prefixes for path in missing))


def _saved(path: str) -> str:
    """Return the prefix of the paths of the files that a task saves before its table exists."""
    folder, _, file = path.rpartition("/")
    return f"{folder}/{saved_prefix(file)}"


def write_spec(writer: Writer, name: str, document: Mapping[str, Any]) -> None:
    """Write the document of an experiment."""
    writer.put(f"{FOLDER}/{name}/{SPEC}", json.dumps(document, indent=1).encode())


def check_tables(files: Files, paths: Sequence[str]) -> None:
    """Raise StoreError if a table is damaged, or is not the one that its path names; a few are read at a time."""

    def check(path: str) -> None:
        TableFile(files, path)

    with Pool(min(_AT_A_TIME, len(paths))) as pool:
        for checked in [pool.submit(check, path) for path in paths]:
            checked.result()


def lacking_tables(sources: Sequence[Store], into: Store) -> dict[str, Store]:
    """Return the paths of the tables that a store lacks and other stores have, each with the first store that has it.

    A table is a function of the parameters that its name has a hash of, so tables of the same name must be the same.

    Raises
    ------
    StoreError
        If a table of a source, or one that it is compared with, is damaged or is not the one that its path names.
    InputError
        If tables of the same path have different values.
    """
    known = dict.fromkeys(tables(into), into)
    lacking: dict[str, Store] = {}
    for store in sources:
        for path in tables(store):
            if path in known:
                _compare(path, store, known[path])
            else:
                check_tables(store.files, [path])
                known[path] = lacking[path] = store
    return lacking


def copy_tables(lacking: Mapping[str, Store], writer: Writer) -> None:
    """Copy tables of other stores into that of a writer; each is checked when it is copied."""
    for path, store in lacking.items():
        writer.put(path, TableFile(store.files, path).data)


def _compare(path: str, store: Store, other: Store) -> None:
    new, held = TableFile(store.files, path), TableFile(other.files, path)
    if new.data != held.data and not new.frame().equals(held.frame()):
        kernels = {new.metadata.get("blas", "unknown"), held.metadata.get("blas", "unknown")}
        why = f" (made by {' and '.join(sorted(kernels))})" if len(kernels) > 1 else ""
        raise InputError(
            f"SOURCE: {store.files.where(path)} has other values than {other.files.where(path)}{why}; "
            f"`rmtsim verify --store {store.quoted} --recompute 100` may show which are wrong; merge elsewhere "
            "meanwhile"
        )
