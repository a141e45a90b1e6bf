"""Findings on files and folders in a store that do not belong to it."""

from __future__ import annotations

from collections.abc import Iterator

from rmtsim.store.experiment_tables import FOLDER, experiment_names
from rmtsim.store.findings import Finding, foreign_file, unfinished_file
from rmtsim.store.storage import WRITING
from rmtsim.store.store import Store
from rmtsim.store.strays import is_stray
from rmtsim.text.words import number_of


def strange_files(store: Store) -> Iterator[Finding]:
    """Yield findings on files that are neither shards nor specs."""
    for folder, suffix in (("draws", ".parquet"), ("sweeps", ".json"), (WRITING, ".tmp")):
        for name in store.files.folders(folder):
            where = store.files.where(f"{folder}/{name}")
            if folder == WRITING:
                yield unfinished_file(where)
            elif not is_stray(name):
                yield Finding("foreign", f"{where} is a folder, whose files other readers see", "move it elsewhere")
        for name in store.files.names(folder):
            if is_stray(name):
                continue
            where = store.files.where(f"{folder}/{name}")
            if name.startswith(".") and name.endswith(".tmp"):
                yield unfinished_file(where)
            elif name.startswith(".") or not name.endswith(suffix):
                yield foreign_file(where)


def notes_on_strays(store: Store) -> Iterator[str]:
    """Yield notes on files that rmtsim skips, and that other readers of the whole folder do not."""
    for folder in ("draws", *(f"{FOLDER}/{name}" for name in experiment_names(store))):
        names = [*store.files.names(folder), *store.files.folders(folder)]
        if seen := [name for name in names if is_stray(name) and not name.startswith((".", "_"))]:
            others = f" and {number_of(len(seen) - 1, 'other')}" if len(seen) > 1 else ""
            yield (
                f"store: {store.files.where(f'{folder}/{seen[0]}')}{others}: rmtsim skips files that are not its own, "
                "but pandas and others that read the folder fail there; move it elsewhere"
            )
