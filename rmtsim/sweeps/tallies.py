"""Running sums over the draws of points, which are all that the stopping rule needs; many points are taken at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rmtsim.stats.estimates import known_error
from rmtsim.stats.group_means import QUANTITIES
from rmtsim.stats.tails import is_heavy

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: The products of a and b whose sums a tally holds, as powers of the two: all up to the fourth degree.
_POWERS = [(i, n - i) for n in (1, 2, 3, 4) for i in range(n, -1, -1)]
_PLACE = {powers: place for place, powers in enumerate(_POWERS)}

#: That of the least power of two in float64.
_LEAST_EXPONENT = -1074


#: Most points that are looked at together, so that what is held on the way does not grow with their number.
_AT_ONCE = 1 << 13


class Moments(NamedTuple):
    """What the draws of some points tell of every layer and quantity; arrays are (points, layers, 3)."""

    value: Values  #: NaN for what a layer does not have
    std_error: Values
    rse: Values  #: −∞ for what a layer does not have
    carriers: Values  #: draws that carry the spread
    heavy: npt.NDArray[np.bool_]  #: whether these are too few


class Tallies:
    """Running sums over the draws of many points; their memory does not grow with the draws.

    They are sums of powers of the differences from draw 0, so that little cancels in the moments; the differences are
    over a power of two above draw 0 and all of them so far, so that fourth powers keep to the range of float64. They
    are added strictly in the order of the draws, so that their bits do not depend on the order in which draws arrive,
    nor on which points are added at once.

    Parameters
    ----------
    layers
        The layers whose norms are added.
    fixed
        For each point, by layer, the quantities that are equal in all draws by the model
        (`rmtsim.model.fixed_values`).
    have_variance
        For each point, whether draws have a variance (`rmtsim.model.ensemble.norms_have_variance`); else their tails
        are too heavy at every number. One value stands for all.

    Attributes
    ----------
    counts
        Draws added so far of each point, (points,): 0 … count − 1.
    """

    def __init__(
        self,
        layers: tuple[str, ...],
        fixed: Sequence[Mapping[str, Collection[str]]],
        have_variance: Sequence[bool] = (True,),
    ) -> None:
        size, self.layers = len(fixed), layers
        self._names = [f"{layer} {quantity}" for layer in layers for quantity in QUANTITIES]
        #: Places of the quantities, the last by name first; of several that are equally bad, always the same is named.
        self._by_name = np.array(sorted(range(len(self._names)), key=self._names.__getitem__, reverse=True))
        self.counts = np.zeros(size, dtype=np.int64)
        self._fixed = np.array([_flags(layers, one) for one in fixed], dtype=bool).reshape(size, len(layers), 3)
        self._have_variance = np.broadcast_to(np.array(have_variance, dtype=bool), size)
        self._origin = np.zeros((size, len(layers), 2))
        self._exponent = np.zeros((size, len(layers), 2), dtype=np.int32)  # of 2, which the differences are over
        self._sums = np.zeros((size, len(_POWERS), len(layers)))  # Σ aⁱ bʲ for a = diag, b = offdiag
        self._seen = np.zeros(size, dtype=np.int64)  # at which count what follows was found
        self._rse = np.full(size, math.inf)
        self._worst = np.full(size, -1, dtype=np.int16)  # place of the worst quantity; -1 where there is none
        self._heavy = np.zeros((size, len(self._names)), dtype=bool)
        self._carriers = np.zeros((size, len(self._names)))

    def add(self, rows: Rows, values: Values) -> None:
        """Add the next draws of points.

        Parameters
        ----------
        rows
            The places of the points, (points,), each once.
        values
            Diag and offdiag of each layer, (points, draws, layers, 2); NaN for what a layer lacks.
        """
        if not values.shape[1]:
            return
        fresh = self.counts[rows] == 0
        if fresh.any():
            self._origin[rows[fresh]] = values[fresh, 0]
            self._exponent[rows[fresh]] = _exponents(values[fresh, 0])
        differences = values - self._origin[rows, None]
        self._make_room(rows, differences)
        points, draws, layers, _ = values.shape
        with np.errstate(under="ignore"):  # what is that far below the largest difference has no part in the moments
            sums = np.empty((len(_POWERS), points, draws + 1, layers))
            sums[:, :, 0] = self._sums[rows].transpose(1, 0, 2)
            a, b = terms = sums[:2, :, 1:]
            terms[...] = np.ldexp(differences, -self._exponent[rows, None]).transpose(3, 0, 1, 2)
            start = 0
            for degree in (1, 2, 3):  # the terms of each degree from those of the one below, in the order of _POWERS
                end = start + degree + 1
                np.multiply(sums[start:end, :, 1:], a, out=sums[end : end + degree + 1, :, 1:])
                np.multiply(sums[end - 1, :, 1:], b, out=sums[end + degree + 1, :, 1:])
                start = end
            # accumulate adds one after the other; sum would add in pairs, which depends on how many there are
            self._sums[rows] = np.add.accumulate(sums, axis=2)[:, :, -1].transpose(1, 0, 2)
        self.counts[rows] += draws

    def _make_room(self, rows: Rows, differences: Values) -> None:
        """Raise the powers of two to ones above all differences, and put the sums over them: no digit changes."""
        largest = np.fmax.reduce(np.abs(differences), axis=1, initial=0.0)
        before = self._exponent[rows]
        exponent = np.maximum(before, _exponents(largest))
        if (more := exponent - before).any():
            down = np.einsum("pi,kli->kpl", np.array(_POWERS, dtype=np.int32), more)
            self._sums[rows] = np.ldexp(self._sums[rows], -down)
            self._exponent[rows] = exponent

    def look(self, rows: Rows) -> Values:
        """Return the largest relative standard error of points over all layers and quantities, (points,).

        It is infinite with fewer than two draws, and where draws are all equal so far, unless the model fixes them.
        """
        changed = rows[(self._seen[rows] != self.counts[rows]) & (self.counts[rows] > 1)]
        for start in range(0, len(changed), _AT_ONCE):
            new = changed[start : start + _AT_ONCE]
            found = self.moments(new)
            rse = found.rse.reshape(len(new), -1)[:, self._by_name]
            worst = rse.argmax(axis=1)
            largest = np.take_along_axis(rse, worst[:, None], axis=1)[:, 0]
            nothing = largest < 0
            self._rse[new] = np.where(nothing, math.inf, largest)
            self._worst[new] = np.where(nothing, -1, self._by_name[worst])
            self._heavy[new] = found.heavy.reshape(len(new), -1)
            self._carriers[new] = found.carriers.reshape(len(new), -1)
            self._seen[new] = self.counts[new]
        return self._rse[rows]

    def worst(self, k: int) -> tuple[float, str]:
        """Return the largest relative standard error of the point at place k, and which quantity it is; see `look`.

        All points that have changed are looked at, since who asks for one mostly asks for all.
        """
        if self.counts[k] < 2:
            return math.inf, "too few draws"
        if self._seen[k] != self.counts[k]:
            self.look(np.arange(len(self.counts)))
        place = self._worst[k]
        return float(self._rse[k]), self._names[place] if place >= 0 else "nothing to measure"

    def heavy(self, k: int) -> list[str]:
        """Return the quantities whose tails are too heavy for their means to be trusted, the heaviest first."""
        self.worst(k)
        if self.counts[k] < 2:
            return []
        heavy = [(self._carriers[k, place], self._names[place]) for place in np.flatnonzero(self._heavy[k])]
        return [quantity for _, quantity in sorted(heavy)]

    def moments(self, rows: Rows) -> Moments:
        """Return what the draws so far tell of points; the ratio's standard error is that of its linearisation."""
        n, sums, origin = self.counts[rows][:, None].astype(float), self._sums[rows], self._origin[rows]
        with np.errstate(all="ignore"):  # what a layer lacks is NaN
            units = np.ldexp(1.0, self._exponent[rows])
            (a0, b0), (a_unit, b_unit) = np.moveaxis(origin, 2, 0), np.moveaxis(units, 2, 0)
            a, b = (x0 + unit * sums[:, place] / n for x0, unit, place in ((a0, a_unit, 0), (b0, b_unit, 1)))
            slope = np.where(a != 0, -(b / b_unit) * (a_unit / a), math.nan)
            value = np.stack([a, b, np.where(a != 0, b / a, math.nan)], axis=2)
            # deviations of each quantity, as a unit times a sum of those of a and b over their units
            unit = np.stack([a_unit, b_unit, b_unit / np.abs(a)], axis=2)
            of_each = [_central_sums(sums, weights, n) for weights in ((1, 0), (0, 1), (slope, 1))]
            squares, fourths = (np.stack(parts, axis=2) for parts in zip(*of_each, strict=True))
            n = n[..., None]
            # rounding may leave it below 0
            std_error = unit * np.sqrt(np.where(squares > 0, squares, 0.0) / (n * (n - 1)))
            std_error = known_error(value, std_error, n, self._fixed[rows])
            rse = np.where((std_error > 0) & (value != 0), std_error / np.abs(value), math.inf)
            rse[std_error == 0] = 0.0
            rse[np.isnan(value)] = -math.inf
            carriers = np.where(fourths <= 0, math.inf, squares * squares / fourths)
            spread = rse * np.sqrt(n)
            heavy = np.isfinite(spread) & is_heavy(n, spread, carriers)
            heavy |= ~self._have_variance[rows, None, None] & (std_error > 0)
            return Moments(value, std_error, rse, carriers, heavy & ~np.isnan(value))


