"""The tables of experiments as files: which a store has, whether they are sound, and copies of those it lacks."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from rmtsim.store.failures import FAILURES, StoreError, TornError, UnreadableError, advice, reason
from rmtsim.store.files import Files
from rmtsim.store.store import Store

#: Where the tables are in a store, in a folder for each experiment.
FOLDER = "experiments"


def tables(store: Store) -> list[str]:
    """Paths of all tables in a store, and of the specs of those that were made by one."""
    folders = [f"{FOLDER}/{name}" for name in sorted(store.files.folders(FOLDER))] if store.exists() else []
    return [
        f"{folder}/{name}"
        for folder in folders
        for name in sorted(store.files.names(folder))
        if name.endswith((".parquet", ".json")) and not name.startswith(".")
    ]


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
    paths, broken = [path for path in tables(store) if path.endswith(".parquet")], []
    for path in paths:
        try:
            read_table(store.files, path)
        except StoreError as error:
            broken.append(error)
    return len(paths), broken


def copy_tables(sources: Sequence[Store], into: Store) -> int:
    """Add to a store the tables that it lacks, each found sound before; return how many.

    A table is a function of the parameters that its name has a hash of: one of the same name is the same.
    """
    known = set(tables(into))
    lacking = {path: store for store in reversed(sources) for path in tables(store) if path not in known}
    found = [path for path in lacking if path.endswith(".parquet")]
    for path in found:
        read_table(lacking[path].files, path)
    for path, store in lacking.items():
        into.files.prepare((path.rpartition("/")[0],))
        into.files.write(path, store.files.read(path))
    return len(found)
