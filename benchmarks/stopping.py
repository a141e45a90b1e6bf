"""What rules of stopping keep: coverage, bias and far values of the means of many seeds, and the draws that they cost.

Each seed's draws are taken from a pool of a point's draws; the pool's own mean is the truth. What a tail holds beyond
the pool is not seen.

It writes docs/results/stopping.md, and all tables to docs/results/numbers/stopping.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtri, stdtr

from benchmarks.report import Part, Row, Table, Target
from benchmarks.stopping_page import COVERAGE, FAR, MEAN_Z, PLAIN, RULE, WAITING, heavy, numbers, page
from benchmarks.stopping_samples import Flags, Found, Values, estimates, of_quantity, tails
from rmtsim.model.point import Point
from rmtsim.sampling.simulation import simulate_arrays
from rmtsim.stats.verdict import without_skewness
from rmtsim.sweeps.spec import Sampling
from rmtsim.sweeps.stopping import TRUSTED_RSE, checkpoint_from

_PAGE = Path(__file__).parents[1] / "docs/results/stopping.md"

_MIN_DRAWS, _MAX_DRAWS, _SEEDS, _POOL = 16, 10_000, 1000, 32_768
_QUICK_MAX, _QUICK_SEEDS, _QUICK_POOL = 1000, 40, 2048

_TARGET = 0.1

_TAILS = (
    "After 1000 draws (quick: fewer), the largest k̂ and the fewest carriers of all quantities: quantiles in percent"
)

#: Targets whose cost is shown, and standard deviations over means of the draws.
_TARGETS, _SPREADS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2), (0.1, 10.0)

#: Numbers of normal draws whose intervals are counted, how many samples of each, and the levels of the intervals.
_FEW, _FEW_SAMPLES, _LEVELS = (8, 12, 16, 64), 400_000, (0.95, 0.999)

_POINTS = {
    "linear CE (10, 50, 100)": Point("linear", "ce", 10, 50, 100),
    "linear CE (10, 5, 10)": Point("linear", "ce", 10, 5, 10),
    "linear CE (1000, 8, 16)": Point("linear", "ce", 1000, 8, 16),
    "one hidden CE (2, 20, 40, 8)": Point("one_hidden", "ce", 2, 20, 40, 8),
    "one hidden MSE (5, 8, 16, 3)": Point("one_hidden", "mse", 5, 8, 16, 3),
    "one hidden CE (10, 8, 16, 3)": Point("one_hidden", "ce", 10, 8, 16, 3),
    "one hidden CE (100, 16, 32, 4)": Point("one_hidden", "ce", 100, 16, 32, 4),
}
_QUICK = ("linear CE (10, 5, 10)", "linear CE (10, 50, 100)")

#: Laws with known means: how many values, from a generator.
_LAWS: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "lognormal (log-sd 0.5)": lambda rng, n: rng.lognormal(0.0, 0.5, n),
    "lognormal (log-sd 1)": lambda rng, n: rng.lognormal(0.0, 1.0, n),
    "1 + ½ Student's t (5 degrees of freedom)": lambda rng, n: 1 + 0.5 * rng.standard_t(5, n),
    "Pareto (P(X > x) = (1+x)^-2)": lambda rng, n: rng.random(n) ** -0.5 - 1,
    "Pareto (P(X > x) = x^-2.5)": lambda rng, n: rng.random(n) ** -0.4,
}

#: Laws without a third moment. Their tails mostly show too late for any rule, or interval, to know of them.
_NO_SKEWNESS = ("Pareto (P(X > x) = (1+x)^-2)", "Pareto (P(X > x) = x^-2.5)")


@dataclass(frozen=True)
class _Rule:
    """When to end, and by which factor the draws grow where it does not: by seed."""

    name: str
    ends: Callable[[Found], Flags]
    growth: Callable[[Found], float] = lambda found: 1.5


def _believes(found: Found) -> Flags:
    return np.asarray(found.rse <= _TARGET)


def _trusts(found: Found) -> Flags:
    return np.asarray(found.rse <= min(_TARGET, TRUSTED_RSE))


#: The rule before, another remedy, this rule, two variants of it, and one that waits until no tail looks too heavy.
_RULES = [
    _Rule(PLAIN, _believes),
    _Rule(f"{PLAIN}, with 256 draws or more", lambda found: _believes(found) & (found.count >= 256)),
    _Rule(RULE, _trusts, lambda found: 3.0),
    _Rule(f"{RULE}, with checkpoints 1.5 times apart", _trusts),
    _Rule(f"{RULE}, with 3.5 % for 5 %", lambda found: np.asarray(found.rse <= 0.035), lambda found: 3.0),
    _Rule(WAITING, lambda found: _trusts(found) & ~found.heavy, lambda found: 3.0),
]


def run(quick: bool) -> Part:
    """Apply the rules to the draws of many seeds at each point and law."""
    start = time.process_time()
    seeds, most, size = (_QUICK_SEEDS, _QUICK_MAX, _QUICK_POOL) if quick else (_SEEDS, _MAX_DRAWS, _POOL)
    pools: dict[str, Values] = {name: _pool(_POINTS[name], size) for name in (_QUICK if quick else _POINTS)}
    rng = np.random.default_rng(7)
    pools |= {name: law(rng, 10 * size).reshape(-1, 1, 1) for name, law in list(_LAWS.items())[: 1 if quick else None]}
    rows: dict[str, list[Row]] = {name: _of_point(pool, seeds, most) for name, pool in pools.items()}
    few, many = _few(_FEW_SAMPLES // 100 if quick else _FEW_SAMPLES), min(most, 1000)
    of_tails = [{"of": name} | tails(pool, seeds, many) for name, pool in pools.items()]
    sizes: Row = {"samples": seeds, "pool": size, "target_rse": _TARGET, "min_draws": _MIN_DRAWS, "max_draws": most}
    sizes |= {"least spread": _SPREADS[0], "largest spread": _SPREADS[1], "processor s": time.process_time() - start}
    tables = [
        Table("Sizes", [sizes]),
        Table("Cost of targets", _costs()),
        Table("Few normal draws", few),
        *(Table(name, found) for name, found in rows.items()),
        Table(f"After {many} draws, the largest k̂ and the fewest carriers: quantiles in percent", of_tails),
    ]
    part = Part(_about(seeds, most, size), tables, [] if quick else _targets(rows))
    if not quick:
        pages = {_PAGE: page(part, _NO_SKEWNESS), _PAGE.parent / "numbers" / _PAGE.name: numbers(part)}
        for path, text in pages.items():
            path.write_text(text, "utf-8")
            print(f"  {path}: written", file=sys.stderr)
    return part


def _about(seeds: int, most: int, size: int) -> str:
    return (
        f"{seeds} samples of each point or law, min_draws {_MIN_DRAWS}, max_draws {most}, target_rse {_TARGET:g}; "
        f"pools of {size} draws, whose mean is the truth, and of ten times as many of the laws. draws: mean number; "
        "cost: over that of the plain rule, which stops at the target. done: samples that reach the target; "
        "heavy: those of them whose tail is called too heavy where they stop. Of the done, the worst of all layers and "
        "quantities: mean z; share of 95 % intervals that hold the truth; share of |z| > 3.5. First as mean ± standard "
        "error with normal quantiles (plain), then as it is reported: with the skewness of the draws and Student's t. "
        "A waiting rule's are those of the samples that it chose. One standard error of a coverage of 95 % is "
        f"{100 * (0.05 * 0.95 / seeds) ** 0.5:.2g} points, and of a mean z {seeds**-0.5:.2g}. Targets are for points "
        "and laws whose tail is not called too heavy in most samples; the Pareto laws, which have no skewness, are "
        "shown for what no rule can keep."
    )


def _targets(rows: Mapping[str, list[Row]]) -> list[Target]:
    """Return what the rule should keep at every point or law whose tail is not too heavy."""
    targets = []
    for name, found in rows.items():
        [row] = [row for row in found if row["rule"] == RULE]
        if not heavy(row) and name not in _NO_SKEWNESS:
            targets += [
                Target(f"|mean z| at {name}", abs(row["mean_z"]), MEAN_Z),
                Target(f"coverage at {name}, %", row["coverage_percent"], COVERAGE[0], at_most=False),
                Target(f"coverage at {name}, %", row["coverage_percent"], COVERAGE[1]),
                Target(f"share of |z| > 3.5 at {name}, %", row["far_percent"], FAR),
            ]
    return targets


def _pool(point: Point, size: int) -> Values:
    """Return draws of a point, (draws, layers, 2)."""
    return simulate_arrays(point, size, seed=77, threads=1).values[:, :, :2]


def _costs() -> list[Row]:
    """Return the draws that targets cost over those of a rule that stops at the target, on average over spreads.

    The relative standard error of n draws is taken for what it is on average, the spread over √n.
    """
    rows = []
    for target in _TARGETS:
        sampling = Sampling(min_draws=_MIN_DRAWS, max_draws=10**7, target_rse=target)
        wanted = [(spread / target) ** 2 for spread in np.geomspace(*_SPREADS, 2000)]
        costs = [checkpoint_from(draws, sampling) / _stops_at(draws) for draws in wanted]
        rows.append({"target_percent": 100 * target, "cost": float(np.mean(costs))})
    return rows


def _stops_at(draws: float) -> int:
    """Return the first checkpoint with so many draws, where each is half as large again as the one before."""
    count = _MIN_DRAWS
    while count < draws:
        count = int(np.ceil(1.5 * count))
    return count


def _few(samples: int) -> list[Row]:
    """Return how often intervals from few normal draws miss the truth."""
    rng = np.random.default_rng(13)
    rows = []
    for count in _FEW:
        x = rng.standard_normal((samples, count))
        mean = x.mean(axis=1)
        found = Found(count, *of_quantity(mean, x - mean[:, None]))
        z = np.abs(_reported(mean / found.std_error, found))
        missed = {f"beyond_{100 * level:g}_percent": float(np.mean(z > -ndtri((1 - level) / 2))) for level in _LEVELS}
        rows.append({"draws": count, "samples": samples} | {name: 100 * share for name, share in missed.items()})
    return rows


def _of_point(pool: Values, seeds: int, most: int) -> list[Row]:
    """Return a row for each rule."""
    chosen = np.random.default_rng(11).integers(0, len(pool), (seeds, most), dtype=np.int32)
    cache: dict[int, Found] = {}

    def found(count: int) -> Found:
        if count not in cache:
            cache[count] = estimates(pool, chosen[:, :count])
        return cache[count]

    truth = estimates(pool, np.arange(len(pool))[None]).value
    rows: list[Row] = []
    for rule in _RULES:
        stops, done, told, t, z = _apply(rule, found, truth, seeds, most)
        mean = float(np.mean(stops))
        row: Row = {
            "rule": rule.name,
            "draws": mean,
            "cost": mean / rows[0]["draws"] if rows else 1.0,
            "done_percent": 100 * float(np.mean(done)),
        }
        if done.any():
            row |= {"heavy_percent": 100 * float(np.mean(told[done]))}
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
    rule: _Rule, found: Callable[[int], Found], truth: Values, seeds: int, most: int
) -> tuple[Values, Flags, Flags, Values, Values]:
    """Return for each seed where it stops, whether it is done, and whether its tail is called too heavy there.

    And for each quantity and seed its distance from the truth: in standard errors, and as the z-score that is reported.
    """
    count, open_ = np.full(seeds, _MIN_DRAWS), np.ones(seeds, bool)
    done, told, t, z = np.zeros(seeds, bool), np.zeros(seeds, bool), *np.zeros((2, len(truth), seeds))
    while open_.any():
        now = int(count[open_].min())
        here, at = open_ & (count == now), found(now)
        ends = rule.ends(at)
        last = here & (ends | (now == most))
        done |= last & ends
        told |= last & at.heavy
        errors = (at.value - truth) / at.std_error
        t[:, last], z[:, last] = errors[:, last], _reported(errors, at)[:, last]
        open_ &= ~last
        count = np.where(here & ~last, min(int(np.ceil(rule.growth(at) * now)), most), count)
    return count.astype(float), done, told, t, z


def _reported(t: Values, at: Found) -> Values:
    """Return the z-scores of a normal distribution that have the reported probabilities."""
    found = without_skewness(t, at.skewness / np.sqrt(at.count))
    return np.asarray(np.sign(found) * -ndtri(np.maximum(stdtr(at.count - 1, -np.abs(found)), 1e-300)))
