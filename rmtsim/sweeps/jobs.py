"""Jobs: what the one run loop gives to workers. A batch of draws is one, and so is a table.

`rmtsim.sweeps.loop` drives them: a `Scheduler` says which job comes next, an `Executor` computes it, and a `Committer`
brings the result into the store.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Job(Protocol):
    """A piece of work that can be sent to another process; equal jobs have equal results."""

    def compute(self, stopping: Callable[[], bool]) -> Any:
        """Return the result. A job that saves its state ends with StoppedError once ``stopping`` returns true."""
        ...

    def within(self, memory: float) -> Job:
        """Return the same job for a worker that has ``memory`` bytes, if none were set aside for it yet."""
        ...

    def document(self) -> dict[str, Any]:
        """Return what identifies the job, as plain data."""
        ...


@dataclass(frozen=True)
class Place:
    """Where a worker of a cluster is.

    Attributes
    ----------
    node, host, ip, pid
        Its node, as Ray names it, its host, and its process.
    gpu
        The number of its GPU on the node; "" for none.
    machine
        What the last digits of its results depend on: libraries, processor or GPU.
    """

    node: str
    host: str
    ip: str
    pid: int
    gpu: str = ""
    machine: str = ""

    def __str__(self) -> str:
        gpu = f", GPU {self.gpu}" if self.gpu else ""
        return f"{self.host} ({self.ip}, process {self.pid}{gpu})"


@dataclass(frozen=True)
class Finished:
    """A job that came back, with its result or with the reason why there is none.

    ``lost`` is true if its worker is gone, for which the job may not be to blame; ``place`` is where a result was
    computed on a cluster.
    """

    job: Any
    result: Any
    reason: str = ""
    lost: bool = False
    place: Place | None = None


@dataclass(frozen=True)
class Failure:
    """A job that was given up after ``attempts`` attempts, with the reason of the last one."""

    job: Any
    reason: str
    attempts: int

    def __str__(self) -> str:
        return f"{self.job} failed {self.attempts} times: {self.reason}"

    def document(self) -> dict[str, Any]:
        """Return it as plain data: what identifies the job, and why it was given up."""
        return {**self.job.document(), "attempts": self.attempts, "reason": self.reason, "message": str(self)}


class Executor(Protocol):
    """Takes jobs and gives back their results in the order in which they finish."""

    backend: str  #: what computes them, "numpy" or "cupy"

    @property
    def workers(self) -> int:
        """Workers that are at work now; on a cluster they join and leave."""

    @property
    def free(self) -> int:
        """How many more jobs to submit now."""

    def submit(self, job: Any) -> None:
        """Take a job in."""

    def next_done(self, timeout: float) -> list[Finished]:
        """Wait at most ``timeout`` seconds for a job to come back; return all that have."""

    def overdue(self, limit: Callable[[Any], float]) -> list[Finished]:
        """End the workers that have computed a job for longer than ``limit`` of it, in seconds; return their jobs."""

    def awaited(self) -> dict[Any, float]:
        """Return the jobs that cannot be dropped, and for how many seconds each has been computed."""

    def drain(self, at_most: float) -> list[Finished]:
        """Drop the jobs that can be dropped; wait at most ``at_most`` seconds for the others, and return these."""


class Committer(Protocol):
    """Brings results into a store.

    Attributes
    ----------
    done
        Draws or tables that were committed.
    """

    done: int

    def add(self, job: Any, result: Any) -> None:
        """Take a result in; it counts as done only when it is committed."""

    def commit(self) -> None:
        """Write what was taken in. What fails, or is interrupted, is not tried again: it may be there."""


def never() -> bool:
    """Return false: the answer of one who never asks a job to stop."""
    return False


def error_line(error: BaseException) -> str:
    """Return an error in a line."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()  # Ray colours its own
    return lines[0] if lines else "not enough memory" if isinstance(error, MemoryError) else type(error).__name__
