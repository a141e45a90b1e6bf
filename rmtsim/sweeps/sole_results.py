"""Who alone has computed which draws of a run, so that they can be taken out again if it computes wrongly."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable

import numpy as np

from rmtsim.store.coverage import Coverage, RangeSet, Series
from rmtsim.sweeps.batches import Batch
from rmtsim.sweeps.jobs import Place

_log = logging.getLogger(__name__)

#: Batches of which it is noted who computed them: 200 MB, or nine hours of a thousand workers at two seconds a batch.
_MOST = 2**24


class SoleResults:
    """The draws that each place alone has computed, in 12 bytes a batch and in bounded memory.

    Where there are more than ``most`` batches, it is forgotten who computed the earlier ones; from then on they count
    as of everyone.

    Parameters
    ----------
    most
        Batches that are noted.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most, self._count = most, 0
        self._numbers: dict[Place, int] = {}
        # Of each point, seed and layers: first draw, draw after the last, number of the place; one batch after another.
        self._batches: dict[tuple[str, int, tuple[str, ...]], array[int]] = {}
        self._of_anyone = Coverage()

    def add(self, batch: Batch, place: Place) -> None:
        """Note that a place alone has computed a batch."""
        if self._count >= self._most:
            _log.warning(
                "run: audit: it is not noted any longer who computed the batches before this one; should a node "
                "compute wrongly, all of these are made again"
            )
            self._of_anyone, self._batches, self._count = self.take(lambda _: True), {}, 0
        number = self._numbers.setdefault(place, len(self._numbers))
        series = batch.point.id, batch.seed, tuple(batch.layers)
        self._batches.setdefault(series, array("I")).extend((batch.draws.start, batch.draws.stop, number))
        self._count += 1

    def take(self, is_theirs: Callable[[Place], bool]) -> Coverage:
        """Return the draws of some places, and those of which it is not known whose they are; forget them."""
        taken, self._of_anyone = self._of_anyone, Coverage()
        theirs = [number for place, number in self._numbers.items() if is_theirs(place)]
        for (point_id, seed, layers), noted in self._batches.items():
            rows = np.array(noted, dtype=np.uint32).reshape(-1, 3)
            chosen = np.isin(rows[:, 2], theirs)
            for start, stop, _ in rows[chosen].tolist():
                for layer in layers:
                    taken.setdefault(Series(point_id, seed, layer), RangeSet()).add(range(start, stop))
            if chosen.any():
                self._batches[point_id, seed, layers] = array("I", rows[~chosen].tobytes())
                self._count -= int(chosen.sum())
        return taken
