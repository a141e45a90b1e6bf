"""How far the theory is: said on stderr once it has taken a while, also in the midst of a value that takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rmtsim.cli.printing import print_message
from rmtsim.model.layers import WITH_DIAGONAL
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.words import number_of

if TYPE_CHECKING:
    import pandas as pd

#: Seconds before anything is said, and between two looks.
_AFTER, _LOOK_EVERY = 10.0, 0.5

#: Below so many dimensions a value of the linear model with cross-entropy takes a second or more.
_FEW_DIMENSIONS = 20


@contextmanager
def watched(
    what: str, total: int, unit: str, done: Callable[[], int] | None = None, *, after: float = _AFTER
) -> Iterator[CallProgress]:
    """Have a thread say every few seconds how far the work inside is.

    Parameters
    ----------
    what, total, unit
        As for `CallProgress`.
    done
        Returns how many are done; by default the work calls ``advance``.
    after
        Seconds before anything is said.
    """
    with CallProgress(what, total, unit, show=True, after=after) as progress:
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_LOOK_EVERY):
                if done is None:
                    progress.tick()
                else:
                    progress.advance(min(total, done()))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield progress
        finally:
            ended.set()
            thread.join()


@contextmanager
def theory_of(draws: pd.DataFrame) -> Iterator[None]:
    """Say how long the theory beside these draws takes, where that is noticeable, and how far it is."""
    from rmtsim.theory.disk_cache import answered

    kept = draws[(draws["loss"] == "ce") & draws["layer"].isin(WITH_DIAGONAL)]
    sizes = kept[["model", "n_classes", "dim", "width", *ENSEMBLE]].drop_duplicates()
    hidden = sizes[sizes["model"] == "one_hidden"]
    if hidden.empty and not (sizes["dim"] < _FEW_DIMENSIONS).any():
        yield
        return
    limits = len(hidden.drop(columns="dim").drop_duplicates())
    print_message(f"theory: cross-entropy takes up to a few seconds for each of {number_of(len(sizes), 'size')}, once")
    before = answered()
    with watched("theory", len(sizes) + limits, "values", lambda: answered() - before):
        yield
