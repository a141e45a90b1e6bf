"""What computes batches, as the runner sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from rmtsim.sweeps.batches import Batch, Result

#: So that no worker waits for the driver.
IN_FLIGHT_PER_WORKER = 2


@dataclass(frozen=True)
class Finished:
    """A batch that came back: with its result, or with the reason why there is none.

    ``lost`` tells that the worker is gone, which may be no fault of the batch.
    """

    batch: Batch
    result: Result | None
    reason: str = ""
    lost: bool = False


class Executor(Protocol):
    """Takes batches and gives back their results in the order in which they finish."""

    backend: str  #: what computes them, "numpy" or "cupy"

    @property
    def workers(self) -> int:
        """Workers that are at work now; on a cluster they join and leave."""

    @property
    def free(self) -> int:
        """How many more batches to submit now."""

    def submit(self, batch: Batch) -> None:
        """Take a batch in."""

    def next_done(self, timeout: float) -> list[Finished]:
        """Wait at most ``timeout`` seconds for a batch to come back; return all that have."""

    def awaited(self) -> dict[Batch, float]:
        """Return the batches that cannot be dropped, and for how many seconds each has been computed."""

    def drain(self, at_most: float) -> list[Finished]:
        """Drop what can be dropped; wait ``at_most`` so many seconds for what cannot, and return what came back."""


def reason(error: BaseException) -> str:
    """Return an error in a line."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()  # Ray colours its own
    return lines[0] if lines else "not enough memory" if isinstance(error, MemoryError) else type(error).__name__
