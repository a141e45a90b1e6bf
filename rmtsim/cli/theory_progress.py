"""Progress of the theory, shown on stderr once it has taken a while, also within a value that takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rmtsim.arrays.threads import ThreadTeam, cores, single_threaded_blas
from rmtsim.cli.printing import print_message
from rmtsim.model.choices import LOSSES
from rmtsim.model.layers import WITH_DIAGONAL
from rmtsim.model.loss import get_loss
from rmtsim.sampling.schema import ENSEMBLE
from rmtsim.text.call_progress import CallProgress
from rmtsim.text.words import number_of

if TYPE_CHECKING:
    import pandas as pd

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
def show_theory_progress(draws: pd.DataFrame, then: str, *, with_limits: bool = True) -> Iterator[None]:
    """Announce how long the theory for these draws takes, where that is noticeable, and show its progress.

    Parameters
    ----------
    draws
        The draws, with the store's columns.
    then
        What is done when all values are there, such as ``"the figure is drawn"``.
    with_limits
        Whether the limits d, N → ∞ are asked for, too.
    """
    from rmtsim.theory.disk_cache import answered, at_work

    softmax = [name for name in LOSSES if get_loss(name).softmax]
    kept = draws[draws["loss"].isin(softmax) & draws["layer"].isin(WITH_DIAGONAL)]
    sizes = kept[["model", "n_classes", "dim", "width", *ENSEMBLE]].drop_duplicates()
    hidden = sizes[sizes["width"].notna()]
    if hidden.empty and not (sizes["dim"] < _FEW_DIMENSIONS).any():
        yield
        return
    limits = len(hidden.drop(columns="dim").drop_duplicates()) if with_limits else 0
    print_message(f"theory: cross-entropy takes seconds for each of {number_of(len(sizes), 'size')}, once")
    before, total = answered(), len(sizes) + limits

    def done() -> int:
        return answered() - before

    def doing() -> str:
        if size := at_work():
            more = f"{number_of(done() - total, 'value')} more for its curves, " if done() > total else ""
            return f"{more}now {_in_words(size)}"
        return f"now {then}" if done() >= total else ""

    with show_progress("theory", total, "values", done, doing):
        _find(kept, with_limits=with_limits)
        yield


def _find(draws: pd.DataFrame, *, with_limits: bool) -> None:
    """Find the values that take long on all cores; figures and verdicts, which ask for them again, have them then.

    A size and its limit d → ∞ are found one after the other: they share tables.
    """
    from rmtsim.stats.predictions import plain, predict_layer
    from rmtsim.theory import finite, limit

    size = ["model", "loss", "n_classes", "width", *ENSEMBLE]
    one_each = draws[[*size, "dim", "layer", "n_samples", "aspect_ratio"]].drop_duplicates([*size, "dim", "layer"])

    def find(rows: list[tuple[Any, ...]]) -> None:
        for row in rows:
            model, loss, C, width, *ensemble, dim, layer, n_samples, _ = row
            predict_layer(layer, finite, ensemble, model, loss, C, dim, n_samples, width)
        if with_limits:
            model, loss, C, width, *ensemble, _, layer, _, aspect_ratio = rows[0]
            predict_layer(layer, limit, ensemble, model, loss, C, aspect_ratio, width)

    # With few classes the integrals vary more and take longer: those first, so that all cores end at about one time.
    together = one_each.sort_values("n_classes", kind="stable").groupby(size, dropna=False, sort=False)
    jobs = [[plain(row) for row in rows.itertuples(index=False, name=None)] for _, rows in together]
    with single_threaded_blas(), ThreadTeam(cores()) as team:
        team.map(find, jobs)


def _in_words(size: Mapping[str, Any]) -> str:
    """Return the sizes that a value of the theory belongs to."""
    symbols = {"n_classes": "C", "dim": "d", "width": "m"}
    return ", ".join(
        "d, N → ∞" if name == "dim" and size[name] is None else f"{symbol} = {size[name]}"
        for name, symbol in symbols.items()
        if name in size
    )
