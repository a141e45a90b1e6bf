"""A task: one table to compute, and the checkpoint at which it goes on after it was stopped or killed.

Nothing here knows where tables and checkpoints are kept: the store provides that (`rmtsim.store.saved_files`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rmtsim.errors import StoppedError

if TYPE_CHECKING:
    import pandas as pd


def _never() -> bool:
    return False


class Checkpoint:
    """State that a task saves while it computes, and the request to stop.

    Parameters
    ----------
    kept
        Where the state is kept, by name; by default in this object, which outlasts no process.
    stopping
        Returns whether the task should save its state and end.
    """

    def __init__(self, kept: MutableMapping[str, bytes] | None = None, stopping: Callable[[], bool] = _never) -> None:
        self._kept = {} if kept is None else kept
        self._stopping = stopping

    @property
    def stopping(self) -> bool:
        """Whether the task should save its state and end."""
        return self._stopping()

    def check(self) -> None:
        """Raise StoppedError if the task should end; what it has is saved by then."""
        if self.stopping:
            raise StoppedError

    def load(self, name: str) -> bytes | None:
        """Return what was saved under a name, or None.

        Raises
        ------
        RunError
            If the file of this name holds something else, or cannot be read.
        """
        return self._kept.get(name)

    def save(self, name: str, data: bytes) -> None:
        """Save under a name, in place of what was there."""
        self._kept[name] = data

    def clear(self) -> None:
        """Remove everything that was saved."""
        self._kept.clear()


@dataclass(frozen=True)
class Task:
    """One table to compute.

    Parameters
    ----------
    label
        Identifies the table for a reader of its folder; part of the file's name.
    parameters
        Everything that the table is a function of, as JSON takes it.
    compute
        Returns the table.
    cost
        Relative time; the costliest tasks start first.
    resumable
        If true, ``compute`` receives a `Checkpoint`.
    memory
        Bytes that computing holds at its peak, Python included; 0 if that is not known.
    warm_up
        Does, before the time is taken, what takes a process long once alone; None if nothing does.
    """

    label: str
    parameters: Mapping[str, Any]
    compute: Callable[..., pd.DataFrame]
    cost: float = 1.0
    resumable: bool = False
    memory: int = 0
    warm_up: Callable[[], object] | None = None

    def table(self, checkpoint: Checkpoint | None = None) -> pd.DataFrame:
        """Compute the table; a resumable task goes on from the checkpoint."""
        return self.compute(checkpoint or Checkpoint()) if self.resumable else self.compute()
