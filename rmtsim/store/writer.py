"""The writer of a store: it commits rows, and tidies up after writers that were killed."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from itertools import count
from typing import Any

import pandas as pd
import pyarrow as pa

from rmtsim.store.commits import PATH, Commits, read_commits
from rmtsim.store.core_time import CoreTime
from rmtsim.store.failures import StoreError, TornError, transient
from rmtsim.store.lock import lock_of
from rmtsim.store.shard_files import FORMAT, ROWS, as_shard, as_table, encoded, sort
from rmtsim.store.shard_names import commit_number
from rmtsim.store.shards import Shard, replaced_by
from rmtsim.store.storage import WRITING, Files, LocalFiles
from rmtsim.store.strays import is_stray
from rmtsim.text.words import list_ranges

_log = logging.getLogger(__name__)

#: Seconds to wait before each retry of a commit that a server did not take: about a minute in all.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


class Writer:
    """The only writer of a store. Its lock names it, and is free when its process ends, however it ends.

    `rmtsim.store.Store.writer` makes it.

    Parameters
    ----------
    files
        The files of the store.
    listed
        Returns all shards of the store, as `rmtsim.store.Store.listed`.
    folders
        Folders in it that are made where they do not exist.
    replaces
        What shards of compactions replace, as far as it is known; see `rmtsim.store.shards.replaced_by`.
    """

    def __init__(
        self,
        files: Files,
        listed: Callable[[], list[Shard]],
        folders: tuple[str, ...],
        replaces: dict[str, list[str]] | None = None,
    ) -> None:
        self.files, self._listed, self._folders = files, listed, folders
        self._replaces = {} if replaces is None else replaces
        self._lock = lock_of(files)
        self._number = 0
        self._names: set[str] = set()
        self._noted = Commits()
        self._format = ""  # what all shards have at least

    def __enter__(self) -> Writer:
        self.files.prepare(("", *self._folders))
        self._lock.acquire()
        try:
            self._tidy()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        try:
            if kind is None or not issubclass(kind, StoreError):  # a store that refused would do so again
                with suppress(StoreError):
                    self._note()
        finally:
            self._lock.release()

    def _tidy(self) -> None:
        """Finish the work of killed writers, and bring shards of earlier formats up to date."""
        # Earlier versions had temporary files beside those that they became.
        experiments = [f"experiments/{name}/" for name in self.files.folders("experiments") if not is_stray(name)]
        folders = [(folder, ".") for folder in (f"{WRITING}/", "draws/", "sweeps/", *experiments)]
        for folder, begins in (*folders, ("", f".{PATH}")):
            for name in self.files.names(folder.rstrip("/")):
                if name.startswith(begins) and name.endswith(".tmp"):
                    self.files.delete(f"{folder}{name}")
        self.files.settle("draws", lambda: replaced_by(self._listed(), self._replaces))
        listed = self._listed()
        self._names = {shard.name for shard in listed}
        replaced = replaced_by(listed, self._replaces)
        with suppress(TornError):  # which is written anew
            self._noted = read_commits(self.files)
            self._format = self._noted.format
        self._number = max([self._noted.last, *map(commit_number, self._names)])
        if absent := Commits(self._number, self._noted.gone).absent({*self._names, *replaced}):
            _log.warning(
                "store: %s of %s cannot be found any more; a sweep that wants draws of them makes them again",
                list_ranges("commit", absent),
                self.files.where(),
            )
        if stale := {*replaced} & self._names:
            self.remove(stale)
        counting = [shard for shard in listed if shard.name not in replaced]
        self._complete([shard for shard in counting if self._format != FORMAT or not shard.digest])
        self._note()

    def _complete(self, shards: Collection[Shard]) -> None:
        """Put shards with every column in the place of those of earlier formats that lack one.

        Of a mixed dataset other readers take the first file's columns, so all change in one step where that can be.
        """
        groups: dict[tuple[tuple[str, str], ...], list[list[Shard]]] = defaultdict(lambda: [[]])
        rows: Counter[tuple[tuple[str, str], ...]] = Counter()  # of the last group
        for shard in shards:
            with shard.open() as opened:
                if not opened.complete:
                    origin = tuple(sorted(opened.origin.items()))
                    if groups[origin][-1] and rows[origin] + opened.num_rows > ROWS:
                        groups[origin].append([])
                        rows[origin] = 0
                    groups[origin][-1].append(shard)
                    rows[origin] += opened.num_rows
        lacking = [group for of_origin in groups.values() for group in of_origin]
        names = [[shard.name for shard in group] for group in lacking]
        numbers = range(self._number + 1, self._number + 1 + len(lacking))
        made = (as_shard(_together(lacking[k]), number, names[k]) for k, number in enumerate(numbers))
        if lacking:
            self._lock.check()
        if lacking and self.files.replace("draws", made, {name for group in names for name in group}):
            self._number += len(lacking)
            self._names = {shard.name for shard in self._listed()}
        else:
            for group in reversed(lacking):  # the first file is the last to change
                self.commit(_together(group), [shard.name for shard in group])
        self._format = FORMAT

    def save_spec(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a spec beside the draws; a repeat with the same spec leaves the file untouched."""
        path = f"sweeps/{name}.json"
        text = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
        if f"{name}.json" not in self.files.names("sweeps") or self.files.read(path) != text:
            self.put(path, text)

    def append(
        self, rows: pa.Table | pd.DataFrame, spec: Mapping[str, Any], core_time: CoreTime | None = None
    ) -> Shard:
        """Commit rows as a new shard; on return they are on disk.

        Parameters
        ----------
        rows
            Rows of one seed and backend, of any points and draws. A table names the BLAS library that made them in
            ``schema.metadata[b"rmtsim.blas"]``, a DataFrame in ``attrs["blas"]``.
        spec
            Document of the spec that they were made for.
        core_time
            What their draws took; unknown by default.

        Raises
        ------
        StoreError
            If the disk refuses, or the lock was taken over. No part of the shard is then visible.
        """
        return self.commit(as_table(rows, spec, core_time))

    def commit(self, table: pa.Table, replaces: Collection[str] = ()) -> Shard:
        """Commit a sorted table with its metadata, replacing other shards; see `append`."""
        name, data = as_shard(table, self._number + 1, replaces)
        shard = Shard(self.files, name)
        at_once = bool(replaces) and self.files.replace("draws", [(name, data)], replaces)
        if not at_once:
            self.put(shard.path, data)
        self._number += 1
        self._names.add(shard.name)
        if at_once:
            self._forget(replaces)
        else:
            self.remove(replaces)
        return shard

    def put(self, path: str, data: bytes | pa.Buffer) -> None:
        """Write a file; where a server refuses, retry for about a minute, as the same write may be repeated.

        Raises
        ------
        StoreError
            If the disk refuses, or the lock was taken over. An older file is then as it was.
        """
        pauses = () if isinstance(self.files, LocalFiles) else PAUSES
        for attempt in count(1):
            try:
                self._lock.check()
                self.files.write(path, data)
            except StoreError as error:
                if attempt > len(pauses) or not transient(error):
                    raise
                pause = pauses[attempt - 1]
                _log.warning(
                    "%s; trying again in %.0f s, attempt %d of %d",
                    str(error).partition("; ")[0],
                    pause,
                    attempt + 1,
                    len(pauses) + 1,
                )
                time.sleep(pause)
            else:
                if attempt > 1:
                    _log.info("store: %s is written, at attempt %d", self.files.where(path), attempt)
                return

    def loose(self) -> list[Shard]:
        """Return the shards that no compaction has made, in commit order."""
        return [shard for shard in self._listed() if shard.name in self._names and not shard.compacted]

    def remove(self, names: Collection[str]) -> None:
        """Remove shards whose rows other shards hold."""
        self._forget(names)
        self.files.delete_all([f"draws/{name}" for name in sorted(names)])

    def _forget(self, names: Collection[str]) -> None:
        """Record that shards need not exist any more."""
        if names:
            self._names -= set(names)
            self._note()

    def _note(self) -> None:
        """Write the record of commits; those whose shards do not exist by now count as gone by right."""
        now = Commits(
            self._number, tuple(Commits(self._number).absent(self._names)), self._format if self._number else ""
        )
        if now != self._noted:
            self._lock.check()
            self.files.write(PATH, (json.dumps(now.document()) + "\n").encode())
            self._noted = now


def _together(shards: Collection[Shard]) -> pa.Table:
    """Return the rows of shards with every column, and what the metadata of all of them say."""
    tables, taken = [], CoreTime()
    for shard in shards:
        with shard.open() as opened:
            tables.append(encoded(opened.read()))
            taken.add_all([opened.core_time])
            origin = opened.origin
    together = sort(pa.concat_tables(tables).unify_dictionaries())
    return together.replace_schema_metadata({**origin, **taken.metadata()})
