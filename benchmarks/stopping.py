"""What rules of stopping keep: coverage, bias and far values of the means of many seeds, and the draws that they cost.

Each seed's draws are taken from a pool of a point's draws, made once and kept in a temporary folder; the pool's own
mean is the truth. What a tail holds beyond the pool is not seen.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtr

from benchmarks.report import Part, Row, Table, Target
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.stats.tails import is_heavy
from rmtsim.stats.verdict import without_skewness
from rmtsim.sweeps.stopping import TRUSTED_RSE

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_MIN_DRAWS, _MAX_DRAWS, _SEEDS, _POOL = 16, 10_000, 1000, 32_768
_QUICK_MAX, _QUICK_SEEDS, _QUICK_POOL = 1000, 40, 2048

#: At most this many values are held at once.
_AT_ONCE = 8_000_000

_TARGET = 0.1

_TAILS = (
    "After 1000 draws (quick: fewer), the largest k̂ and the fewest carriers of all quantities: quantiles in percent"
)

#: What a rule should keep at every point that does not call its tail too heavy in most seeds.
_COVERAGE, _MEAN_Z, _FAR = (93.0, 97.0), 0.15, 0.5

_POINTS = {
    "one hidden CE (100, 16, 32, 4)": Point("one_hidden", "ce", 100, 16, 32, 4),
    "one hidden CE (10, 8, 16, 3)": Point("one_hidden", "ce", 10, 8, 16, 3),
    "linear CE (10, 5, 10)": Point("linear", "ce", 10, 5, 10),
    "linear CE (1000, 8, 16)": Point("linear", "ce", 1000, 8, 16),
    "one hidden CE (2, 20, 40, 8)": Point("one_hidden", "ce", 2, 20, 40, 8),
    "one hidden MSE (5, 8, 16, 3)": Point("one_hidden", "mse", 5, 8, 16, 3),
    "linear CE (10, 50, 100)": Point("linear", "ce", 10, 50, 100),
}
_QUICK = ("linear CE (10, 5, 10)", "linear CE (10, 50, 100)")

#: Laws with known means: how many values, from a generator.
_LAWS: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "lognormal, log-sd 0.5": lambda rng, n: rng.lognormal(0.0, 0.5, n),
    "lognormal, log-sd 1": lambda rng, n: rng.lognormal(0.0, 1.0, n),
    "1 + Student's t, 5 d.o.f.": lambda rng, n: 1 + 0.5 * rng.standard_t(5, n),
    "Pareto, index 1/2, from 0": lambda rng, n: rng.random(n) ** -0.5 - 1,
    "Pareto, index 2/5, from 1": lambda rng, n: rng.random(n) ** -0.4,
}


#: Laws without a third moment. Their tails mostly show too late for any rule, or interval, to know of them.
_NO_SKEWNESS = ("Pareto, index 1/2, from 0", "Pareto, index 2/5, from 1")


@dataclass(frozen=True)
class _Found:
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
        return np.any(is_heavy(self.count, spread, self.carriers), axis=0)


@dataclass(frozen=True)
class _Rule:
    """When to end, and by which factor the draws grow where it does not: by seed."""

    name: str
    ends: Callable[[_Found], Flags]
    growth: Callable[[_Found], float] = lambda found: 1.5


def _believes(found: _Found) -> Flags:
    return np.asarray(found.rse <= _TARGET)


def _trusts(found: _Found) -> Flags:
    return np.asarray(found.rse <= min(_TARGET, TRUSTED_RSE))


#: The rule before, another remedy, this rule, two variants of it, and one that waits until no tail looks too heavy.
_OLD, _NEW = "believes", "this rule"
_RULES = [
    _Rule(_OLD, _believes),
    _Rule("at least 256 draws", lambda found: _believes(found) & (found.count >= 256)),
    _Rule(_NEW, _trusts, lambda found: 3.0),
    _Rule("this rule, many looks", _trusts),
    _Rule("3.5 %", lambda found: np.asarray(found.rse <= 0.035), lambda found: 3.0),
    _Rule("waits for a calm tail", lambda found: _trusts(found) & ~found.heavy, lambda found: 3.0),
]


def run(quick: bool) -> Part:
    """Apply the rules to the draws of many seeds at each point and law."""
    seeds, most, size = (_QUICK_SEEDS, _QUICK_MAX, _QUICK_POOL) if quick else (_SEEDS, _MAX_DRAWS, _POOL)
    pools: dict[str, Values] = {name: _pool(_POINTS[name], size) for name in (_QUICK if quick else _POINTS)}
    rng = np.random.default_rng(7)
    pools |= {name: law(rng, 10 * size).reshape(-1, 1, 1) for name, law in list(_LAWS.items())[: 1 if quick else None]}
    rows: dict[str, list[Row]] = {name: _of_point(pool, seeds, most) for name, pool in pools.items()}
    about = (
        f"{seeds} seeds, min_draws {_MIN_DRAWS}, max_draws {most}, target_rse {_TARGET:g}; pools of {size} draws, "
        "whose mean is the truth, and of ten times as many of the laws. draws: mean number; cost: over that of the "
        "rule that believes every standard error. done: seeds that reach the target; heavy: those of them whose tail "
        "is called too heavy where they stop. Of the done, the worst of all layers and quantities: mean z; share of "
        "95 % intervals that hold the truth; share of |z| > 3.5. First as mean ± standard error with normal quantiles "
        "(plain), then as it is reported: with the skewness of the draws and Student's t. A waiting rule's are those "
        "of the seeds that it chose. One standard error of a coverage of 95 % is "
        f"{100 * (0.05 * 0.95 / seeds) ** 0.5:.2g} points, and of a mean z {seeds**-0.5:.2g}. Targets are for points "
        "and laws whose tail is not called too heavy in most seeds; the Pareto laws, which have no skewness, are shown "
        "for what no rule can keep."
    )
    tables = [Table(f"Rules at {name}", found) for name, found in rows.items()]
    tables.append(Table(_TAILS, [{"of": name} | _tails(pool, seeds, min(most, 1000)) for name, pool in pools.items()]))
    targets = []
    for name, found in rows.items():
        [row] = [row for row in found if row["rule"] == _NEW]
        if row["heavy_percent"] <= 50 and name not in _NO_SKEWNESS:
            targets += [
                Target(f"|mean z| at {name}", abs(row["mean_z"]), _MEAN_Z),
                Target(f"coverage at {name}, %", row["coverage_percent"], _COVERAGE[0], at_most=False),
                Target(f"coverage at {name}, %", row["coverage_percent"], _COVERAGE[1]),
                Target(f"share of |z| > 3.5 at {name}, %", row["far_percent"], _FAR),
            ]
    return Part(about, tables, [] if quick else targets)


def _pool(point: Point, size: int) -> Values:
    """Return draws of a point, (draws, layers, 2), from the temporary folder if they are there."""
    name = hashlib.sha256(f"{point} {size} 1".encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"rmtsim-stopping-{name}.npy"
    if not path.exists():
        values = simulate_arrays(point, size, seed=77, threads=1).values[:, :, :2]
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
            np.save(file, values)
        Path(file.name).replace(path)
    values: Values = np.load(path)
    return values


def _of_point(pool: Values, seeds: int, most: int) -> list[Row]:
    """Return a row for each rule."""
    chosen = np.random.default_rng(11).integers(0, len(pool), (seeds, most), dtype=np.int32)
    cache: dict[int, _Found] = {}

    def found(count: int) -> _Found:
        if count not in cache:
            cache[count] = _estimates(pool, chosen[:, :count])
        return cache[count]

    truth = _estimates(pool, np.arange(len(pool))[None]).value
    rows: list[Row] = []
    for rule in _RULES:
        stops, done, heavy, t, z = _apply(rule, found, truth, seeds, most)
        mean = float(np.mean(stops))
        row: Row = {
            "rule": rule.name,
            "draws": mean,
            "cost": mean / rows[0]["draws"] if rows else 1.0,
            "done_percent": 100 * float(np.mean(done)),
        }
        if done.any():
            row |= {"heavy_percent": 100 * float(np.mean(heavy[done]))}
            row |= {f"plain_{name}": value for name, value in _kept(t[:, done]).items()}
            row |= _kept(z[:, done])
        rows.append(row)
    return rows


def _kept(z: Values) -> Row:
    """Return what z-scores (quantities, seeds) are like: the worst quantity's."""
    means = np.mean(z, axis=1)
    return {
        "mean_z": float(means[np.argmax(np.abs(means))]),
        "coverage_percent": 100 * float(np.min(np.mean(np.abs(z) < 1.96, axis=1))),
        "far_percent": 100 * float(np.max(np.mean(np.abs(z) > 3.5, axis=1))),
    }


