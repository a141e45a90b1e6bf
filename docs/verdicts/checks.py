"""The page on figures beyond the paper's: checks of the theory and of its proofs, other laws, trained heads."""

from __future__ import annotations

from collections.abc import Mapping

from docs.verdicts.clauses import Clause
from docs.verdicts.entries import Entry, summary
from docs.verdicts.readings import both, by_chance, grows, over, reading, under
from docs.verdicts.sections import Section, picked, rates
from docs.verdicts.sentences import NEAR_LAW, judged_together, rate
from rmtsim.stats.verdict import LEVEL

TITLE = "Checks of the theory"

_INTRODUCTION = """\
Figures that the paper does not have: the theory at finite sizes, the laws behind it, the step on which its proofs rest,
and what becomes of it where its assumptions do not hold. How numbers are judged is said on [the page of the
paper](paper.md)."""

_AGREE = "(\\d+) of (\\d+) measured values agree .*?largest \\|z\\| (\\S+), root mean square ([\\d.]+)"
_NORMS = "(\\d+) norms at (\\d+) sizes and layers: largest \\|z\\| (\\S+), .*? root mean square (\\d\\.\\d+)"
_DECOUPLED = r"\n{}, {}, C = 10(?:, m = 4)? +1\+1i +(\S+) +\S+ +(\S+) +(\S+) +(\w+)"
_CONTROL = r"\ncontrol: [^\n]*? +1\+1i +(\S+) +\S+ +(-) +(-)()"
_HEAD = "off-diagonal/diagonal (\\S+) → (\\S+); theorem (\\S+) → (\\S+);"
_BLOCKS = ("diagonal", "off-diagonal")


def _agreement(section: Section) -> bool:
    norms, _, largest, _ = section.pick(_NORMS)
    sums = [reading(p.rstrip(".")).value > LEVEL for p in section.picks("two-sided p = (\\S+)")]
    return by_chance([reading(largest).value], int(norms)) and all(sums)


def _all_agree(section: Section) -> bool:
    agreeing, of, *_ = section.pick(_AGREE)
    return agreeing == of


def _follows_law(section: Section) -> bool | None:
    rows = [section.read(rf"\n{kind} +1000 +1024 +(\S+) +(\S+)") for kind in _BLOCKS]
    return both(under(NEAR_LAW, [distance for distance, _ in rows]), under(0, [slope for _, slope in rows]))


def _decoupled(section: Section) -> bool | None:
    """Whether each coupling is called *agrees*, and falls faster than the bound of the proofs."""
    lines = section.picks(r"\n((?:linear|hidden layer) CE, [^\n]*)")
    powers = [reading(word) for word in section.picks(r"\n(?:linear|hidden layer) CE, [^\n]*?i +(\S+) ")]
    return both(all(line.rstrip().endswith("agrees") for line in lines), under(-0.5, powers))


def _control(section: Section) -> bool | None:
    """Whether the control is nearer to −1/2 than to −1, by its errors."""
    return over(-0.75, [reading(word) for word in section.picks(r"\ncontrol: [^\n]*?i +(\S+) ")])


def _rises(section: Section) -> bool | None:
    first, last, _, theorem = section.read(_HEAD)
    unsure, sure = section.read("perplexity (\\S+) → (\\S+)")
    return grows([(theorem, last), (first, last), (sure, unsure)])