def _flags(layers: tuple[str, ...], fixed: Mapping[str, Collection[str]]) -> list[list[bool]]:
    return [[quantity in fixed.get(layer, ()) for quantity in QUANTITIES] for layer in layers]


def _exponents(x: Values) -> npt.NDArray[np.int32]:
    """Return powers of two above |x|; the least of float64 for 0 and NaN."""
    fraction, exponent = np.frexp(np.nan_to_num(x))
    return np.where(fraction, exponent, _LEAST_EXPONENT).astype(np.int32)


def _central_sums(sums: Values, weights: tuple[Values | int, int], n: Values) -> tuple[Values, Values]:
    """Return sums of the 2nd and 4th powers of v a + w b less its mean over n draws, from those of products of a, b.

    ``sums`` is (points, powers, layers); v is an array (points, layers) with w = 1, or one of the two is 1, the other
    0: that other may be NaN in draws, since a layer may lack it.
    """
    v, w = weights
    powers: list[Values | int] = [1, v, v * v, v * v * v, v * v * v * v]
    one, two, three, four = (
        sum(
            math.comb(degree, i) * powers[i] * sums[:, _PLACE[i, degree - i]]
            for i in range(degree + 1)
            if (w or i == degree) and (not isinstance(v, int) or v or not i)
        )
        for degree in (1, 2, 3, 4)
    )
    mean = one / n
    square = mean * mean
    return two - one * mean, four - 4 * mean * three + 6 * square * two - 3 * n * (square * square)
