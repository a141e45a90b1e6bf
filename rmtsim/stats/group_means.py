"""Means of groups of draws, one for each point and layer: groups of as many draws are averaged together."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rmtsim.stats.estimates import Estimates, effective_draws, mean_estimates, ratio_estimates, skewness
from rmtsim.stats.pooling import (
    Numbers,
    Values,
    pooled_effective_draws,
    pooled_mean,
    pooled_ratio,
    relative_deviations,
    relative_deviations_of_ratio,
)
from rmtsim.stats.tails import heavy_tail

Flags = npt.NDArray[np.bool_]

#: The measured quantities of a layer.
QUANTITIES = ("diag", "offdiag", "ratio")

#: Relative error granted to the arithmetic of draws: means in float32 err by under 1e-5, unless logits are large
#: (`rmtsim.simulate`). It matters only where they do not scatter at all, as the ratio at C = 2, which is 1, and whose
#: two norms share the error of large logits.
ROUNDING = 1e-5

#: Most draws that are averaged together, unless a group has more.
_AT_ONCE = 1 << 18


class Groups(NamedTuple):
    """Draws that are sorted by group, and where these pool several numbers of last layers by seed and draw.

    Attributes
    ----------
    starts
        The place of the first draw of each group, and the number of draws, (groups + 1,).
    diag, offdiag, diag_error, offdiag_error
        The norms of each draw, and their own standard errors, (draws,).
    weights_per_draw
        The last layers of each draw, (draws,).
    fixed
        For each group, the quantities that its model fixes, with their values.
    """

    starts: Numbers
    diag: Values
    offdiag: Values
    diag_error: Values
    offdiag_error: Values
    weights_per_draw: Numbers
    fixed: Sequence[Mapping[str, float]]


class GroupMeans(NamedTuple):
    """What draws tell of each group; of each quantity in the order of `QUANTITIES`, (groups, 3).

    Attributes
    ----------
    effective_draws
        The number of exact draws that would be as precise, (groups,).
    value, std_error, skewness, heavy_tail
        The estimates, and the shapes of the draws.
    """

    effective_draws: Values
    value: Values
    std_error: Values
    skewness: Values
    heavy_tail: Flags


def group_means(groups: Groups) -> GroupMeans:
    """Average the draws of each group."""
    count = len(groups.starts) - 1
    shape = (count, len(QUANTITIES))
    found = GroupMeans(np.empty(count), np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape, dtype=bool))
    for some in _batches(groups):
        for column, part in zip(found, _means(groups, some), strict=True):
            column[some] = part
    return found


def _batches(groups: Groups) -> Iterator[Numbers]:
    """Yield groups that have as many draws and all the same number of last layers; those that pool several, alone."""
    sizes = np.diff(groups.starts)
    least, most = (of.reduceat(groups.weights_per_draw, groups.starts[:-1]) for of in (np.minimum, np.maximum))
    for k in np.flatnonzero(least < most):
        yield np.array([k])
    alike = np.flatnonzero(least == most)
    for size in np.unique(sizes[alike]):
        some = alike[sizes[alike] == size]
        step = max(1, _AT_ONCE // int(size))
        yield from (some[k : k + step] for k in range(0, len(some), step))


def _means(groups: Groups, some: Numbers) -> GroupMeans:
    """Return the means of some groups; see `_batches`."""
    draws = groups.starts[some, None] + np.arange(groups.starts[some[0] + 1] - groups.starts[some[0]])
    diag, offdiag, *errors = (column[draws] for column in groups[1:5])
    weights, fixed = groups.weights_per_draw[draws[0]], [groups.fixed[k] for k in some]
    are_fixed = [np.array([name in of for of in fixed]) for name in QUANTITIES]
    if len(np.unique(weights)) < 2:
        effective = [effective_draws(x, error) for x, error in zip((diag, offdiag), errors, strict=True)]
        means = [mean_estimates(x, are) for x, are in zip((diag, offdiag), are_fixed, strict=False)]
        means.append(ratio_estimates(offdiag, diag, are_fixed[2]))
        deviations = [relative_deviations(x, weights) for x in (diag, offdiag)]
        deviations.append(relative_deviations_of_ratio(offdiag, diag, weights))
    else:  # this is one group
        alone = [(diag[0], errors[0][0]), (offdiag[0], errors[1][0])]
        effective = [np.array([pooled_effective_draws(x, error, weights)]) for x, error in alone]
        flags = [bool(are[0]) for are in are_fixed]
        found = [pooled_mean(x, weights, fixed=flag) for (x, _), flag in zip(alone, flags, strict=False)]
        found.append(pooled_ratio(offdiag[0], diag[0], weights, fixed=flags[2]))
        means = [Estimates(np.array([one.value]), np.array([one.std_error])) for one in found]
        deviations = [relative_deviations(x, weights)[None] for x, _ in alone]
        deviations.append(relative_deviations_of_ratio(offdiag[0], diag[0], weights)[None])
    means[2] = _with_fixed(means[2], diag, offdiag, np.array([of.get("ratio", math.nan) for of in fixed]))
    value, std_error = (np.stack(columns, axis=1) for columns in zip(*means, strict=True))
    skew = np.stack([skewness(of) for of in deviations], axis=1)
    heavy = np.stack([heavy_tail(of) for of in deviations], axis=1)
    skew = np.where(std_error > 0, skew, np.where(std_error == 0, 0.0, math.nan))  # not known where the spread is not
    return GroupMeans(np.minimum(*effective), value, std_error, skew, heavy)


def _with_fixed(ratio: Estimates, diag: Values, offdiag: Values, fixed: Values) -> Estimates:
    """Return ratios of means; those that the model fixes, NaN elsewhere, without errors where all draws have them."""
    off = np.abs(offdiag - fixed[:, None] * diag)
    all_have_it = np.all(off <= ROUNDING * np.abs(diag), axis=1)
    known = np.any(diag != 0, axis=1) & (diag.shape[1] > 1)
    value, std_error = np.where(known, fixed, math.nan), np.where(known, 0.0, math.nan)
    return Estimates(np.where(all_have_it, value, ratio.value), np.where(all_have_it, std_error, ratio.std_error))
