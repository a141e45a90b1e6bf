"""The record of a store's commits, by which shards that someone removed are noticed.

``commits.json`` keeps the number of the last commit, and those whose shards went since, as by compaction. A writer
brings it up to date when it opens the store, before it removes shards, and when it closes the store. So it may be older
than the shards, never newer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rmtsim.store.coverage import RangeSet
from rmtsim.store.failures import AbsentError, TornError
from rmtsim.store.shard_names import MOST_COMMITS, commit_number
from rmtsim.store.storage import Files
from rmtsim.text.json_text import PlainDataError, parse_json

PATH = "commits.json"


@dataclass(frozen=True)
class Commits:
    """The record of the commits.

    Attributes
    ----------
    last
        Number of the last commit.
    gone
        Ranges of numbers of commits whose shards are gone by right, as after compaction.
    format
        The format that all shards have at least, as far as a writer has looked; "" where none has.
    """

    last: int = 0
    gone: tuple[range, ...] = ()
    format: str = ""

    def absent(self, names: Iterable[str]) -> list[range]:
        """Return the ranges of numbers, up to the last, that are neither gone nor those of the shards ``names``."""
        known = RangeSet()
        for run in self.gone:
            known.add(run)
        for number in sorted(map(commit_number, names)):  # in order: each then goes to the end of a range, or after it
            known.add(range(number, number + 1))
        return known.gaps(range(1, self.last + 1))

    def document(self) -> dict[str, object]:
        """Return the record as plain data."""
        gone = [[run.start, run.stop - 1] for run in self.gone]
        return {"last": self.last, "gone": gone, **({"format": self.format} if self.format else {})}


def read_commits(files: Files) -> Commits:
    """Read the record that a store's last writer left; a store without one has an empty record.

    Raises
    ------
    StoreError
        If the file exists and cannot be read.
    """
    try:
        text = files.read(PATH)
    except AbsentError:
        return Commits()
    try:
        document = parse_json(text)
    except PlainDataError:
        document = None
    match document:
        case {"last": last, "gone": list(gone), **others} if _is_number(last) and all(map(_is_range, gone)):
            runs = tuple(range(first, end + 1) for first, end in gone)
            return Commits(last, runs, str(others.get("format", "")))
    raise TornError(f"store: {files.where(PATH)} is torn; remove it, and the next writer makes it anew")


def _is_number(value: Any) -> bool:
    """Return whether a value is the number of a commit, or 0."""
    return type(value) is int and 0 <= value <= MOST_COMMITS


def _is_range(value: Any) -> bool:
    """Return whether a value is a pair: the first and the last number of a range of commits."""
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]
