"""A store without what is damaged in it, for those who show the rest and say what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rmtsim.errors import InputError
from rmtsim.store.commits import Commits, read_commits
from rmtsim.store.failures import StoreError, transient
from rmtsim.store.findings import Finding, finding_of, missing_commits
from rmtsim.store.shard_names import commit_number
from rmtsim.store.shards import Shard, VanishedError
from rmtsim.store.store import Store

_Result = TypeVar("_Result")


class SoundStore(Store):
    """A store as another shows it, without the shards and the specs that cannot be read.

    Parameters
    ----------
    store
        The store.
    is_sweep
        Returns whether a document of the store is the spec of a sweep; raises InputError if it should be and is not.

    Attributes
    ----------
    findings
        What was left out, and why; `read` and `specs` add to it.
    """

    def __init__(self, store: Store, is_sweep: Callable[[Mapping[str, Any]], bool]) -> None:
        vars(self).update(vars(store))  # its files, and what it knows of them
        self._is_sweep = is_sweep
        self._left_out: dict[str, Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        """What was left out, and why, by name."""
        return [self._left_out[name] for name in sorted(self._left_out)]

    def listed(self) -> list[Shard]:
        """Return the shards that are not known to be damaged, in commit order."""
        return [shard for shard in super().listed() if shard.path not in self._left_out]

    def specs(self) -> list[dict[str, Any]]:
        """Return the specs of sweeps that can be read, sorted by name."""
        documents = []
        for name in self.spec_files():
            path = f"sweeps/{name}"
            try:
                document = self.spec(name)
                if self._is_sweep(document):
                    documents.append(document)
            except StoreError as error:
                if transient(error):
                    raise
                self._left_out[path] = finding_of(error)
            except InputError as error:
                what = f"{self.files.where(path)} is not a valid spec ({error})"
                self._left_out[path] = Finding("torn", what, "remove it and run its spec again")
        return sorted(documents, key=lambda document: str(document["name"]))

    def reading(self, work: Callable[[], _Result]) -> _Result:
        """Return what ``work`` makes of the store, without what turns out to be damaged: it is then done again.

        Raises
        ------
        StoreError
            If nothing is damaged and it fails all the same, as where a server does not answer or rows stand twice.
        """
        while True:
            try:
                return work()
            except VanishedError as error:  # compaction has put others in its place meanwhile
                self.check_vanished(error)
            except StoreError as error:
                if transient(error) or not self._leave_out_damaged():
                    raise

    def _leave_out_damaged(self) -> bool:
        """Read every shard to its last row; return whether any cannot be read that was not known."""
        before = len(self._left_out)
        for shard in self.listed():
            try:
                with shard.open() as opened:
                    for _ in opened.pieces():
                        pass
                    _ = opened.replaces
            except StoreError as error:
                if transient(error):
                    raise
                self._left_out[shard.path] = finding_of(error)
        return len(self._left_out) > before

    def note_missing(self, replaced: Mapping[str, str]) -> None:
        """Add to the findings the commits whose shards someone removed; ``replaced`` has those of compactions."""
        try:
            commits = read_commits(self.files)
        except StoreError as error:
            self._left_out["commits.json"] = finding_of(error)
            return
        names = {shard.name for shard in super().listed()}
        last = max([commits.last, *map(commit_number, names)])
        for finding in missing_commits(Commits(last, commits.gone).absent({*names, *replaced})):
            self._left_out["commits.json"] = finding
