"""Times of calls: medians of repeats, with their spread."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

#: What the columns of a table with times hold, for its heading.
SPREAD = "Times are medians of the repeats; spread is their interquartile range over the median."


@dataclass(frozen=True)
class Timing:
    """Seconds of the repeats of one piece of work.

    Attributes
    ----------
    seconds
        Median.
    spread
        Interquartile range over the median.
    repeats
        How many repeats there were.
    """

    seconds: float
    spread: float
    repeats: int

    @classmethod
    def of(cls, times: list[float]) -> Timing:
        """Sum up the times of the repeats."""
        low, middle, high = np.quantile(times, (0.25, 0.5, 0.75))
        return cls(float(middle), float((high - low) / middle), len(times))

    def columns(self, unit: str = "ms", what: str = "") -> dict[str, float | int]:
        """Return the columns of a table, the median in ``unit``: ms or s."""
        factor = {"ms": 1e3, "s": 1.0}[unit]
        return {
            f"{what}{unit}": factor * self.seconds,
            f"{what}spread_percent": 100 * self.spread,
            "repeats": self.repeats,
        }


def interleaved(
    works: Mapping[str, Callable[[], Any]], repeats: int, *, per_call: Mapping[str, int] | None = None
) -> dict[str, Timing]:
    """Time several works in turn, ``repeats`` rounds of all: what slows the machine for a while slows all of them.

    Parameters
    ----------
    works
        Name → work. Each is called once before, to warm up.
    repeats
        Rounds.
    per_call
        Name → how many units (draws, say) a call does; times are per unit. One where it is not given.
    """
    counts = per_call or {}
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(elapsed(work) / counts.get(name, 1))
    return {name: Timing.of(found) for name, found in times.items()}


def timed(work: Callable[[], Any], *, least: int = 3, most: int = 15, enough: float = 0.5) -> Timing:
    """Time one work: ``least`` repeats, and up to ``most`` of them until they took ``enough`` seconds together."""
    first = elapsed(work)
    times = [first] if first > enough else []  # a short one counts as a warm-up
    while len(times) < least or (len(times) < most and sum(times) < enough):
        times.append(elapsed(work))
    return Timing.of(times)


def elapsed(work: Callable[[], Any]) -> float:
    """Seconds of one call; what it returns is freed outside of them."""
    gc.collect()
    start = time.perf_counter()
    kept = work()
    seconds = time.perf_counter() - start
    del kept
    return seconds
