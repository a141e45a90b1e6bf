"""The tables of experiments as files: which a store has, whether they are sound, and copies of those it lacks.

``_spec.json`` in the folder of an experiment says what was run under its name: the spec, and the paths of the tables
that it makes, so that nothing else is needed to tell which are there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.store.failures import FAILURES, StoreError, TornError, UnreadableError, advice, reason
from rmtsim.store.files import Files
from rmtsim.store.store import Store

#: Where the tables are in a store, in a folder for each experiment.
FOLDER = "experiments"


#: What a folder's spec is called: pandas leaves names with an underscore out.
SPEC = "_spec.json"

#: What was run under a name: ``spec``, as plain data, and ``tables``, the paths that it makes.
Document = dict[str, Any]


def tables(store: Store) -> list[str]:
    """Paths of all tables in a store."""
    return [
        f"{FOLDER}/{folder}/{name}"
        for folder in store.files.folders(FOLDER)
        for name in store.files.names(f"{FOLDER}/{folder}")
        if name.endswith(".parquet") and not name.startswith((".", "_"))
    ]


def specs(store: Store) -> dict[str, Document]:
    """Return what was run into a store, by name.

    Raises
    ------
    StoreError
        If a document cannot be read, or is none.
    """
    found = ((name, spec_of(store, name)) for name in store.files.folders(FOLDER))
    return {name: document for name, document in found if document is not None}


def spec_of(store: Store, name: str) -> Document | None:
    """Return what was run under a name, None where nothing was; raises as ``specs`` does."""
    path = f"{FOLDER}/{name}/{SPEC}"
    if SPEC not in store.files.names(f"{FOLDER}/{name}"):
        return None
    try:
        document = json.loads(store.files.read(path))
    except ValueError:
        document = None
    except FAILURES as error:
        raise UnreadableError(
            f"store: {store.files.where(path)} cannot be read ({reason(error)}); {advice(error)}"
        ) from error
    if isinstance(document, dict) and "tables" not in document:  # earlier versions kept the spec alone
        document = {"spec": document, "tables": None}
    match document:
        case {"spec": dict(), "tables": None | list()}:
            found: Document = document
            return found
    raise TornError(f"store: {store.files.where(path)} is torn; remove it and run its experiment again")


def write_spec(store: Store, name: str, document: Mapping[str, Any]) -> None:
    """Keep what is run under a name."""
    store.files.prepare((f"{FOLDER}/{name}",))
    store.files.write(f"{FOLDER}/{name}/{SPEC}", json.dumps(document, indent=1).encode())


def read_table(files: Files, path: str) -> pa.Table:
    """Read a table, and look at its checksums.

    Raises
    ------
    TornError, UnreadableError
        If its content is not what was written; if it is not handed out.
    """
    try:
        with files.open(path) as file:
            return pq.read_table(file, page_checksum_verification=True)
    except FAILURES as error:
        where = f"store: {files.where(path)}"
        if isinstance(error, OSError) and error.errno is not None:
            raise UnreadableError(f"{where} cannot be read ({reason(error)}); {advice(error)}") from error
        raise TornError(f"{where} is torn ({reason(error)}); remove it and run its experiment again") from error


def check_tables(store: Store) -> tuple[int, list[StoreError]]:
    """Read all tables; return how many there are, and what is wrong with some."""
    paths, broken = tables(store), []
    for path in paths:
        try:
            read_table(store.files, path)
        except StoreError as error:
            broken.append(error)
    for name in store.files.folders(FOLDER):
        try:
            spec_of(store, name)
        except StoreError as error:
            broken.append(error)
    return len(paths), broken


def copy_tables(sources: Sequence[Store], into: Store) -> int:
    """Add to a store the tables that it lacks, each found sound before; return how many.

    A table is a function of the parameters that its name has a hash of: one of the same name is the same.
    """
    known = set(tables(into))
    lacking = {path: store for store in reversed(sources) for path in tables(store) if path not in known}
    for path, store in lacking.items():
        read_table(store.files, path)
    for path, store in lacking.items():
        into.files.prepare((path.rpartition("/")[0],))
        into.files.write(path, store.files.read(path))
    return len(lacking)
