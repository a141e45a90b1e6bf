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
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rmtsim.stats.estimates import Estimate, known_error
from rmtsim.stats.tails import is_heavy
from rmtsim.sweeps.spec import Sampling

#: Larger relative standard errors are not trusted, whatever the target.
TRUSTED_RSE = 0.05

#: A checkpoint has half as many draws again as the one before: few decisions, little overshoot. It has three times as
#: many as long as the standard error is not trusted.
_GROWTH, _GROWTH_IN_DOUBT = 1.5, 3


def aim(sampling: Sampling) -> float:
    """Return the relative standard error at which a point may end: the target, where that can be trusted."""
    return min(sampling.target_rse, TRUSTED_RSE)


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


class Found(NamedTuple):
    """What draws tell of a quantity: its estimate, the draws that carry its spread, whether these are too few."""

    estimate: Estimate
    carriers: float
    heavy: bool


#: The products of a and b whose sums a tally holds, as powers of the two: all up to the fourth degree.
_POWERS = [(i, n - i) for n in (1, 2, 3, 4) for i in range(n, -1, -1)]


#: That of the least power of two in float64.
_LEAST_EXPONENT = -1074


class Tally:
    """Running sums over the draws of a point, which are all that the decision needs; their memory does not grow.

    They are sums of powers of the differences from draw 0, so that little cancels in the moments; the differences are
    over a power of two above draw 0 and all of them so far, so that fourth powers keep to the range of float64. They
    are added strictly in the order of the draws, so that their bits do not depend on the order in which draws arrive.

    Parameters
    ----------
    layers
        The layers whose norms are added.
    fixed
        For each layer, the quantities that are equal in all draws by the model (`rmtsim.model.fixed_values`).
    have_variance
        Whether draws have a variance (`rmtsim.model.ensemble.norms_have_variance`); else their tails are too heavy at
        every number.

    Attributes
    ----------
    count
        Draws added so far: 0 … count − 1.
    """

    __slots__ = ("_exponent", "_fixed", "_found", "_have_variance", "_layers", "_origin", "_sums", "count")

    def __init__(
        self, layers: tuple[str, ...], fixed: Mapping[str, Collection[str]] = {}, *, have_variance: bool = True
    ) -> None:
        self.count = 0
        self._layers, self._fixed, self._have_variance = layers, fixed, have_variance
        self._found: tuple[int, dict[str, dict[str, Found]]] = 0, {}  # at which count, and what
        self._origin = np.zeros((len(layers), 2))
        self._exponent = np.zeros((len(layers), 2), dtype=np.int64)  # of 2, which the differences are over
        self._sums = np.zeros((len(_POWERS), len(layers)))  # Σ aⁱ bʲ for a = diag, b = offdiag

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Add the next draws: diag and offdiag of each layer, (draws, layers, 2); NaN for what a layer lacks."""
        if not self.count and len(values):
            self._origin = values[0].copy()
            self._exponent = _exponents(self._origin)
        differences = values - self._origin
        self._make_room(differences)
        with np.errstate(under="ignore"):  # what is that far below the largest difference has no part in the moments
            sums = np.empty((len(_POWERS), len(values) + 1, len(self._layers)))
            sums[:, 0] = self._sums
            a, b = terms = sums[:2, 1:]
            terms[...] = np.ldexp(differences, -self._exponent).transpose(2, 0, 1)
            start = 0
            for degree in (1, 2, 3):  # the terms of each degree from those of the one below, in the order of _POWERS
                end = start + degree + 1
                np.multiply(sums[start:end, 1:], a, out=sums[end : end + degree + 1, 1:])
                np.multiply(sums[end - 1, 1:], b, out=sums[end + degree + 1, 1:])
                start = end
            # accumulate adds one after the other; sum would add in pairs, which depends on how many there are
            self._sums = np.add.accumulate(sums, axis=1)[:, -1].copy()
        self.count += len(values)

    def _make_room(self, differences: npt.NDArray[np.float64]) -> None:
        """Raise the power of two to one above all differences, and put the sums over it, which changes no digit."""
        largest = np.fmax.reduce(np.abs(differences), axis=0, initial=0.0)
        exponent = np.maximum(self._exponent, _exponents(largest))
        if (exponent == self._exponent).all():
            return
        self._sums = np.ldexp(self._sums, -(np.array(_POWERS) @ (exponent - self._exponent).T))
        self._exponent = exponent

    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Layer → estimates of diag, offdiag and their ratio, leaving out what the layer does not have.

        The ratio's standard error is that of its linearisation (delta method).
        """
        return {
            layer: {quantity: one.estimate for quantity, one in found.items()} for layer, found in self.found().items()
        }

    def worst(self) -> tuple[float, str]:
        """Return the largest relative standard error over all layers and quantities, and which it is.

        It is infinite with fewer than two draws, and where draws are all equal so far, unless the model fixes them.
        """
        if self.count < 2:
            return math.inf, "too few draws"
        errors = [
            (one.estimate.rse, f"{layer} {quantity}")
            for layer, found in self.found().items()
            for quantity, one in found.items()
        ]
        return max(errors, default=(math.inf, "nothing to measure"))

    def heavy(self) -> list[str]:
        """Return the quantities whose tails are too heavy for their means to be trusted, the heaviest first."""
        if self.count < 2:
            return []
        heavy = [
            (one.carriers, f"{layer} {quantity}")
            for layer, found in self.found().items()
            for quantity, one in found.items()
            if one.heavy
        ]
        return [quantity for _, quantity in sorted(heavy)]

    def found(self) -> dict[str, dict[str, Found]]:
        """Layer → quantity → its estimate and what its tail is like, leaving out what the layer does not have."""
        if self._found[0] != self.count:
            self._found = self.count, {layer: self._of_layer(k) for k, layer in enumerate(self._layers)}
        return self._found[1]

    def _of_layer(self, k: int) -> dict[str, Found]:
        """Estimates of a layer's quantities, with what their tails are like."""
        n, fixed = self.count, self._fixed.get(self._layers[k], ())
        sums = dict(zip(_POWERS, self._sums[:, k].tolist(), strict=True))
        (a0, b0), (a_unit, b_unit) = self._origin[k].tolist(), np.ldexp(1.0, self._exponent[k]).tolist()
        a, b = a0 + a_unit * sums[1, 0] / n, b0 + b_unit * sums[0, 1] / n
        # deviations of each quantity, as a unit times a sum of those of a and b over their units
        of_all = [("diag", a, a_unit, (1.0, 0.0)), ("offdiag", b, b_unit, (0.0, 1.0))]
        if a:
            of_all.append(("ratio", b / a, b_unit / abs(a), (-(b / b_unit) * (a_unit / a), 1.0)))
        found = {}
        for quantity, value, unit, weights in of_all:
            if math.isnan(value):
                continue
            squares, fourths = _central_sums(sums, weights, n)
            std_error = unit * math.sqrt(max(0.0, squares) / (n * (n - 1)))  # rounding may leave it below 0
            estimate = Estimate(value, known_error(value, std_error, n, fixed=quantity in fixed))
            spread = estimate.rse * math.sqrt(n)
            carriers = math.inf if fourths <= 0 else squares**2 / fourths
            heavy = math.isfinite(spread) and is_heavy(n, spread, carriers)
            heavy = heavy or (not self._have_variance and estimate.std_error > 0)
            found[quantity] = Found(estimate, carriers, heavy)
        return found


def _exponents(x: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return powers of two above |x|; the least of float64 for 0 and NaN."""
    fraction, exponent = np.frexp(np.nan_to_num(x))
    return np.where(fraction, exponent, _LEAST_EXPONENT).astype(np.int64)


def _central_sums(sums: Mapping[tuple[int, int], float], weights: tuple[float, float], n: int) -> tuple[float, float]:
    """Return sums of the 2nd and 4th powers of v a + w b less its mean over n draws, from those of products of a, b."""
    v, w = weights
    one, two, three, four = (
        sum(
            math.comb(degree, i) * v**i * w ** (degree - i) * sums[i, degree - i]
            for i in range(degree + 1)
            if (v or not i) and (w or i == degree)  # what a layer lacks is NaN
        )
        for degree in (1, 2, 3, 4)
    )
    mean = one / n
    return two - one * mean, four - 4 * mean * three + 6 * mean**2 * two - 3 * n * mean**4
