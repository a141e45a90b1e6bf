"""The figures of the dynamic force, and those that only the slides of the paper have."""

from __future__ import annotations

from docs.verdicts.clauses import Clause, Listing
from docs.verdicts.entries import Entry
from docs.verdicts.readings import Reading, grows, over, reading, under, within
from docs.verdicts.sections import Section, picked, shares_outside
from docs.verdicts.sentences import STRIPES, agrees_with_theory, structured
from rmtsim.stats.verdict import LOST, NEAR, NEGLIGIBLE

#: One combination of loss and N of `dynamic_force`, and the lines that it has.
_FORCE = "- {}, C = 64, d = 64, N = {}, (?:(?!\\n- )(?:.|\\n))*?"
_OUTSIDE = (
    "Finding 1, {} layer, squared norm outside the diagonal blocks: (\\S+) → (\\S+), (?:.|\\n)*?\\. ([A-Z][a-z ]+)"
)
#: The verdict on Finding 1: after a full stop, or a colon where the blocks are zero.
_FINDING_1 = "Finding 1, {} layer, [^\\n]*?(?:\\. (?=[A-Z])|: (?=holds))([A-Za-z ]+)"
_VANISH = "Finding 2, they vanish: [^\\n]*?\\. ([A-Z][a-z ]+)"


def _cases(finding: str, losses: tuple[str, ...], layers: tuple[str, ...]) -> dict[str, str]:
    return {
        f"{layer} layer, {loss}, N = {samples}": _FORCE.format(loss, samples) + finding.format(layer)
        for layer in layers
        for loss in losses
        for samples in (640, 64)
    }


def _row(loss: str, samples: int, layer: str) -> tuple[str, str]:
    return f"{layer}, {loss}, N = {samples}", _FORCE.format(loss, samples) + _OUTSIDE.format(layer)


def _vanish(samples: int) -> Clause:
    pattern = _FORCE.format("CE", samples) + "the stripes' squared norm goes to (.+?) of its start"
    return Clause(
        f"With N = {samples}, the stripes' own norm vanishes: it ends under {NEGLIGIBLE:g} of its start.",
        lambda section: under(NEGLIGIBLE, section.read(pattern)),
        f"With N = {samples} the stripes' own norm vanishes.",
        f"With N = {samples} the stripes' own norm does not vanish.",
        f"Whether the stripes' own norm vanishes with N = {samples} is open.",
    )


def _grow(samples: int) -> Clause:
    pattern = _FORCE.format("CE", samples) + "the whole cross layer's to ([^,]+),"
    return Clause(
        f"With N = {samples}, the cross layer grows: its squared norm ends above its start.",
        lambda section: over(1, section.read(pattern)),
        "It is the rest of the cross layer that grows.",
        "The cross layer as a whole does not grow.",
    )


def _all_zero(section: Section) -> bool:
    entries, zero, others, nonzero = section.pick(
        "Of (\\d+) entries without a common output, (\\d+) are exactly 0 in every draw; of (\\d+) others,\\s+(\\d+) "
        "are not"
    )
    return entries == zero and others == nonzero


def _two_over(section: Section) -> bool:
    rows = [row.split() for row in section.picks("\\n +(\\d+  \\d\\S* +0\\.\\d+)")]
    return within((reading(found), 1 / (int(q) + 2)) for q, found, _ in rows)


_DISTANCE = "\n{} +100 600 +\\d+ \\S+ \\S+ (\\S+)"
_COPY = "\n{} +100 600 +\\d+ \\S+ \\S+ \\S+ \\S+ (\\S+)"


#: The distance of a mean spectrum from a law, or from another spectrum, under which they are the same.
_SAME = 0.01


def _near_law(section: Section) -> bool | None:
    return under(_SAME, [section.read(_DISTANCE.format(name))[0] for name in ("identity", "coupled", "copy")])


_HIDDEN = ("layer 1", "layer 2", "layer 3")


def _leading_order(section: Section) -> bool | None:
    """Whether no share at initialisation is farther from the theory than a fifth of it."""
    layers = [*_HIDDEN, "layer 4"]
    expected = [section.read(f"to leading order .*?{layer} ≈ (\\S+ %)")[0].value for layer in layers]
    found = [section.shares()[layer][0] for layer in layers]
    pairs = zip(found, expected, strict=True)
    off = [Reading(abs(share.value / value - 1), share.error / value) for share, value in pairs]
    return under(0.2, off)


