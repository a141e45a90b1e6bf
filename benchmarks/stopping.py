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

from benchmarks.report import Part, Row, Table, Target
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.stats.tails import is_heavy
from rmtsim.sweeps.stopping import TRUSTED_RSE

Values = npt.NDArray[np.float64]

_MIN_DRAWS, _MAX_DRAWS, _SEEDS, _POOL = 16, 10_000, 300, 32_768
_QUICK_MAX, _QUICK_SEEDS, _QUICK_POOL = 1000, 40, 2048

#: At most this many values are held at once.
_AT_ONCE = 8_000_000

_TARGET = 0.1

_TAILS = (
    "After 1000 draws (quick: fewer), the largest k̂ and the fewest carriers of all quantities: quantiles in percent"
)

#: What a rule should keep at every point that it does not call too heavy.
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
    def heavy(self) -> npt.NDArray[np.bool_]:
        """Whether a seed has a quantity with too heavy a tail."""
        spread = self.std_error / np.abs(self.value) * np.sqrt(self.count)
        each = [
            [is_heavy(self.count, *of) for of in zip(*pair, strict=True)]
            for pair in zip(spread, self.carriers, strict=True)
        ]
        return np.any(each, axis=0)


@dataclass(frozen=True)
class _Rule:
    """When to end, and how many draws to have before it is asked again: by seed."""

    name: str
    ends: Callable[[_Found], npt.NDArray[np.bool_]]
    growth: Callable[[_Found], Values] = lambda found: np.full(found.value.shape[1], 1.5)
    heavy: bool = False  #: whether it says so at the last draw


def _most(of_all: Values) -> Values:
    """Return the largest of all quantities, by seed."""
    return np.asarray(np.max(of_all, axis=0))


def _reached(found: _Found, least: int = 0) -> npt.NDArray[np.bool_]:
    return (found.rse <= _TARGET) & (found.count >= least)


def _new(found: _Found) -> npt.NDArray[np.bool_]:
    return (found.rse <= TRUSTED_RSE) & ~found.heavy


def _tripled_in_doubt(found: _Found) -> Values:
    return np.where(_new(found), 1.5, 3.0)


_RULES = [
    _Rule("believes", _reached),
    _Rule("min_draws 64", lambda found: _reached(found, 64)),
    _Rule("min_draws 256", lambda found: _reached(found, 256)),
    _Rule("skewness²/n ≤ 1/25", lambda found: _reached(found) & (25 * _most(found.skewness**2) <= found.count)),
    _Rule("carriers ≥ 12", lambda found: _reached(found) & (_most(-found.carriers) <= -12)),
    _Rule("rse ≤ 3.5 %", lambda found: found.rse <= TRUSTED_RSE),
    _Rule("rse ≤ 3.5 %, × 3", lambda found: found.rse <= TRUSTED_RSE, lambda found: np.full(len(found.rse), 3.0)),
    _Rule("chosen", _new, _tripled_in_doubt, heavy=True),
]


def run(quick: bool) -> Part:
    """Apply the rules to the draws of many seeds at each point and law."""
    seeds, most, size = (_QUICK_SEEDS, _QUICK_MAX, _QUICK_POOL) if quick else (_SEEDS, _MAX_DRAWS, _POOL)
    pools: dict[str, Values] = {name: _pool(_POINTS[name], size) for name in (_QUICK if quick else _POINTS)}
    rng = np.random.default_rng(7)
    pools |= {name: law(rng, 10 * size).reshape(-1, 1, 1) for name, law in list(_LAWS.items())[: 1 if quick else None]}
    rows: dict[str, list[Row]] = {name: _of_point(pool, seeds, most) for name, pool in pools.items()}
    chosen = {name: found[-1] for name, found in rows.items()}
    about = (
        f"{seeds} seeds, min_draws {_MIN_DRAWS}, max_draws {most}, target_rse {_TARGET:g}; pools of {size} draws, "
        "whose mean is the truth, and of ten times as many of the laws. draws: mean number; cost: over that of the "
        "rule that believes every standard error. done: seeds that reach the target by max_draws; heavy: seeds whose "
        "tail is called too heavy. Of the done, the worst of all layers and quantities: mean z; share of 95 % "
        "intervals that hold the truth; share of |z| > 3.5. missed: seeds done whose interval does not hold it, of "
        "all seeds. One standard error of a coverage of 95 % from 300 seeds is 1.3 points."
    )
    tables = [Table(f"Rules at {name}", found) for name, found in rows.items()]
    tables.append(Table(_TAILS, [{"of": name} | _tails(pool, seeds, min(most, 1000)) for name, pool in pools.items()]))
    targets = []
    for name, row in chosen.items():
        if row["heavy_percent"] <= 50:
            targets += [
                Target(f"mean z at {name}", abs(row["mean_z"]), _MEAN_Z),
                Target(f"coverage at {name}", row["coverage_percent"], _COVERAGE[0], at_most=False),
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
        stops, done, heavy, z = _apply(rule, found, truth, seeds, most)
        first = rows[0]["draws"] if rows else float(np.mean(stops))
        off = z[:, done]
        row: Row = {
            "rule": rule.name,
            "draws": float(np.mean(stops)),
            "cost": float(np.mean(stops)) / first,
            "done_percent": 100 * float(np.mean(done)),
            "heavy_percent": 100 * float(np.mean(heavy)),
        }
        if done.any():
            means = np.mean(off, axis=1)
            row |= {
                "mean_z": float(means[np.argmax(np.abs(means))]),
                "coverage_percent": 100 * float(np.min(np.mean(np.abs(off) < 1.96, axis=1))),
                "far_percent": 100 * float(np.max(np.mean(np.abs(off) > 3.5, axis=1))),
                "missed_percent": 100 * float(np.max(np.mean((np.abs(z) >= 1.96) & done, axis=1))),
            }
        rows.append(row)
    return rows


def _apply(
    rule: _Rule, found: Callable[[int], _Found], truth: Values, seeds: int, most: int
) -> tuple[Values, npt.NDArray[np.bool_], npt.NDArray[np.bool_], Values]:
    """Return where each seed stops, whether it is done, whether its tail is called too heavy, and its z-scores."""
    count, open_ = np.full(seeds, _MIN_DRAWS), np.ones(seeds, bool)
    done, heavy, z = np.zeros(seeds, bool), np.zeros(seeds, bool), np.zeros((len(truth), seeds))
    while open_.any():
        now = int(count[open_].min())
        here, at = open_ & (count == now), found(now)
        ends = rule.ends(at)
        if now == most:
            heavy |= here & at.heavy if rule.heavy else False
            ends = ends | (at.rse <= _TARGET if rule.heavy else False)
        done |= here & ends & ~heavy
        last = here & (ends | (now == most))
        z[:, last] = ((at.value - truth) / at.std_error)[:, last]
        open_ &= ~last
        grown = np.minimum(np.ceil(rule.growth(at) * now), most).astype(int)
        count = np.where(here & ~last, grown, count)
    return count.astype(float), done, heavy, z


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
