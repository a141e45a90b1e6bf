"""How often verdicts on decay rates are false, and what they notice: on sets drawn from the theory's own curves.

It writes docs/results/verdict_errors.md, and all tables to docs/results/numbers/verdict_errors.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.report import Part, Row, Table, Target
from benchmarks.verdicts_page import CAUGHT, SIGNS, largest_difference, numbers, page
from harness.claim_lines import Line, Values, autoregressive, common, lines_of, shifted, student
from rmtsim.stats.curve_fit import TESTS
from rmtsim.stats.decay_fit import MIN_POINTS
from rmtsim.stats.decisions import decide
from rmtsim.stats.verdict import LEVEL, POWER

Noise = Callable[[np.random.Generator, tuple[int, ...]], Values]

_PAGE = Path(__file__).parents[1] / "docs/results/verdict_errors.md"

_FOUR, _SMALL = (10, 50, 200, 1000), (10, 20, 50, 100)

#: The largest share of true lines that may differ: with independent normal noise, and with heavy tails.
_PROMISED, _HEAVY = LEVEL, 0.01

#: What truths are off by, in the constant and in the power of C.
_CONSTANT, _POWER = 0.03, 0.02


@dataclass(frozen=True)
class _Case:
    """Lines with a noise; the limit is that of the share of lines that differ, None where nothing is promised."""

    classes: str
    noise: str
    lines: Sequence[Line]
    law: Noise
    limit: float | None


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    return rng.standard_normal(shape)


def run(quick: bool) -> Part:
    """Count false *differs*, of this rule and of the one before it, and what true deviations are noticed."""
    start = time.process_time()
    lines = lines_of(("figure8", "linear_mse")) if quick else lines_of()
    sets = 20 if quick else 300
    targets, tables = [], []
    for title, cases in (("independent normal noise", _normal_cases(lines)), ("other noise", _other_cases(lines))):
        rows: list[Row] = []
        for case in cases:
            rows.append(_false(case, sets))
            if case.limit is not None:
                what = f"false 'differs' a line, C = {case.classes}, {case.noise}, %"
                targets.append(Target(what, rows[-1]["lines that differ"], 100 * case.limit))
        tables.append(Table(f"False 'differs', {title}, %", rows))
    power, caught = _power(lines, sets), _caught(lines, sets)
    off = f"{100 * _CONSTANT:g} % in the constant, or by {_POWER:g} in the power"
    tables.append(Table(f"Noticed: the truth off by {off}, %", power))
    tables.append(Table("Noticed: the truth off by what the line says it sees, %", caught))
    about = (
        f"{len(lines)} lines (all but identities) of the specs of `make reproduce`, with the standard errors that it "
        f"ended with. {sets} sets are drawn from the theory's own values at finite C, d and N; each is a report, and "
        "its verdicts are those of rmtsim.stats.decisions.decide. theory-free: the rule of earlier versions, a fit "
        "without the theory's curve, allowed 3.5 standard errors and its bias. Of false 'differs': shares of lines, of "
        "the worst line and of reports that differ though nothing does; lines tested: mean number that have a fit. Of "
        "what is noticed: share of sets in which a line whose truth is off differs, alone among true ones; both signs "
        "have the same noise, with its sign turned. Seed 0."
    )
    targets.append(Target("largest difference of power between the signs, points", largest_difference(power)[0], SIGNS))
    targets += [
        Target(f"distance of {row['deviation']} from {100 * POWER:g} %", abs(row["noticed"] - 100 * POWER), CAUGHT)
        for row in caught
    ]
    sizes: Row = {
        "sets": sets,
        "lines": len(lines),
        "least C": int(min(line.C[0] for line in lines)),
        "largest C": int(max(line.C[-1] for line in lines)),
        "processor s": time.process_time() - start,
    }
    part = Part(about, [Table("Sizes", [sizes]), *tables], [] if quick else targets)
    if not quick:
        for path, text in ((_PAGE, page(part)), (_PAGE.parent / "numbers" / _PAGE.name, numbers(part))):
            path.write_text(text, "utf-8")
            print(f"  {path}: written", file=sys.stderr)
    return part


def _normal_cases(lines: Sequence[Line]) -> Iterator[_Case]:
    """Yield the cases with independent normal noise, for which the promise is made."""
    whole = list(lines)
    for factor in (1.0, 0.5, 0.25, 0.1):
        yield _Case("all", f"errors × {factor:g}", [line.times(factor) for line in whole], _normal, _PROMISED)
    for classes in (_FOUR, _SMALL, _FOUR[1:]):
        some = [line.at(classes) for line in whole]
        for factor in (1.0, 0.1):
            chosen = [line.times(factor) for line in some if line.near]
            yield _Case(_listed(classes), f"errors × {factor:g}", chosen, _normal, _PROMISED)
    rng = np.random.default_rng(1)
    n = len(whole[0].C)
    for title, rse in (
        ("errors of 15 %", np.full(n, 0.15)),
        ("errors of 0.1 to 19 %", rng.uniform(0.001, 0.19, n)),
        ("errors of 10 and 30 % in turn", np.array([0.1, 0.3] * n)[:n]),
    ):
        yield _Case("all", title, [replace(line, rse=rse) for line in whole], _normal, _PROMISED)


def _other_cases(lines: Sequence[Line]) -> Iterator[_Case]:
    """Yield the cases whose noise has heavy tails, or depends on that at another C."""
    heavy = "Student's t with 3 degrees of freedom"
    yield _Case("all", heavy, lines, student, _HEAVY)
    yield _Case(_listed(_FOUR), heavy, [line.at(_FOUR) for line in lines], student, _HEAVY)
    yield _Case("all", "normal, neighbouring C correlated by 0.9", lines, autoregressive, None)
    yield _Case("all", "normal, half of the variance common to all C", lines, common, None)


def _listed(classes: Iterable[int]) -> str:
    return ", ".join(map(str, classes))


def _verdicts(lines: Sequence[Line], ratios: Sequence[Values]) -> tuple[np.ndarray, np.ndarray]:
    """Which lines of a report are tested, and which differ."""
    fits = [line.fit(ratio) for line, ratio in zip(lines, ratios, strict=True)]
    tested = np.array([not fit.reason for fit in fits])
    decisions = iter(decide([fit for fit in fits if not fit.reason]))
    return tested, np.array([of and next(decisions).verdict == "differs" for of in tested])


def _false(case: _Case, sets: int) -> Row:
    """Count the lines and reports that differ by chance."""
    rng = np.random.default_rng(0)
    lines = case.lines
    tested, found, old = np.zeros((3, sets, len(lines)), dtype=bool)
    for k in range(sets):
        ratios = [np.maximum(line.measured(case.law(rng, line.C.shape)), 1e-3) for line in lines]
        tested[k], found[k] = _verdicts(lines, ratios)
        old[k] = [line.old_rule_differs(ratio) for line, ratio in zip(lines, ratios, strict=True)]
    row: Row = {"C": case.classes, "noise": case.noise, "lines tested": float(tested.sum(axis=1).mean())}
    for name, differs in (("", found), ("theory-free ", old)):
        if differs is found or min(len(line.C) for line in lines) >= MIN_POINTS:
            row[f"{name}lines that differ"] = 100 * float(differs.mean())
            row[f"{name}worst line"] = 100 * float(differs.mean(axis=0).max())
            row[f"{name}reports with one"] = 100 * float(differs.any(axis=1).mean())
    return row


def _power(lines: Sequence[Line], sets: int) -> list[Row]:
    """Count, for each line, the sets in which it is noticed that its truth is off; all other lines are true."""
    rows: list[Row] = [{"line": line.name} for line in lines]
    for what, size in (("constant", f"{100 * _CONSTANT:g} %"), ("power", f"{_POWER:g}")):
        for sign in (1, -1):
            truths = [1 + sign * _CONSTANT if what == "constant" else shifted(line, sign * _POWER) for line in lines]
            name = f"{what} {'+' if sign > 0 else '−'}{size}"
            new, old = _noticed(lines, truths, sets, sign)
            for row, a, b in zip(rows, new, old, strict=True):
                row |= {name: 100 * float(a), f"theory-free {name}": 100 * float(b)}
    return rows


def _noticed(lines: Sequence[Line], truths: Sequence[Values | float], sets: int, sign: int) -> tuple[Values, Values]:
    """Return the share of sets in which each line is noticed, alone among true ones, by this rule and the old one."""
    rng = np.random.default_rng(2)
    found, old = np.zeros((2, len(lines)))
    tests = TESTS * len(lines)
    for _ in range(sets):
        for k, (line, truth) in enumerate(zip(lines, truths, strict=True)):
            ratios = line.measured(sign * rng.standard_normal(line.C.shape), truth)
            # The most significant of a report, which a line that is off alone is, is held against the level over all.
            found[k] += line.fit(ratios, truth).p_value <= LEVEL * TESTS / tests
            old[k] += line.old_rule_differs(ratios)
    return found / sets, old / sets


def _caught(lines: Sequence[Line], sets: int) -> list[Row]:
    """Count the sets in which lines are noticed that are off by their smallest detectable deviation."""
    rows = []
    for what in ("exponent", "constant"):
        for sign in (1, -1):
            sizes = [
                getattr(decision, f"detectable_{what}")
                for decision in decide([line.fit(np.ones_like(line.C)) for line in lines])
            ]
            truths = [
                np.exp(sign * size) if what == "constant" else shifted(line, sign * size)
                for line, size in zip(lines, sizes, strict=True)
            ]
            found, _ = _noticed(lines, truths, sets, sign)
            name = f"{'power' if what == 'exponent' else what} {'up' if sign > 0 else 'down'}"
            rows.append({"deviation": name, "noticed": 100 * float(found.mean())})
    return rows
