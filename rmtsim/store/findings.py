"""What can be wrong with a store."""

from __future__ import annotations

from dataclasses import dataclass

from rmtsim.store.failures import StoreError, TornError, UnreadableError
from rmtsim.store.shards import VanishedError


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes
    ----------
    kind
        ``torn``, ``unreadable``, ``foreign``, ``duplicated``, ``missing`` (a commit) or ``wrong``; or what is no
        damage: ``unfinished`` (draws and tables that are still to be made) and ``leftover`` (of a process that was
        killed).
    what, advice
        Half a sentence each: what is wrong where, and what to do about it.
    """

    kind: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}; {self.advice}"


def unfinished_file(where: str) -> Finding:
    """Return the finding that a temporary file was left by a writer."""
    advice = "if none writes now, nothing is lost, and the next writer removes it"
    return Finding("leftover", f"{where} is what a writer had begun when it was killed", advice)


def foreign_file(where: str) -> Finding:
    """Return the finding that a file is none that a store has."""
    return Finding("foreign", f"{where} is no file of a store", "move it elsewhere")


def finding_of(error: StoreError) -> Finding:
    """Return the finding that an error of a store tells of."""
    unreadable = isinstance(error, UnreadableError | VanishedError)
    kind = "torn" if isinstance(error, TornError) else "unreadable" if unreadable else "foreign"
    what, _, advice = str(error).removeprefix("store: ").rpartition("; ")
    return Finding(kind, what, advice)