def _apply(
    rule: _Rule, found: Callable[[int], _Found], truth: Values, seeds: int, most: int
) -> tuple[Values, Flags, Flags, Values, Values]:
    """Return for each seed where it stops, whether it is done, and whether its tail is called too heavy there.

    And for each quantity and seed its distance from the truth: in standard errors, and as the z-score that is reported.
    """
    count, open_ = np.full(seeds, _MIN_DRAWS), np.ones(seeds, bool)
    done, heavy, t, z = np.zeros(seeds, bool), np.zeros(seeds, bool), *np.zeros((2, len(truth), seeds))
    while open_.any():
        now = int(count[open_].min())
        here, at = open_ & (count == now), found(now)
        ends = rule.ends(at)
        last = here & (ends | (now == most))
        done |= last & ends
        heavy |= last & at.heavy
        errors = (at.value - truth) / at.std_error
        t[:, last], z[:, last] = errors[:, last], _reported(errors, at)[:, last]
        open_ &= ~last
        count = np.where(here & ~last, min(int(np.ceil(rule.growth(at) * now)), most), count)
    return count.astype(float), done, heavy, t, z


def _reported(t: Values, at: _Found) -> Values:
    """Return the z-scores of a normal distribution that have the reported probabilities."""
    found = without_skewness(t, at.skewness / np.sqrt(at.count))
    return np.asarray(np.sign(found) * -ndtri(np.maximum(stdtr(at.count - 1, -np.abs(found)), 1e-300)))


def _estimates(pool: Values, chosen: npt.NDArray[np.integer]) -> _Found:
    """Estimate every quantity from the draws of every seed, (seeds, draws)."""
    step = max(1, _AT_ONCE // (chosen.shape[1] * pool.shape[1] * pool.shape[2]))
    parts = [_of_seeds(pool[chosen[k : k + step]]) for k in range(0, len(chosen), step)]
    return _Found(chosen.shape[1], *np.concatenate(parts, axis=2))


def _of_seeds(values: Values) -> Values:
    """Value, standard error, skewness and carriers of every quantity that varies: (4, quantities, seeds)."""
    found = [_of_quantity(*of) for of in _deviations(values)]
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


def _of_quantity(value: Values, deviations: Values) -> Values:
    n = deviations.shape[1]
    squares = np.sum(deviations**2, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = np.mean(deviations**3, axis=1) / (squares / n) ** 1.5
        carriers = squares**2 / np.sum(deviations**4, axis=1)
    return np.stack([value, np.sqrt(squares / (n - 1) / n), skewness, carriers])


def _tails(pool: Values, seeds: int, count: int) -> Row:
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
