"""Findings: the faults that `verify` reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmtsim.store.failures import StoreError, TornError, UnreadableError
from rmtsim.store.shards import VanishedError
from rmtsim.text.words import list_ranges


@dataclass(frozen=True)
class Finding:
    """A fault of a store.

    Attributes
    ----------
    kind
        ``torn``, ``unreadable``, ``foreign``, ``duplicated``, ``missing`` (a commit) or ``wrong``. Two more kinds are
        not damage: ``unfinished`` (draws and tables that are still to be made) and ``leftover`` (files of a process
        that was killed).
    what, advice
        Two halves of a sentence: what is wrong where, and what to do about it.
    """

    kind: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}; {self.advice}"


def unfinished_file(where: str) -> Finding:
    """Return the finding for a temporary file that a killed writer left."""
    advice = "if none writes now, nothing is lost, and the next writer removes it"
    return Finding("leftover", f"{where} is what a writer had begun when it was killed", advice)


def foreign_file(where: str) -> Finding:
    """Return the finding for a file that does not belong to a store."""
    return Finding("foreign", f"{where} is not a file of a store", "move it elsewhere")


def missing_commits(absent: Sequence[range]) -> list[Finding]:
    """Return the finding on commits that someone removed; none where there are none."""
    if not absent:
        return []
    count = sum(map(len, absent))
    what = f"{list_ranges('commit', absent)}, whose shard{' is' if count == 1 else 's are'} not there any more"
    it, its = ("it", "its") if count == 1 else ("them", "their")
    advice = f"bring {it} back from a copy, or run the specs again, which makes {its} draws"
    return [Finding("missing", what, advice)]


def finding_of(error: StoreError) -> Finding:
    """Return the finding for an error of a store."""
    unreadable = isinstance(error, UnreadableError | VanishedError)
    kind = "torn" if isinstance(error, TornError) else "unreadable" if unreadable else "foreign"
    what, _, advice = str(error).removeprefix("store: ").rpartition("; ")
    return Finding(kind, what, advice)
