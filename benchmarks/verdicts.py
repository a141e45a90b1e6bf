"""How often verdicts on decay rates are false, and what they notice: on sets drawn from the theory's own curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.report import Part, Row, Table, Target
from harness.claim_lines import Line, Values, autoregressive, common, lines_of, shifted, student
from rmtsim.stats.curve_fit import TESTS
from rmtsim.stats.decisions import decide
from rmtsim.stats.verdict import LEVEL, POWER

Noise = Callable[[np.random.Generator, tuple[int, ...]], Values]

_FOUR, _SMALL = (10, 50, 200, 1000), (10, 20, 50, 100)
_PROMISED, _HEAVY, _FOR_INFORMATION = "promised", "heavy tails", "for information"
_LIMITS = {_PROMISED: LEVEL, _HEAVY: 0.01}


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    return rng.standard_normal(shape)


def run(quick: bool) -> Part:
    """Count false *differs*, of this rule and of the one before it, and what true deviations are noticed."""
    lines = lines_of(("figure8", "linear_mse")) if quick else lines_of()
    sets = 20 if quick else 300
    false = [_false(title, kind, chosen, noise, sets) for title, kind, chosen, noise in _cases(lines)]
    power = _power(lines, sets)
    caught = _caught(lines, sets)
    about = (
        f"{len(lines)} lines (all but identities) of the specs of `make reproduce`, C from 10 to 3000, with the "
        f"standard errors that it ended with. {sets} sets are drawn from the theory's own values at finite C, d and N; "
        "each is a report, and its verdicts are those of rmtsim.stats.decisions.decide. old: the rule before, a fit "
        "without the theory's curve, allowed 3.5 standard errors and its bias. First table: shares of lines, of the "
        "worst line and of reports that are called 'differs' though nothing does, in percent. Second: share of sets "
        "in which a line whose truth is off is called 'differs', in percent; both signs have the same noise, with its "
        "sign turned. Third: share of sets in which a line is noticed that is off by what it says it sees. Seed 0."
    )
    unequal = max(abs(row[f"{what} +"] - row[f"{what} −"]) for row in power for what in ("constant", "exponent"))
    targets = [
        Target(f"false 'differs' a line, {row['noise']}, %", row["line"], 100 * _LIMITS[row["kind"]])
        for row in false
        if row["kind"] in _LIMITS
    ]
    targets.append(Target("largest difference of power between the signs, points", unequal, 10))
    targets += [
        Target(f"distance of {row['deviation']} from {100 * POWER:g} %", abs(row["noticed"] - 100 * POWER), 3)
        for row in caught
    ]
    tables = [
        Table("False 'differs', %", false),
        Table("Noticed: the truth off by 3 % in the constant, or by 0.02 in the exponent, %", power),
        Table("Noticed: the truth off by what the line says it sees, %", caught),
    ]
    return Part(about, tables, [] if quick else targets)


def _cases(lines: Sequence[Line]) -> Iterable[tuple[str, str, list[Line], Noise]]:
    """Yield a title, its kind, the lines and the noise."""
    whole = list(lines)
    for factor in (1.0, 0.5, 0.25, 0.1):
        yield f"all C, errors × {factor:g}", _PROMISED, [line.times(factor) for line in whole], _normal
    for classes in (_FOUR, _SMALL, _FOUR[1:]):
        some = [line.at(classes) for line in whole]
        for factor in (1.0, 0.1):
            title = f"C = {', '.join(map(str, classes))}, errors × {factor:g}"
            yield title, _PROMISED, [line.times(factor) for line in some if line.near], _normal
    rng = np.random.default_rng(1)
    n = len(whole[0].C)
    for title, rse in (
        ("all C, errors of 15 %", np.full(n, 0.15)),
        ("all C, errors of 0.1 to 19 %", rng.uniform(0.001, 0.19, n)),
        ("all C, half of the errors above 20 %", np.array([0.1, 0.3] * n)[:n]),
    ):
        yield title, _PROMISED, [replace(line, rse=rse) for line in whole], _normal
    yield "all C, Student's t with 3 degrees", _HEAVY, whole, student
    yield "C = 10, 50, 200, 1000, Student's t with 3 degrees", _HEAVY, [line.at(_FOUR) for line in whole], student
    yield "all C, AR(0.9) along C", _FOR_INFORMATION, whole, autoregressive
    yield "all C, half of the variance common", _FOR_INFORMATION, whole, common


def _verdicts(lines: Sequence[Line], ratios: Sequence[Values]) -> np.ndarray:
    """Which lines of a report differ."""
    fits = [line.fit(ratio) for line, ratio in zip(lines, ratios, strict=True)]
    tested = [fit for fit in fits if not fit.reason]
    decisions = iter(decide(tested))
    return np.array([not fit.reason and next(decisions).verdict == "differs" for fit in fits])


def _false(title: str, kind: str, lines: Sequence[Line], noise: Noise, sets: int) -> Row:
    """Count the lines and reports that differ by chance."""
    rng = np.random.default_rng(0)
    found, old = np.zeros((2, sets, len(lines)), dtype=bool)
    for k in range(sets):
        ratios = [np.maximum(line.measured(noise(rng, line.C.shape)), 1e-3) for line in lines]
        found[k] = _verdicts(lines, ratios)
        old[k] = [line.old_rule_differs(ratio) for line, ratio in zip(lines, ratios, strict=True)]
    row: Row = {"noise": title, "kind": kind, "lines": len(lines)}
    for name, differs in (("", found), ("old ", old)):
        row[f"{name}line"] = 100 * float(differs.mean())
        row[f"{name}worst line"] = 100 * float(differs.mean(axis=0).max())
        row[f"{name}report"] = 100 * float(differs.any(axis=1).mean())
    return row


def _power(lines: Sequence[Line], sets: int) -> list[Row]:
    """Count, for each line, the sets in which it is noticed that its truth is off; all other lines are true."""
    rows: list[Row] = [{"line": line.name} for line in lines]
    for what, sizes in (("constant", (0.03, -0.03)), ("exponent", (0.02, -0.02))):
        for size, sign in zip(sizes, "+−", strict=True):
            truths = [1 + size if what == "constant" else shifted(line, size) for line in lines]
            new, old = _noticed(lines, truths, sets, 1 if size > 0 else -1)
            for row, a, b in zip(rows, new, old, strict=True):
                row |= {f"{what} {sign}": 100 * float(a), f"old {what} {sign}": 100 * float(b)}
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
            rows.append({"deviation": f"{what} {'+' if sign > 0 else '−'}", "noticed": 100 * float(found.mean())})
    return rows
