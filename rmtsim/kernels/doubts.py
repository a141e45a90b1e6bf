"""Which draws need more care than most, as those with all probability in one class: asked at once, or at a wave's end.

To ask, the host has to wait for a GPU, for longer than a small draw takes. So there a wave of draws is made as most
of them need it, what tells the others is noted on the device, and comes back with the norms. The draws in doubt are
then made again, and asked about at once; or, where they are most, the whole wave is made with care, and nothing asked.
A draw has the same bits in all three ways, since what is made with care is taken for those draws alone that need it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.backend import Array, Module, to_numpy

#: Arrays that CuPy joins by a copy of each.
_AT_A_TIME = 8

#: What goes for a normal number of float64, with room on either side.
_NORMAL = 2.0**-1000, 2.0**1000


class Doubts:
    """Doubts that are asked about at once.

    Attributes
    ----------
    all_with_care
        Whether all is made with care that can be, with no question.
    """

    all_with_care = False

    def arise(self, flags: Array, xp: Module) -> bool:
        """Whether some draw is in doubt, for ``flags`` (draws, …): what is not in doubt may be made without care."""
        return bool(xp.any(flags))

    def outside(self, values: Array, xp: Module, *, above: float = -math.inf, below: float = math.inf) -> bool:
        """Whether some draw has one of the ``values`` (draws, …) outside of the interval, without its ends, or NaN."""
        return not bool(xp.all((values > above) & (values < below)))


#: Doubts of whoever has no others.
AT_ONCE = Doubts()


class NotedDoubts(Doubts):
    """Doubts that are noted on the device, and never said to arise: nothing waits for it."""

    def __init__(self) -> None:
        self._noted: list[tuple[Array, float, float, bool]] = []

    def arise(self, flags: Array, xp: Module) -> bool:
        """Note the draws in doubt, for ``flags`` (draws, …), and say that there are none."""
        of_draws = xp.any(flags, axis=tuple(range(1, flags.ndim))) if flags.ndim > 1 else flags
        self._noted.append((of_draws, -1.0, 0.5, False))
        return False

    def outside(self, values: Array, xp: Module, *, above: float = -math.inf, below: float = math.inf) -> bool:
        """Note the values, few for each draw, and say that all are inside."""
        self._noted.append((values, above, below, False))
        return False

    def powers(self, values: Array, e: int) -> None:
        """Note the values, few for each draw, that are wanted times 2^e: all but 0, NaN and what float64 then holds."""
        with np.errstate(over="ignore", under="ignore"):
            above, below = np.ldexp(_NORMAL, -e).tolist()
        self._noted.append((values, above, below, True))

    def fetch(self, values: Sequence[Array], xp: Module) -> tuple[list[npt.NDArray[np.float64]], npt.NDArray[np.bool_]]:
        """Bring ``values`` (draws,) to the host, and which draws are in doubt, in one piece."""
        wanted = {id(array): array for array in (*values, *(array for array, *_ in self._noted))}
        there = to_numpy(_joined([xp.reshape(array, (-1,)) for array in wanted.values()], xp))
        ends = np.cumsum([math.prod(array.shape) for array in wanted.values()])
        host = dict(zip(wanted, np.split(there.astype(np.float64), ends[:-1]), strict=True))
        found, doubtful = [host[id(array)] for array in values], np.zeros(values[0].shape, dtype=bool)
        for array, above, below, either in self._noted:
            of_draws = host[id(array)].reshape(len(doubtful), -1)
            size = np.abs(of_draws) if either else of_draws
            inside = (size > above) & (size < below)
            doubtful |= ~np.all(inside | (either & ((size == 0) | np.isnan(size))), axis=-1)
        return found, doubtful


def _joined(arrays: Sequence[Array], xp: Module) -> Array:
    """Return arrays (n,) as one, a few at a time: CuPy would send the addresses of more to the device."""
    parts = [xp.concat(arrays[k : k + _AT_A_TIME]) for k in range(0, len(arrays), _AT_A_TIME)]
    return parts[0] if len(parts) == 1 else _joined(parts, xp)


class CarefulDoubts(NotedDoubts):
    """Doubts of a wave that is made with care: only those are noted for which care is of no use."""

    all_with_care = True
