"""Progress of the theory, shown on stderr once it has taken a while, also within a value that takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rmtsim.arrays.threads import ThreadTeam, cores, single_threaded_blas
from rmtsim.cli.printing import print_message
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.sizes import format_count

if TYPE_CHECKING:
    from rmtsim.stats.slow_values import SlowValue, SlowValues

#: Seconds before anything is shown, and between two updates.
_AFTER, _LOOK_EVERY = 10.0, 0.5

#: Below this dimension a value of the linear model with cross-entropy takes a second or more.
_FEW_DIMENSIONS = 20


@contextmanager
def show_progress(
    what: str,
    total: int,
    unit: str,
    done: Callable[[], int] | None = None,
    doing: Callable[[], str] = str,
    *,
    after: float = _AFTER,
) -> Iterator[CallProgress]:
    """Show every few seconds, from a thread, how far the work inside is.

    Parameters
    ----------
    what, total, unit
        As for `CallProgress`.
    done
        Returns the number of parts that are done; by default the work calls ``advance``.
    doing
        Returns what is being done now, if that is known.
    after
        Seconds before anything is shown.
    """
    with CallProgress(what, total, unit, show=True, after=after) as progress:
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_LOOK_EVERY):
                if done is None:
                    progress.tick()
                else:
                    progress.advance(min(total, done()), doing())

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield progress
        finally:
            ended.set()
            thread.join()


@contextmanager
def show_theory_progress(values: SlowValues, then: str) -> Iterator[None]:
    """Find values of the theory on all cores, so that what is done inside has them; show the progress where it is slow.

    Parameters
    ----------
    values
        All that are asked for inside.
    then
        What is done when they are there, such as ``"drawing the figure"``: said once, if progress was shown.
    """
    from rmtsim.theory.disk_cache import at_work

    slow = [value for value in values if value.width is not None or (value.dim or 0) < _FEW_DIMENSIONS]
    if slow:
        of_each = "one value" if len(slow) == 1 else f"each of {format_count(len(slow))} values"
        print_message(f"theory: cross-entropy takes a second or more for {of_each}, once")
    found: list[SlowValue] = []

    def doing() -> str:
        return f"now {_in_words(size)}" if (size := at_work()) else ""

    def find(some: list[SlowValue]) -> None:
        for value in some:
            value.find(values[value])
            found.append(value)

    if values:
        shown = show_progress("theory", len(values), "values", lambda: len(found), doing)
        with shown as progress, single_threaded_blas(), ThreadTeam(cores()) as team:
            team.map(find, _jobs(values))
        if progress.was_shown:
            print_message(then)
    yield


def _jobs(values: SlowValues) -> list[list[SlowValue]]:
    """Return values together that share tables, as a size and its limit d → ∞ do."""
    jobs: dict[tuple[Any, ...], list[SlowValue]] = {}
    # With few classes the integrals vary more and take longer: those first, so that all cores end at about one time.
    for value in sorted(values, key=lambda value: value.n_classes):
        jobs.setdefault(value.of_one_table, []).append(value)
    return list(jobs.values())


def _in_words(size: Mapping[str, Any]) -> str:
    """Return the sizes that a value of the theory belongs to."""
    symbols = {"n_classes": "C", "dim": "d", "width": "m"}
    return ", ".join(
        "d, N → ∞" if name == "dim" and size[name] is None else f"{symbol} = {size[name]}"
        for name, symbol in symbols.items()
        if name in size
    )