ENTRIES = (
    Entry(
        "agreement",
        "Theory against simulation at many sizes",
        beside=(
            Clause(
                "Equal: chance explains the largest |z| among all norms, and the sums of squares of independent ones.",
                _agreement,
                "Every case and layer, C from 2 to 10⁵, widths from 3 to 32, three initialisations: the theory and the "
                "mean over draws are equal within their errors.",
                "The theory and the mean over draws are not equal at all sizes.",
            ),
        ),
        table=picked(
            ["", "norms", "sizes and layers", "largest |z|", "root mean square of z"],
            ("all", _NORMS),
        ),
        words="[The table of all values](../numbers/agreement.md).",
    ),
    Entry(
        "finite_size",
        "What finite d and N change",
        beside=(
            Clause(
                "As many values agree with the theory at their own C, d and N as were measured.",
                _all_agree,
                "The difference from the limit d, N → ∞ is what the theory at finite sizes says.",
                "The difference from the limit d, N → ∞ is not everywhere what the theory at finite sizes says.",
            ),
        ),
        table=picked(["", "agree", "of", "largest |z|", "root mean square of z"], ("measured values", _AGREE)),
        note=judged_together,
    ),
    Entry(
        "vocabulary",
        "Vocabulary sizes",
        beside=(rate(("linear",), "CE", "Theorem 1"),),
        table=rates,
        note=judged_together,
        words="That is from a hundred to a million classes, all pairs of classes counted.",
    ),
    Entry(
        "spectrum",
        "Spectra of single blocks",
        beside=(
            Clause(
                f"The distance from the law at d = 1024 and C = 1000 is under {NEAR_LAW:g}, and its power of d is "
                "under 0.",
                _follows_law,
                "The eigenvalues of one block follow the limiting law, the closer the larger d is.",
                "The eigenvalues of one block do not follow the limiting law.",
            ),
        ),
        table=picked(
            ["block, C = 1000", "distance from the law at d = 1024", "its power of d"],
            *((kind, rf"\n{kind} +1000 +1024 +(\S+) +(\S+)") for kind in _BLOCKS),
        ),
    ),
    Entry(
        "decoupling",
        "The step on which the proofs rest",
        beside=(
            Clause(
                "Every verdict is *agrees*, with the power −1 of N and the size that the formula predicts, and every "
                "power is under −1/2.",
                _decoupled,
                "Lemmas 1 to 3 let the weights of a block come from an independent copy of the data. What this changes "
                "in the Stieltjes transform falls as 1/N, faster than the proofs' bound of N to the −1/2, and a "
                "determinant formula predicts its size.",
                "Lemmas 1 to 3 let the weights of a block come from an independent copy of the data. What this changes "
                "in the Stieltjes transform is not everywhere as predicted.",
            ),
            Clause(
                "The control's powers are over −3/4, so nearer to −1/2 than to −1.",
                _control,
                "Weights that see half of the directions, as a control, fall more slowly.",
                "Weights that see half of the directions, as a control, fall as quickly: the figure cannot tell both "
                "apart.",
            ),
        ),
        table=picked(
            ["block, z = 1 + i", "power of N", "d times the change", "predicted", "verdict"],
            *(
                (f"{model}, {kind}", _DECOUPLED.format(model, kind))
                for model in ("linear CE", "hidden layer CE")
                for kind in _BLOCKS
            ),
            ("control", _CONTROL),
        ),
    ),
    Entry(
        "universality",
        "Other laws of data and weights, other activations",
        beside=(
            Clause(
                "No other law of data or weights is called *another* in its exponent.",
                lambda section: "exponent another" not in section.pick("(linear: .*?)(?:\\. hidden:)")[0],
                "No other law of data or weights is seen to change the power of C.",
                "Another law of data or weights changes the power of C.",
            ),
            Clause(
                "Heavy tails are the exception: data `student_t:5`, and nothing else, is *not decided* in its "
                "exponent.",
                lambda section: section.pick("linear: .*?exponent not decided: ([^;]+);") == ("student_t:5",),
                "Heavy tails (Student's t) alone leave it open.",
                "Several laws, or none, leave it open.",
            ),
            Clause(
                "Of activations tanh alone is *another* in its exponent, in the hidden layer.",
                lambda section: (
                    section.pick("hidden: .*?exponent another: ([^;]+);") == ("tanh",)
                    and "exponent another" not in section.pick("(output: [^\\n]*)")[0]
                ),
                "Of other activations tanh alone changes the power in the hidden layer.",
                "Activations other than tanh, or none, change the power.",
            ),
        ),
        table=picked(
            ["layer", "the Gaussian power of C", "another", "not decided"],
            (
                "linear, CE",
                "linear: exponent same: gaussian, ([^;]+);",
                "()",
                "exponent not decided: ([^;]+); constant same",
            ),
            ("hidden, CE", "hidden: exponent same: relu, ([^;]+); exponent another: ([^;]+);", "()"),
            ("output, CE", "output: exponent same: relu, ([^;]+);", "()", "output: .*?exponent not decided: ([^;]+);"),
        ),
        words="[All verdicts](../universality.md).",
    ),
    Entry(
        "head",
        "The last layer through training",
        beside=(
            Clause(
                "At the last step the ratio is above that of the theorem and above that at the first step, by more "
                "than its error, and the perplexity is smaller.",
                _rises,
                "A small network that is trained on the spot: as it becomes sure, the ratio rises above that of the "
                "theorem.",
                "A small network that is trained on the spot: the ratio does not rise above that of the theorem.",
            ),
        ),
        table=picked(["ratio", "first step", "last step", "theorem, first step", "last step"], ("C = 100", _HEAD)),
        words="[Heads of trained networks](../heads.md), and [networks trained by us](../head_training.md).",
    ),
)


def checks(found: Mapping[str, Section]) -> str:
    """Return the page."""
    return summary(TITLE, _INTRODUCTION, ENTRIES, found)
