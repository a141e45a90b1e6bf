"""Checks that a dtype holds the terms of a draw's norms: a norm is finite, and zero only if it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rmtsim.arrays.backend import Array, Module
from rmtsim.kernels.doubts import AT_ONCE, Doubts
from rmtsim.kernels.scaling import OutOfRange
from rmtsim.model.loss import get_loss

#: Sums below this, of arrays of order one, may have lost terms below the dtype's range.
_LOST = {"float32": 2.0**-80, "float64": 2.0**-900}

#: Logits above this are refused in float32.
_LARGE_LOGIT = 512.0

#: Where less than this is left of a minuend, its difference has lost two digits.
_DOMINATED = 0.01

#: In float32 that is one too many, of draws with |logits| above 8. Others are made as before such draws were looked at.
_DOMINATED_FLOAT32, _USUAL_LOGIT = 0.1, 8.0


def most_cancelled(largest_logits: Array, xp: Module) -> Any:
    """Return for each draw the share of a minuend below which a difference has lost too many digits of its dtype.

    ``largest_logits``, those of each draw, have the dtype of the arithmetic.
    """
    if largest_logits.dtype != xp.float32:
        return _DOMINATED
    # In two launches of a GPU: it rises to its highest within a tenth above the usual logits.
    return xp.clip(largest_logits - (_USUAL_LOGIT - _DOMINATED), _DOMINATED, _DOMINATED_FLOAT32)


class PrecisionCheck(NamedTuple):
    """A check of norms, and how strict it is.

    With ``careful`` it rejects norms that have lost digits, for callers that can compute again in float64; otherwise it
    rejects only those that have lost all of them. Where `doubts` are but noted, draws in doubt are not rejected yet.
    """

    dtype: str
    loss: str
    careful: bool = False
    doubts: Doubts = AT_ONCE

    def logits(self, sizes: Callable[[], Array], xp: Module) -> None:
        """Raise OutOfRange if float32 is too coarse for the largest logits of each draw, ``sizes`` (draws, …)."""
        if self.dtype != "float32" or not self.doubts.outside(found := sizes(), xp, below=_LARGE_LOGIT):
            return
        if bool(xp.any(found > _LARGE_LOGIT)):
            raise OutOfRange(f"logits reach {float(xp.max(found)):.3g}, too much for float32")

    def norm(self, value: Array, terms: float, what: str, positive: Callable[[], Array], xp: Module) -> None:
        """Raise OutOfRange unless the mean squared norms, one for each draw, are finite and as good as they look.

        Parameters
        ----------
        value, terms
            Means, and the number of terms of the sums behind them.
        what
            Words for messages.
        positive
            Gives for each draw whether its norm is above zero by law; asked only where one looks too small.
        """
        least = _LOST[self.dtype] if self.careful else 0.0
        if not self.doubts.outside(value, xp, above=2 * least / terms):
            return
        if not bool(xp.all(xp.isfinite(value))):
            raise OutOfRange(f"{what} is above what {self.dtype} holds; give X or the weights in other units")
        small = xp.abs(value) * terms <= least
        if bool(xp.any(small)) and bool(xp.any(small & positive())):
            softmax = get_loss(self.loss).softmax
            why = "all probability is in one class" if softmax else "the sizes of entries differ beyond measure"
            wanted = "smaller logits: X or V" if softmax else "X or the weights"
            raise OutOfRange(f"{what} is below what {self.dtype} holds, for {why}; give {wanted} in other units")