SLIDES = (
    Entry(
        "dynamic_force",
        "Findings 1 and 2: the dynamic force",
        (
            Listing(
                f"Finding 1, by the verdict of the figure: *holds* where the shares outside are under {NEAR:g} "
                f"throughout, *weakened* where one is above that and all are under {LOST:g}, *lost* where one is above "
                "it, and *not resolved* where the errors leave it open.",
                _cases(_FINDING_1, ("CE", "MSE"), ("output", "hidden")),
                {
                    "holds": "Finding 1, that layers stay near-block-diagonal, holds for",
                    "weakened": "It is weakened for",
                    "lost": "It is lost for",
                    "not resolved": "It is not resolved for",
                },
            ),
            Listing(
                f"Finding 2: *holds* where the stripes are over {LOST:g} of the cross layer at first, and under it at "
                "the end.",
                {f"N = {samples}": _FORCE.format("CE", samples) + _VANISH for samples in (640, 64)},
                {
                    "holds": f"Finding 2, that the {STRIPES} of the cross layer become the lesser part of it, holds "
                    "for",
                    "does not hold": "Finding 2 does not hold for",
                    "not resolved": "Finding 2 is not resolved for",
                },
            ),
        ),
        (_vanish(64), _vanish(640), _grow(640)),
        picked(
            ["outside", "first step", "last step", "Finding 1"],
            *(_row("CE", samples, layer) for samples in (640, 64) for layer in ("hidden", "output")),
            *(_row("MSE", samples, "hidden") for samples in (640, 64)),
        ),
    ),
    Entry(
        "slides_classes",
        "Slides: C = 2, 10 and 100",
        (
            Clause(
                f"The share outside is over {NEAR:g} at C = 2.",
                lambda section: over(NEAR, section.shares()["linear"][:1]),
                "There is no block structure at two classes.",
                "There is a block structure at two classes.",
            ),
            Clause(
                f"It is under {NEAR:g} at C = 100.",
                lambda section: under(NEAR, section.shares()["linear"][1:]),
                "There is one at a hundred classes.",
                "There is none at a hundred classes.",
            ),
        ),
        (agrees_with_theory(),),
        shares_outside,
    ),
    Entry(
        "simo",
        "Slides: one input, many outputs",
        (
            Clause(
                "As many entries are 0 in every draw as the slides call zero, and as many are not as the others.",
                _all_zero,
                "The entries that the slides call zero are zero in every draw, and no others.",
                "The entries that are zero are not those that the slides call so.",
            ),
        ),
        (
            Clause(
                "The ratio is that of the theory: chance explains how far it is from 1/(q + 2), over all q.",
                _two_over,
                "The ratio in the hidden part is 1/(q + 2) for q outputs.",
                "The ratio in the hidden part is not 1/(q + 2) for every number q of outputs.",
            ),
        ),
        picked(
            ["outputs q", "off-diagonal over diagonal", "1/(q + 2)"],
            *((str(q), rf"\n *{q}  (\d\S+) +(\S+)") for q in (1, 8, 32)),
        ),
    ),
    Entry(
        "wishart",
        "Slides: eigenvalues of (1/n) X Λ Xᵀ",
        (
            Clause(
                "The spectrum follows the law: with each kind of weights its distance from it, at n = 100, is under "
                f"{_SAME:g}.",
                _near_law,
                "The mean spectrum is that of the generalised Marchenko–Pastur law, also where the weights Λ depend on "
                "X.",
                "The mean spectrum is not that of the generalised Marchenko–Pastur law with every kind of weights.",
            ),
        ),
        (
            Clause(
                "A copy changes nothing that matters: the distance between both mean spectra, at n = 100, is under "
                f"{_SAME:g}.",
                lambda section: under(_SAME, section.read(_COPY.format("coupled"))),
                "Weights of an independent copy of X make almost the same mean spectrum.",
                "Weights of an independent copy of X make another mean spectrum.",
            ),
        ),
        picked(
            ["weights, n = 100, d = 600", "Kolmogorov–Smirnov distance from the law"],
            *((name, _DISTANCE.format(name)) for name in ("identity", "coupled", "copy")),
        ),
    ),
    Entry(
        "deep",
        "Slides: four layers",
        (
            structured("With the paper's schedule of training", "the output layer is", ("layer 4",), full=True),
            structured("With a tenth of its steps", "the output layer is", ("layer 4",)),
        ),
        (
            Clause(
                f"Hidden layers (1 to 3) are not: their shares are over {NEAR:g}, first and last, at both sizes.",
                lambda section: over(
                    NEAR,
                    [
                        share
                        for full in (False, True)
                        for layer in _HIDDEN
                        for share in section.shares(full=full)[layer]
                    ],
                ),
                "The hidden layers (1 to 3) are not near-block-diagonal.",
                "A hidden layer (1 to 3) is near-block-diagonal at the first or the last step.",
                "Whether a hidden layer (1 to 3) is near-block-diagonal is open.",
            ),
            Clause(
                "They become less so: their shares grow from the first step to the last.",
                lambda section: grows(section.shares()[layer] for layer in _HIDDEN),
                "Training takes the hidden layers farther from it.",
                "Training does not take every hidden layer farther from it.",
                "Whether training takes every hidden layer farther from it is open.",
            ),
            Clause(
                "At initialisation shares are near the theory to leading order in 1/width: off by less than a fifth of "
                "it.",
                _leading_order,
                "At initialisation the shares are near those of the theory to leading order in 1/width.",
                "At initialisation the shares are not near those of the theory to leading order in 1/width.",
                "Whether the shares at initialisation are near those of the theory to leading order in 1/width is "
                "open.",
            ),
        ),
        shares_outside,
        words="Tested is whether the structure, which the theorems have for one hidden layer, is there in a deeper "
        "network. Whether it does as the theorems say was judged by its output layer alone.",
    ),
)
