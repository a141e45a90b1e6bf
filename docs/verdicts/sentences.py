"""Sentences that several figures have."""

from __future__ import annotations

import math
from collections.abc import Sequence

from docs.verdicts.clauses import Clause
from docs.verdicts.readings import both, by_chance, falls, reading, under
from docs.verdicts.sections import Section, rate_verdicts
from rmtsim.stats.verdict import LEVEL, NEAR, critical
from rmtsim.sweeps.spec import Sampling

#: Draws of a value that has few: a sweep makes at least so many.
_FEW_DRAWS = Sampling().min_draws

#: The distance of eigenvalues from a law under which they follow it.
NEAR_LAW = 0.05

#: The chance that a report calls any value wrong by chance, in words.
LEVEL_OF_VALUES = f"{100 * LEVEL:g} %"

#: The word, with a link to what it means.
STRIPES = "[stripes](../../reference/glossary.md#the-network-and-its-hessian)"

#: Of the largest z-score, and of how many.
_AGAINST = "against theory largest \\|z\\| (\\S+) of (\\d+)"


def agrees_with_theory() -> Clause:
    """Return the sentence on measured values beside the theory."""

    def test(section: Section) -> bool:
        z, looks = section.pick(_AGAINST)
        return by_chance([reading(z).value], int(looks.rstrip(".;")))

    return Clause(
        "Values are those of the theory: chance explains the largest |z| among as many as were tested.",
        test,
        "Where the theory has a value, the measured one agrees with it.",
        "Where the theory has a value, not every measured one agrees with it.",
    )


def structured(at: str, subject: str, layers: Sequence[str], *, full: bool = False) -> Clause:
    """Return the sentence on the shares of layers at the first and the last step of training.

    Parameters
    ----------
    at
        The sizes, as the sentence begins with them.
    subject
        The layers and their verb, as the sentence has them.
    """

    def test(section: Section) -> bool | None:
        shares = section.shares(full=full)
        return under(NEAR, [share for layer in layers for share in shares[layer]])

    when = "near-block-diagonal from the first step to the last"
    return Clause(
        f"{at}: the shares of {' and '.join(layers)} are under {NEAR:g} at the first and the last step.",
        test,
        f"{at} {subject} {when}.",
        f"{at} {subject} not {when}.",
        f"{at} the errors leave open whether {subject} {when}.",
    )


def appears(layers: Sequence[str], subject: str) -> Clause:
    """Return the sentence on the shares of layers at the smallest and the largest C."""

    def test(section: Section) -> bool | None:
        found = [section.shares()[layer] for layer in layers]
        return both(falls(found), under(NEAR, [last for _, last in found]))

    return Clause(
        f"The structure appears: the shares of {' and '.join(layers)} fall, and are under {NEAR:g} at the largest C.",
        test,
        f"{subject} near-block-diagonal as C grows.",
        f"Not seen as C grows: {subject} near-block-diagonal.",
    )


def exactly(layer: str) -> Clause:
    """Return the sentence on a layer without off-diagonal blocks."""
    name = "linear model" if layer == "linear" else f"{layer} layer"
    return Clause(
        f"Exactly: the share of the {name} is 0 in every draw.",
        lambda section: all(share == (0, 0) for share in section.shares()[layer]),
        f"The {name} is exactly block-diagonal.",
        f"The {name} is not exactly block-diagonal.",
    )


def rate(layers: Sequence[str], loss: str, theorem: str) -> Clause:
    """Return the sentence on the power of C in layers."""

    def test(section: Section) -> bool:
        return {verdict for layer in layers for verdict in rate_verdicts(section, f"{layer}, {loss}")} == {"agrees"}

    named = "linear model" if layers == ("linear",) else f"{' and the '.join(layers)} layer"
    return Clause(
        f"The ratio falls as the theorem has it: the [verdict](../verdicts.md) on the {named} is *agrees* at every "
        "d/N.",
        test,
        f"In the {named} the ratio of off-diagonal to diagonal blocks falls with the power of C that {theorem} has.",
        f"In the {named} the power of C that {theorem} has is not confirmed at every d/N.",
    )


def zero_rate(layer: str, loss: str) -> Clause:
    """Return the sentence on off-diagonal blocks that are zero."""
    name = "linear model" if layer == "linear" else f"{layer} layer"
    return Clause(
        f"Off-diagonal blocks of the {name} are zero: the verdict at every d/N is *exact*.",
        lambda section: set(rate_verdicts(section, f"{layer}, {loss}")) == {"exact"},
        f"Off-diagonal blocks of the {name} are zero in every draw.",
        f"Off-diagonal blocks of the {name} are not zero in every draw.",
    )


def judged_together(section: Section) -> str:
    """Return how the single values of a section are judged, of which it says how many there are."""
    [tested] = section.pick(r"\d+ of (\d+) measured values agree")
    many, few = (critical(int(tested), dof) for dof in (math.inf, _FEW_DRAWS - 1))
    return (
        f"These {tested} values are judged together. One of them differs where its probability, by Student's t and "
        f"[Holm's rule](../../explanation/verdicts.md#single-values) over all, is at most {LEVEL_OF_VALUES}: the most "
        f"significant one from |z| = {many:.1f} where it has very many draws, and from {few:.1f} where it has "
        f"{_FEW_DRAWS}. Diagonal norm, off-diagonal norm and ratio come from the same draws and depend on one another, "
        "so no χ² belongs to the root mean square. Independent values, with the sums of their squares, are on the "
        "pages [Verdicts](../verdicts.md#single-values) and [Theory against simulation](agreement.md)."
    )
