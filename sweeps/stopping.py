"""When a point has enough draws: decided on prefixes of the draws, at checkpoints fixed beforehand.

The decision sees draws 0 … n − 1 in order and nothing of timing, workers or what else the store holds, so a sweep ends
with the same draws however it went.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rmtsim.estimates import Estimate, Values, mean_estimate, ratio_estimate
from sweeps.spec import Sampling

#: A checkpoint has half as many draws again as the one before: few decisions, little overshoot.
_GROWTH = 1.5


def checkpoints(sampling: Sampling) -> list[int]:
    """Return the numbers of draws at which to decide, from min_draws to max_draws."""
    counts = [sampling.min_draws]
    while counts[-1] < sampling.max_draws:
        counts.append(min(sampling.max_draws, math.ceil(_GROWTH * counts[-1])))
    return counts


def layer_estimates(diag: Values, offdiag: Values) -> dict[str, Estimate]:
    """Estimates of diag, offdiag and their ratio of one layer, leaving out what the layer does not have."""
    has_diag, has_off = not np.isnan(diag).all(), not np.isnan(offdiag).all()
    estimates = {}
    if has_diag:
        estimates["diag"] = mean_estimate(diag)
    if has_off:
        estimates["offdiag"] = mean_estimate(offdiag)
    if has_diag and has_off and np.any(diag):
        estimates["ratio"] = ratio_estimate(offdiag, diag)
    return estimates


def worst(layers: Mapping[str, tuple[Values, Values]]) -> tuple[float, str]:
    """Return the largest relative standard error over all layers and quantities, and which it is."""
    errors = [
        (estimate.rse, f"{layer} {quantity}")
        for layer, (diag, offdiag) in layers.items()
        for quantity, estimate in layer_estimates(diag, offdiag).items()
    ]
    return max(errors, default=(0.0, "nothing to measure"))


def draws_wanted(layers: Mapping[str, tuple[Values, Values]], available: int, sampling: Sampling) -> int:
    """Return the number of draws that the point needs, as far as its first ``available`` draws can tell.

    Parameters
    ----------
    layers
        Layer → (diag, offdiag) of draws 0 … available − 1, in order.
    available
        How many draws there are without a gap from draw 0.
    sampling
        Target and limits.

    Returns
    -------
    int
        The checkpoint at which the point is finished, if that is at most ``available``; else the next one to reach.
    """
    for count in checkpoints(sampling):
        if count > available:
            return count
        prefix = {layer: (diag[:count], offdiag[:count]) for layer, (diag, offdiag) in layers.items()}
        if worst(prefix)[0] <= sampling.target_rse:
            return count
    return sampling.max_draws
