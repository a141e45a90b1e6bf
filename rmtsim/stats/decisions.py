"""Verdicts on many fits at once: which differ from the theory, and what each could have seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rmtsim.stats.curve_fit import TESTS, CurveFit
from rmtsim.stats.verdict import DECISIVE_EXPONENT, DECISIVE_FACTOR, LEVEL, Deviation, holm


class Decision(NamedTuple):
    """Verdict on a line of a report.

    Attributes
    ----------
    p_adjusted
        Probability of the line by Holm's rule over all lines of the report.
    detectable_exponent, detectable_constant
        Smallest deviation of δ and of the log of the constant, of either sign, that would be noticed in 95 % of cases.
    verdict, reason
        *differs*, *agrees* or *not decided*, and why.
    """

    p_adjusted: float
    detectable_exponent: float
    detectable_constant: float
    verdict: str
    reason: str


def decide(fits: Sequence[CurveFit]) -> list[Decision]:
    """Return the verdicts on the lines of a report, which account for their number.

    Examples
    --------
    >>> from rmtsim.stats.curve_fit import fit_on_curve
    >>> fits = [fit_on_curve([10, 100, 1000], [q] * 3, [rse] * 3, [500] * 3) for q, rse in ((1, 0.01), (1.1, 0.01))]
    >>> [decision.verdict for decision in decide(fits)]
    ['agrees', 'differs']
    """
    tests = TESTS * len(fits)
    return [_decision(fit, p, tests) for fit, p in zip(fits, holm([fit.p_value for fit in fits]).tolist(), strict=True)]


def _decision(fit: CurveFit, p: float, tests: int) -> Decision:
    exponent, constant = fit.exponent.detectable(tests), fit.constant.detectable(tests)
    if p <= LEVEL:
        return Decision(p, exponent, constant, "differs", _what_differs(fit))
    blind = []
    if exponent > DECISIVE_EXPONENT:
        blind.append(f"{DECISIVE_EXPONENT:g} in the exponent")
    if constant > math.log(DECISIVE_FACTOR):
        blind.append(f"a factor of {DECISIVE_FACTOR:g} in the constant")
    if blind:
        reason = f"a deviation of {' or '.join(blind)} would not have been noticed"
        return Decision(p, exponent, constant, "not decided", reason)
    return Decision(p, exponent, constant, "agrees", "")


def _what_differs(fit: CurveFit) -> str:
    """Say which tests of a fit are significant, of those that differ with it."""
    tests = {
        f"the exponent is {_distance(fit.exponent)} standard errors from the theory's": fit.exponent.p_value,
        f"the constant is {_distance(fit.constant)} standard errors from the theory's": fit.constant.p_value,
        "the fit does not describe the points: without the farthest, χ² = "
        f"{fit.chi2:.1f}, {fit.dof} degrees of freedom": fit.p_shape,
    }
    bound = max(LEVEL / TESTS, min(p for p in tests.values() if not math.isnan(p)))
    return "; ".join(words for words, p in tests.items() if p <= bound)


def _distance(deviation: Deviation) -> str:
    return f"{abs(deviation.value) / deviation.std_error:.1f}"
