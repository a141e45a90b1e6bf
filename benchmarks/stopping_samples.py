"""Estimates from many samples of a pool of draws at once, and what their tails look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.report import Row
from rmtsim.stats.tails import is_heavy

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

#: At most this many values are held at once.
_AT_ONCE = 8_000_000


@dataclass(frozen=True)
class Found:
    """Estimates of every quantity and seed, from a number of draws: arrays (quantities, seeds)."""

    count: int
    value: Values
    std_error: Values
    skewness: Values
    carriers: Values

    @property
    def rse(self) -> Values:
        """Largest relative standard error of each seed."""
        return np.asarray(np.max(self.std_error / np.abs(self.value), axis=0))

    @property
    def heavy(self) -> Flags:
        """Whether a seed has a quantity with too heavy a tail."""
        spread = self.std_error / np.abs(self.value) * np.sqrt(self.count)
        return np.asarray(np.any(is_heavy(self.count, spread, self.carriers), axis=0))


def estimates(pool: Values, chosen: npt.NDArray[np.integer]) -> Found:
    """Estimate every quantity from the draws of every seed, (seeds, draws)."""
    step = max(1, _AT_ONCE // (chosen.shape[1] * pool.shape[1] * pool.shape[2]))
    parts = [_of_seeds(pool[chosen[k : k + step]]) for k in range(0, len(chosen), step)]
    return Found(chosen.shape[1], *np.concatenate(parts, axis=2))


def _of_seeds(values: Values) -> Values:
    """Value, standard error, skewness and carriers of every quantity that varies: (4, quantities, seeds)."""
    found = [of_quantity(*of) for of in _deviations(values)]
    return np.stack([one for one in found if np.all(one[1] > 1e-9 * np.abs(one[0]))], axis=1)


def _deviations(values: Values) -> Iterator[tuple[Values, Values]]:
    """Yield the estimate of each quantity (seeds,) and the deviations of draws (seeds, draws) that make its error."""
    n = values.shape[1]
    for layer in range(values.shape[2]):
        norms = [values[:, :, layer, k] for k in range(values.shape[3])]
        there = [x for x in norms if not np.isnan(x).any() and x.any()]
        yield from ((x.mean(axis=1), x - x.mean(axis=1)[:, None]) for x in there)
        if len(there) == 2:  # the jackknife, as in rmtsim.stats.estimates.ratio_estimate
            a, b = there
            without = (b.sum(axis=1)[:, None] - b) / (a.sum(axis=1)[:, None] - a)
            mean = without.mean(axis=1)
            yield n * b.sum(axis=1) / a.sum(axis=1) - (n - 1) * mean, (n - 1) * (mean[:, None] - without)


def of_quantity(value: Values, deviations: Values) -> Values:
    """Value, standard error, skewness and carriers (4, seeds) of a value whose draws deviate so, (seeds, draws)."""
    n = deviations.shape[1]
    squares = np.sum(deviations**2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = np.mean(deviations**3, axis=1) / (squares / n) ** 1.5
        carriers = squares**2 / np.sum(deviations**4, axis=1)
    return np.stack([value, np.sqrt(squares / (n - 1) / n), skewness, carriers])


def tails(pool: Values, seeds: int, count: int) -> Row:
    """Quantiles over seeds of the largest k̂ and the fewest carriers of all quantities, after so many draws."""
    chosen = np.random.default_rng(12).integers(0, len(pool), (seeds, count))
    of_all = [e for value, e in _deviations(pool[chosen]) if np.all(np.std(e, axis=1) > 1e-9 * np.abs(value))]
    k = np.max([np.maximum(_pareto(e), _pareto(-e)) for e in of_all], axis=0)
    carriers = np.min([np.sum(e**2, axis=1) ** 2 / np.sum(e**4, axis=1) for e in of_all], axis=0)
    ends = (("5", 0.05), ("50", 0.5), ("95", 0.95))
    return {
        f"{name}_{end}": float(np.quantile(of, q)) for name, of in (("k", k), ("carriers", carriers)) for end, q in ends
    }


def _pareto(x: Values) -> Values:
    """Return k̂ of the largest min(n/5, 3 √n) of draws x (seeds, n); infinite where these are fewer than 5.

    By the estimator of Zhang & Stephens (2009), as in Vehtari et al. (2024).
    """
    seeds, n = x.shape
    count = int(np.ceil(min(n / 5, 3 * np.sqrt(n))))
    if count < 5:
        return np.full(seeds, np.inf)
    largest = np.sort(np.partition(x, n - count - 1, axis=1)[:, n - count - 1 :], axis=1)
    excess = np.maximum(largest[:, 1:] - largest[:, :1], 1e-300)
    steps = 30 + int(np.sqrt(count))
    quartile = excess[:, int(count / 4 + 0.5) - 1]
    place = 1 - np.sqrt(steps / (np.arange(1, steps + 1) - 0.5))
    b = 1 / excess[:, -1:] + place / (3 * quartile[:, None])
    k = np.stack([np.mean(np.log1p(-b[:, [j]] * excess), axis=1) for j in range(steps)], axis=1)
    likelihood = count * (np.log(-b / k) - k - 1)
    weights = np.exp(likelihood - likelihood.max(axis=1)[:, None])
    mean = np.sum(weights * b, axis=1) / np.sum(weights, axis=1)
    index = np.mean(np.log1p(-mean[:, None] * excess), axis=1)
    return np.asarray((count * index + 10 * 0.5) / (count + 10))
