"""The stopping rule: whether a point has enough draws is decided on prefixes of them, at fixed checkpoints.

A point ends at the first checkpoint where its relative standard error is at most the target, and at most
`TRUSTED_RSE`: a larger one, from fewer draws, is itself too uncertain, and is small where the mean happens to be low,
so that to stop on it would choose low means. As long as it is larger, checkpoints are few, for the same reason. Nothing
waits for a sample that looks calm, with a light tail: it looks calm where its large draws are missing, and its mean is
low.

The decision depends on draws 0 … n − 1 alone, added up in their order, and not on timing, workers, batches or other
draws of the store, so that a sweep always ends with the same draws. ``python -m benchmarks --only stopping`` measures
what it keeps: coverage and cost beside those of other rules.
"""

from __future__ import annotations

import math

from rmtsim.sweeps.spec import Sampling
from rmtsim.text.sizes import format_share

#: Larger relative standard errors are not trusted, whatever the target.
TRUSTED_RSE = 0.05

#: A checkpoint has half as many draws again as the one before: few decisions, little overshoot. It has three times as
#: many as long as the standard error is not trusted.
_GROWTH, _GROWTH_IN_DOUBT = 1.5, 3


def aim(sampling: Sampling) -> float:
    """Return the relative standard error at which a point may end: the target, where that can be trusted."""
    return min(sampling.target_rse, TRUSTED_RSE)


def beside(precision: tuple[float, str], sampling: Sampling, finished: bool) -> str:
    """Return the largest relative standard error, of the quantity that has it, beside what it is to be, in words.

    A point that has not ended is to come to `aim`.
    """
    (rse, quantity), target = precision, sampling.target_rse if finished else aim(sampling)
    return f"{quantity} rse {format_share(rse)} {'≤' if rse <= target else '>'} {format_share(target)}"


def next_checkpoint(count: int, sampling: Sampling, *, trusted: bool) -> int:
    """Return the number of draws at which to decide next, after ``count``; checkpoints end at max_draws.

    ``trusted`` says whether the precision was trusted after ``count`` draws.
    """
    if count < sampling.min_draws:
        return sampling.min_draws
    return min(sampling.max_draws, math.ceil((_GROWTH if trusted else _GROWTH_IN_DOUBT) * count))


def checkpoint_from(draws: float, sampling: Sampling, start: int = 0) -> int:
    """Return the checkpoint at which a point ends whose relative standard error is the target after ``draws`` draws.

    Its relative standard error falls as 1/√n. The checkpoints go on from ``start``.
    """
    count = max(start, sampling.min_draws)
    for_trust = draws * (sampling.target_rse / TRUSTED_RSE) ** 2
    while count < max(draws, for_trust) and count < sampling.max_draws:
        count = next_checkpoint(count, sampling, trusted=count >= for_trust)
    return count
