"""The page on the open questions of the paper's Appendix A."""

from __future__ import annotations

import re
from collections.abc import Mapping

from docs.verdicts.clauses import Clause, Listing
from docs.verdicts.entries import Entry, summary
from docs.verdicts.readings import Reading, both, by_chance, grows, over, reading, under
from docs.verdicts.sections import Section, picked
from docs.verdicts.sentences import NEAR_LAW
from rmtsim.stats.verdict import RATE_MARGIN

TITLE = "The open questions of Appendix A"

_INTRODUCTION = """\
The paper ends with four questions. Each has a figure here. Powers are those of C in the ratio of off-diagonal to
diagonal blocks; values are means over draws with their standard errors. How numbers are judged is said on [the page of
the paper](paper.md)."""

_TRAINING = "- {}, {} layer, {}: .*? p = (\\S+) at .*?, (\\S+) at the end, .*?: ([^\\n]+)"
_COURSE = "- {}, {} layer, {}: [^\\n]*?factor 4: ([^\\n]+)"
_TRAINED = [
    (loss, layer, samples)
    for samples in ("N = 640", "N = 10 C")
    for loss, layer in (("CE", "hidden"), ("MSE", "hidden"), ("CE", "output"))
]

_REGIME = "- {}: holds (?:up to C = 10\\^6 )?at (.*?): measured (\\S+) to (\\S+);"
_ONE_REGIME = "- {}: holds (?:up to C = 10\\^6 )?at (.*?): measured (\\S+?);"


def _no_other_rate(section: Section) -> bool:
    verdicts = section.picks("\\(theorem: \\S+\\): (holds|not decided|[a-z ]+)")
    return {verdict.split()[0] for verdict in verdicts} <= {"holds", "not"} and "holds" in " ".join(verdicts)


def _beyond(section: Section, layer: str, where: str) -> bool:
    """Whether the theory at the undecided sizes of a layer is at the theorem's power there."""
    pattern = f"- {layer} \\(theorem: (\\S+)\\): not decided [^\\n]*?{where} (\\S+)(?: to (\\S+?))?(?:[,\\n]|$)"
    theorem, *ends = [reading(word).value for word in section.pick(pattern) if word]
    return all(abs(end - theorem) <= RATE_MARGIN for end in ends)


_SPECTRUM = (
    "- {}; .*?law of initialisation (\\S+) → (\\S+), (?:.*?) decoupled blocks (\\S+ → [^,]+), .*?: the decoupling "
    "([^\\n.]+?)(?:, within[^\\n]*)?\\.(?:\\n|$)"
)
_NETWORKS = {
    "linear, CE, N = 1000": "linear model, CE, C = 10, d = 100, N = 1000",
    "linear, CE, N = 200": "linear model, CE, C = 10, d = 100, N = 200",
    "hidden, CE, N = 1000": "hidden layer, CE, C = 100, d = 100, N = 1000, m = 8",
    "hidden, MSE, N = 1000": "hidden layer, MSE, C = 100, d = 100, N = 1000, m = 8",
}


def _distances(section: Section) -> list[tuple[Reading, Reading]]:
    found = [section.pick(_SPECTRUM.format(network)) for network in _NETWORKS.values()]
    return [(reading(first), reading(last)) for first, last, *_ in found]


def _own_neurons(section: Section) -> bool | None:
    power = section.read("own neurons (\\S+) on average over")
    return both(under(RATE_MARGIN, power), over(-RATE_MARGIN, power))


def _zero_throughout(section: Section) -> bool:
    """Whether the figure says so of the output layer with squared loss, with both numbers of samples."""
    pattern = "- MSE, output layer, {}: ([^\\n]*)"
    said = [section.pick(pattern.format(samples))[0] for samples in ("N = 640", "N = 10 C")]
    return all(one.startswith("off-diagonal blocks are zero throughout") for one in said)


def _later_layers_together(section: Section) -> bool:
    """Whether the power of all later layers together is that of a sum of 1/n, and that of the next one alone is not."""
    together = section.read("all later layers' together (\\S+) to (\\S+) \\(")
    alone = section.read("the next layer's (\\S+) to (\\S+) where")
    return all(_of_a_sum(power) for power in together) and not any(_of_a_sum(power) for power in alone)


def _of_a_sum(power: Reading) -> bool:
    return abs(power.value + 1) <= RATE_MARGIN


def _own_neurons_after_training(section: Section) -> bool:
    """Whether chance explains none of the powers of own neurons after training, of which there are so many."""
    pattern = "own neurons ([^()]*) \\(\\|z\\| at least ([\\d.]+)\\)"
    section.pick(pattern)
    found = re.findall(pattern, section.text)
    powers = sum(len(words.split(", ")) for words, _ in found)
    return not any(by_chance([reading(z).value], powers) for _, z in found)


