"""Panels of the Hessian at the network's own scale, computed with arrays of order one (``rmtsim.kernels.scaling``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rmtsim.arrays.backend import Array, Module, namespace
from rmtsim.full_hessian.panels import Panel, offsets, panels
from rmtsim.full_hessian.propagation import propagate
from rmtsim.kernels.scaling import OutOfRange, Scaling, decimal, times_power
from rmtsim.model.activation import get_activation
from rmtsim.model.loss import get_loss

#: Above such logits rounding takes the digits of probabilities.
_LARGE_LOGIT = {"float32": 512.0, "float64": 1e12}

#: Largest entries of a part below this, or above its inverse, are not held with all digits, nor are their squares.
_LEAST = {"float32": 2.0**-100, "float64": 2.0**-480}


def restored_panels(
    X: Array,
    weights: Sequence[Array],
    y: Array,
    loss: str,
    scaling: Scaling,
    *,
    activation: str = "relu",
    squares: bool = False,
) -> Iterator[Panel]:
    """Yield what ``panels`` does for a network that ``scaling`` was taken out of, at the network's own scale.

    Parameters
    ----------
    X, weights, y, loss, scaling, activation
        As `rmtsim.kernels.scaling.scaled_network` returns them.
    squares
        Whether the squares of the entries are wanted too.

    Raises
    ------
    OutOfRange
        After the last panel, if the dtype does not hold the entries of a pair of layers.
    """
    xp, L, starts = namespace(X), len(weights), offsets(weights)
    powers = {(a, b): int(scaling.entry(a, b)) for a in range(L) for b in range(a, L)}
    if not any(powers.values()) and get_activation(activation).homogeneous:  # all is of order one
        yield from panels(X, weights, y, loss, activation)
        return
    largest = dict.fromkeys(powers, 0.0)
    for panel in panels(X, weights, y, loss, activation):
        a = panel.layer - 1
        for b in range(a, L):
            here = (slice(None), slice(max(starts[b], panel.start) - panel.start, starts[b + 1] - panel.start))
            part = panel.values[here]
            largest[a, b] = max(largest[a, b], float(xp.max(xp.abs(part))))
            panel.values[here] = times_power(part, np.int64(powers[a, b]), xp)
        yield panel
    dtype = "float32" if X.dtype == xp.float32 else "float64"
    for (a, b), size in largest.items():
        check_size(size, powers[a, b], dtype, f"layers {a + 1} and {b + 1}", squares=squares)


def check_size(size: float, power: int, dtype: str, what: str, *, squares: bool) -> None:
    """Raise OutOfRange if the largest entry, 2^power times ``size``, is not one that the dtype holds, if not 0."""
    info = np.finfo(dtype)
    least = np.log2(_LEAST[dtype]) if squares else info.minexp
    most = -least if squares else info.maxexp
    if not np.isfinite(size) or (size and not least < np.log2(size) + power < most):
        shown = f"about {decimal(size, power)}" if np.isfinite(size) else "infinite"
        raise OutOfRange(
            f"the largest entry of the Hessian of {what} is {shown}, "
            f"{'whose square ' if squares else 'which '}{dtype} does not hold; give X or the weights in other units"
        )


def check_certainty(
    X: Array, weights: Sequence[Array], loss: str, dtype: str, xp: Module, activation: str = "relu"
) -> None:
    """Raise OutOfRange if a loss whose curvature vanishes with certainty finds all samples certain.

    Rounding then takes all digits of the curvature.
    """
    seen = propagate(X, weights, xp, activation)
    met = xp.any(seen.inputs[-1] != 0, axis=-1)  # others are in no block of the last layer
    logits = seen.logits
    certainty = get_loss(loss).certainty(logits, dtype, xp)
    if certainty is None or not bool(xp.any(met)):
        return
    rest, least = certainty
    highest = float(xp.max(xp.abs(logits)))
    if highest > _LARGE_LOGIT[dtype] or float(xp.max(xp.where(met, rest, xp.zeros_like(rest)))) < least:
        raise OutOfRange(
            f"logits reach {highest:.3g} and leave all probability to one class, so rounding in {dtype} would take the "
            "digits of the Hessian; give smaller logits, or rmtsim.block_norms where there is at most one hidden layer"
        )
