"""The page on figures beyond the paper's: checks of the theory and of its proofs, other laws, trained heads."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.pages.entries import Entry, page
from benchmarks.pages.sections import Section, picked, rates

TITLE = "Checks of the theory"

_INTRODUCTION = """\
Figures that the paper does not have: the theory at finite sizes, the laws behind it, the step on which its proofs rest,
and what becomes of it where its assumptions do not hold."""

_AGREE = "(\\d+) of (\\d+) measured values agree .*?largest \\|z\\| (\\S+), root mean square ([\\d.]+)"
_DECOUPLED = r"\n{}, {}, C = 10(?:, m = 4)? +1\+1i +(\S+) +\S+ +(\S+) +(\S+) +(\w+)"
_CONTROL = r"\ncontrol: [^\n]*? +1\+1i +(\S+) +\S+ +(-) +(-)()"
_HEAD = "off-diagonal/diagonal (\\S+) → (\\S+); theorem (\\S+) → (\\S+);"

ENTRIES = (
    Entry(
        "agreement",
        "Theory against simulation at many sizes",
        "Every case and layer, C from 2 to 10⁵, widths from 3 to 32, three initialisations: the theory and the mean "
        "over draws are equal within their errors. [The table of all values](agreement.md).",
        picked(
            ["", "norms", "sizes and layers", "largest |z|", "root mean square of z"],
            (
                "all",
                "(\\d+) norms at (\\d+) sizes and layers: largest \\|z\\| (\\S+), .*? root mean square (\\d\\.\\d+)",
            ),
        ),
    ),
    Entry(
        "finite_size",
        "What finite d and N change",
        "The difference from the limit d, N → ∞ is what the theory at finite sizes says.",
        picked(["", "agree", "of", "largest |z|", "root mean square of z"], ("measured values", _AGREE)),
    ),
    Entry(
        "vocabulary",
        "Vocabulary sizes",
        "From a hundred to a million classes the ratio falls as Theorem 1 has it, all pairs of classes counted.",
        rates,
    ),
    Entry(
        "spectrum",
        "Spectra of single blocks",
        "The eigenvalues of one block follow the limiting law, the closer the larger d is.",
        picked(
            ["block, C = 1000", "distance from the law at d = 1024", "its power of d"],
            *((kind, rf"\n{kind} +1000 +1024 +(\S+) +(\S+)") for kind in ("diagonal", "off-diagonal")),
        ),
    ),
    Entry(
        "decoupling",
        "The step on which the proofs rest",
        "Lemmas 1 to 3 let the weights of a block come from an independent copy of the data. What this changes in the "
        "Stieltjes transform falls as 1/N, faster than the proofs' bound of N to the −1/2, and a determinant formula "
        "predicts its size. Weights that see half of the directions, as a control, fall with the power −1/2.",
        picked(
            ["block, z = 1 + i", "power of N", "d times the change", "predicted", "verdict"],
            *(
                (f"{model}, {kind}", _DECOUPLED.format(model, kind))
                for model in ("linear CE", "hidden layer CE")
                for kind in ("diagonal", "off-diagonal")
            ),
            ("control", _CONTROL),
        ),
    ),
    Entry(
        "universality",
        "Other laws of data and weights, other activations",
        "Bounded, correlated and spiked data and other laws of weights keep the power of C, and almost the constant. "
        "Heavy tails are the one law that breaks the picture. Other activations keep the power but for tanh, and "
        "change the constant. [All verdicts](universality.md).",
        picked(
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
    ),
    Entry(
        "head",
        "The last layer through training",
        "A small network that is trained on the spot: as it becomes sure, the ratio rises above that of the theorem. "
        "[Heads of trained networks](heads.md), and [networks trained by us](head_training.md).",
        picked(["ratio", "first step", "last step", "theorem, first step", "last step"], ("C = 100", _HEAD)),
    ),
)


def checks(found: Mapping[str, Section]) -> str:
    """Return the page."""
    return page(TITLE, _INTRODUCTION, ENTRIES, found)
