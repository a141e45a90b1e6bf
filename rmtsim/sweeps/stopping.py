"""The stopping rule: whether a point has enough draws is decided on prefixes of them, at fixed checkpoints.

The decision depends on draws 0 … n − 1 alone, added up in their order, and not on timing, workers, batches or other
draws of the store, so that a sweep always ends with the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from rmtsim.stats.estimates import Estimate, known_error
from rmtsim.sweeps.spec import Sampling

#: A checkpoint has half as many draws again as the one before: few decisions, little overshoot.
_GROWTH = 1.5


def next_checkpoint(count: int, sampling: Sampling) -> int:
    """Return the number of draws at which to decide next, after ``count``; checkpoints end at max_draws."""
    if count < sampling.min_draws:
        return sampling.min_draws
    return min(sampling.max_draws, math.ceil(_GROWTH * count))


def checkpoint_from(draws: float, sampling: Sampling) -> int:
    """Return the first checkpoint with at least ``draws`` draws, or the last checkpoint."""
    count = sampling.min_draws
    while count < draws and count < sampling.max_draws:
        count = next_checkpoint(count, sampling)
    return count


class Tally:
    """Running sums over the draws of a point, which are all that the decision needs; their memory does not grow.

    They are sums of differences from draw 0, so that little cancels in the variances. They are added strictly in the
    order of the draws, so that their bits do not depend on the order in which draws arrive.

    Parameters
    ----------
    layers
        The layers whose norms are added.
    fixed
        For each layer, the quantities that are equal in all draws by the model (`rmtsim.model.fixed_values`).

    Attributes
    ----------
    count
        Draws added so far: 0 … count − 1.
    """

    def __init__(self, layers: tuple[str, ...], fixed: Mapping[str, Collection[str]] = {}) -> None:
        self.count = 0
        self._layers, self._fixed = layers, fixed
        self._worst = 0, (math.inf, "")  # at which count, and what it was
        self._origin = np.zeros((len(layers), 2))
        self._sums = np.zeros((len(layers), 5))  # Σa, Σb, Σa², Σb², Σab for a = diag, b = offdiag

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Add the next draws: diag and offdiag of each layer, (draws, layers, 2); NaN for what a layer lacks."""
        if not self.count and len(values):
            self._origin = values[0].copy()
        a, b = np.moveaxis(values - self._origin, 2, 0)
        terms = np.stack([a, b, a * a, b * b, a * b], axis=2)
        # accumulate adds one after the other; sum would add in pairs, which depends on how many there are
        self._sums = np.add.accumulate(np.concatenate([self._sums[None], terms]))[-1]
        self.count += len(values)

    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Layer → estimates of diag, offdiag and their ratio, leaving out what the layer does not have.

        The ratio's standard error is that of its linearisation (delta method).
        """
        return {layer: self._of_layer(k) for k, layer in enumerate(self._layers)}

    def worst(self) -> tuple[float, str]:
        """Return the largest relative standard error over all layers and quantities, and which it is.

        It is infinite with fewer than two draws, and where draws are all equal so far, unless the model fixes them.
        """
        if self.count < 2:
            return math.inf, "too few draws"
        if self._worst[0] == self.count:
            return self._worst[1]
        errors = [
            (estimate.rse, f"{layer} {quantity}")
            for layer, found in self.estimates().items()
            for quantity, estimate in found.items()
        ]
        self._worst = self.count, max(errors, default=(math.inf, "nothing to measure"))
        return self._worst[1]

    def _of_layer(self, k: int) -> dict[str, Estimate]:
        n, fixed = self.count, self._fixed.get(self._layers[k], ())
        sums = self._sums[k].tolist()

        def estimate(quantity: str, value: float, std_error: float) -> Estimate:
            return Estimate(value, known_error(value, std_error, n, fixed=quantity in fixed))

        a, b = (origin + total / n for origin, total in zip(self._origin[k].tolist(), sums[:2], strict=True))
        aa, bb, ab = (
            total - first * second / n
            for total, first, second in zip(
                sums[2:], (sums[0], sums[1], sums[0]), (sums[0], sums[1], sums[1]), strict=True
            )
        )
        found = {}
        if not math.isnan(a):
            found["diag"] = estimate("diag", a, _std_error(aa, n))
        if not math.isnan(b):
            found["offdiag"] = estimate("offdiag", b, _std_error(bb, n))
        if len(found) == 2 and a:
            ratio = b / a
            std_error = _std_error(bb - 2 * ratio * ab + ratio**2 * aa, n) / abs(a)
            found["ratio"] = estimate("ratio", ratio, std_error)
        return found


def _std_error(squares: float, n: int) -> float:
    """Return the standard error of a mean from the sum of squared deviations, which rounding may leave below 0."""
    return math.sqrt(max(0.0, squares) / (n * (n - 1)))