ENTRIES = (
    Entry(
        "regimes",
        "(a) Do the rates hold in other regimes?",
        beside=(
            Clause(
                "Draws agree with the theorems: the figure calls no group of sizes anything but *holds* or *not "
                "decided*.",
                _no_other_rate,
                "Where draws can tell, yes: the ratio falls as the theorems have it.",
                "Not everywhere: at some sizes draws show another power.",
            ),
            Clause(
                "Draws decide nothing at some sizes: there is a group that the figure calls *not decided*, since rare "
                "draws carry the mean.",
                lambda section: "not decided at" in section.text and "tail is too heavy" in section.text,
                "At other sizes the mean lies in draws too rare to meet, so draws decide nothing.",
                "Draws decide at all sizes.",
            ),
            Clause(
                f"There the linear model keeps the rate in theory: the power as C → ∞ is within {RATE_MARGIN:g} of the "
                "theorem's at all of these sizes.",
                lambda section: _beyond(section, "linear model, CE", "as C → ∞"),
                "There the theory alone speaks: the linear model reaches the rate of the theorem at all these sizes.",
                "There the theory alone speaks: at some sizes the linear model never reaches the rate.",
            ),
            Clause(
                f"Likewise the output layer, at C from 10⁵ to 10⁶: within {RATE_MARGIN:g} of the theorem's power.",
                lambda section: _beyond(section, "output layer, CE", "at C from 10\\^5 to 10\\^6"),
                "The output layer reaches it at all these sizes.",
                "At some, the output layer has not reached it at a million classes.",
            ),
        ),
        table=picked(
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
        beside=(
            Listing(
                "By the verdict of the figure on the power of C at the end beside that at the start. *Bent* and *no "
                "power law*: the points are on no straight line.",
                {
                    f"{layer}, {loss}, {samples}": _COURSE.format(loss, layer, samples)
                    for loss, layer, samples in _TRAINED
                },
                {
                    "kept": "It is kept in",
                    "flatter": "The power of C becomes flatter in",
                    "steeper": "It becomes steeper in",
                    "bent": "At the end the points lie on a curve in log–log axes: no power of C describes them in",
                    "lost": "The dependence is lost in",
                },
            ),
            Clause(
                "Zero throughout: the figure says so of the output layer with squared loss, with both numbers of "
                "samples.",
                _zero_throughout,
                "Off-diagonal blocks of the output layer with squared loss are zero throughout.",
                "Off-diagonal blocks of the output layer with squared loss do not stay zero.",
            ),
        ),
        table=picked(
            ["layer, loss, samples", "at initialisation", "at the end", "verdict"],
            *(
                (f"{layer}, {loss}, {samples}", _TRAINING.format(loss, layer, samples))
                for loss, layer, samples in _TRAINED
            ),
        ),
    ),
    Entry(
        "fan_out",
        "(c) Deeper networks: is it each layer's fan-out?",
        beside=(
            Clause(
                f"Own neurons do not matter: their power is within {RATE_MARGIN:g} of 0.",
                _own_neurons,
                "At initialisation a layer's own number of neurons does not matter.",
                "At initialisation a layer's own number of neurons matters.",
            ),
            Clause(
                f"All later layers count: the power of their neurons together is within {RATE_MARGIN:g} of −1, and "
                "that of the next layer alone is not.",
                _later_layers_together,
                "What counts is all later layers together: the sum of 1/n over their numbers of neurons n. The next "
                "layer alone counts in part.",
                "All later layers together do not decide.",
            ),
            Clause(
                "After training: the least |z| of the powers of own neurons is over what chance explains.",
                _own_neurons_after_training,
                "After training a layer's own neurons matter, too.",
                "After training a layer's own neurons do not matter in every layer.",
            ),
        ),
        table=picked(
            ["at initialisation, hidden layers", "power of the size in the ratio"],
            ("own neurons", "own neurons (\\S+) on average over"),
            ("the next layer's", "the next layer's (\\S+ to \\S+) where"),
            ("all later layers' together", "all later layers' together (\\S+ to \\S+) \\(theory"),
        ),
    ),
    Entry(
        "training_spectra",
        "(d) The blocks' spectra through training",
        beside=(
            Clause(
                f"The distance of the eigenvalues of a block from the law of initialisation is under {NEAR_LAW:g} at "
                "the first step.",
                lambda section: under(NEAR_LAW, [first for first, _ in _distances(section)]),
                "At initialisation the eigenvalues follow the law of the theory.",
                "At initialisation the eigenvalues do not follow the law of the theory in every layer.",
            ),
            Clause(
                "That distance grows from the first step to the last.",
                lambda section: grows(_distances(section)),
                "Training leads away from it.",
                "Training does not lead away from it in every layer.",
            ),
            Listing(
                "The decoupling, by the verdict of the figure: whether a block has the eigenvalues which it would have "
                "if its data were independent of its weights (a *decoupled* block), in the bulk and at both edges.",
                {name: f"- {network}; .*?: the decoupling ([^\\n.]+)" for name, network in _NETWORKS.items()},
                {
                    "survives": "The step on which the proofs rest, that data and weights of a block may be taken for "
                    "independent (*decoupled*), survives in",
                    "is lost at the lower edge": "At the lower edge of the spectrum it is lost in",
                    "is lost at the upper edge": "At the upper edge it is lost in",
                    "is lost": "It is lost in",
                },
            ),
        ),
        table=picked(
            ["layer", "distance from the law, first step", "last step", "from decoupled blocks", "the decoupling"],
            *((name, _SPECTRUM.format(network)) for name, network in _NETWORKS.items()),
        ),
    ),
)


def open_questions(found: Mapping[str, Section]) -> str:
    """Return the page."""
    return summary(TITLE, _INTRODUCTION, ENTRIES, found)
