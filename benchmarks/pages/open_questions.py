"""The page on the open questions of the paper's Appendix A."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.pages.entries import Entry, page
from benchmarks.pages.sections import Section, picked

TITLE = "The open questions of Appendix A"

_INTRODUCTION = """\
The paper ends with four questions. Each has a figure here. Powers are those of C in the ratio of off-diagonal to
diagonal blocks; values are means over draws with their standard errors."""

_TRAINING = "- {}, {} layer, {}: .*? p = (\\S+) at .*?, (\\S+) at the end, .*?: ([^\\n]+)"


def _training(loss: str, layer: str, samples: str) -> tuple[str, str]:
    return f"{layer}, {loss}, {samples}", _TRAINING.format(loss, layer, samples)


_REGIME = "- {}: holds (?:up to C = 10\\^6 )?at (.*?): measured (\\S+) to (\\S+);"
_ONE_REGIME = "- {}: holds (?:up to C = 10\\^6 )?at (.*?): measured (\\S+?);"

_SPECTRA = (
    "- {}; .*?law of initialisation (\\S+) → (\\S+), (?:.*?) decoupled blocks (\\S+ → [^,]+), .*?: the decoupling "
    "([^\\n.]+?)(?:, within[^\\n]*)?\\.\\n"
)

ENTRIES = (
    Entry(
        "regimes",
        "(a) Do the rates hold in other regimes?",
        "Where draws can tell, yes: with enough dimensions and neurons the ratio falls as the theorems have it, for "
        "every d/N that was tried. With few dimensions or few neurons the mean lies in draws too rare to meet, so "
        "draws decide nothing. There the theory alone speaks: at d = 2 and 3 the rate of the linear model is never "
        "reached, and with four neurons that of the output layer does not hold up to a million classes.",
        picked(
            ["layer (theorem)", "sizes at which it holds", "measured power, from", "to"],
            ("linear, CE (−2)", _REGIME.format("linear model, CE \\(theorem: −2\\)")),
            ("hidden, CE (−1)", _REGIME.format("hidden layer, CE \\(theorem: −1\\)")),
            ("output, CE (−2)", _ONE_REGIME.format("output layer, CE \\(theorem: −2\\)"), "(?:)()"),
            ("hidden, MSE (−1)", _REGIME.format("hidden layer, MSE \\(theorem: −1\\)")),
        ),
    ),
    Entry(
        "training_rates",
        "(b) Does the dependence on C last through training?",
        "It is not kept. In most layers the power of C becomes flatter, or the points follow no power at all; in the "
        "output layer with cross-entropy and ten samples a class it becomes steeper. Off-diagonal blocks of the "
        "output layer with squared loss are zero throughout.",
        picked(
            ["layer, loss, samples", "at initialisation", "at the end", "verdict"],
            *(
                _training(loss, layer, samples)
                for samples in ("N = 640", "N = 10 C")
                for loss, layer in (("CE", "hidden"), ("MSE", "hidden"), ("CE", "output"))
            ),
        ),
    ),
    Entry(
        "fan_out",
        "(c) Deeper networks: is it each layer's fan-out?",
        "At initialisation a layer's own number of neurons does not matter. The next layer's matters in part. What "
        "counts is all later layers together: the sum of 1/n over their numbers of neurons n, as a closed form to "
        "leading order has it. After training a layer's own neurons matter too.",
        picked(
            ["at initialisation, hidden layers", "power of the size in the ratio"],
            ("own neurons", "own neurons (\\S+) on average over"),
            ("the next layer's", "the next layer's (\\S+ to \\S+) where"),
            ("all later layers' together", "all later layers' together (\\S+ to \\S+) \\(theory"),
        ),
    ),
    Entry(
        "training_spectra",
        "(d) The blocks' spectra through training",
        "At initialisation the eigenvalues follow the law of the theory, and training leads away from it. The step on "
        "which the proofs rest, that a block has the eigenvalues which it would have if its data were independent of "
        "its weights (a *decoupled* block), survives in the bulk of the spectrum. At an edge it is lost in two cases.",
        picked(
            ["layer", "distance from the law, first step", "last step", "from decoupled blocks", "the decoupling"],
            ("linear, CE, N = 1000", _SPECTRA.format("linear model, CE, C = 10, d = 100, N = 1000")),
            ("linear, CE, N = 200", _SPECTRA.format("linear model, CE, C = 10, d = 100, N = 200")),
            ("hidden, CE, N = 1000", _SPECTRA.format("hidden layer, CE, C = 100, d = 100, N = 1000, m = 8")),
            ("hidden, MSE, N = 1000", _SPECTRA.format("hidden layer, MSE, C = 100, d = 100, N = 1000, m = 8")),
        ),
    ),
)


def open_questions(found: Mapping[str, Section]) -> str:
    """Return the page."""
    return page(TITLE, _INTRODUCTION, ENTRIES, found)
