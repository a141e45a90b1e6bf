"""The page on the figures of the paper."""

from __future__ import annotations

from collections.abc import Mapping

from docs.verdicts.clauses import Clause
from docs.verdicts.entries import Entry, summary, tally
from docs.verdicts.readings import both, grows, over, under
from docs.verdicts.sections import Section, picked, rates, shares_outside
from docs.verdicts.sentences import (
    STRIPES,
    agrees_with_theory,
    appears,
    exactly,
    judged_together,
    rate,
    structured,
    zero_rate,
)
from docs.verdicts.slides import SLIDES
from rmtsim.stats.verdict import FLAT, LOST, NEAR, NEGLIGIBLE

TITLE = "The paper, figure by figure"

_INTRODUCTION = f"""\
**{{tally}}**

A layer is *near-block-diagonal* where its share of the squared norm *outside* the diagonal blocks is under {NEAR:g}.
A number is over or under a limit, or two numbers differ, where more than two standard errors lie between them (more
where several numbers decide together, by Bonferroni's correction). Values beside the theory are judged as in a
[report](../explanation/verdicts.md), which calls a true theory wrong once in a thousand times. With `--full` the sizes
are the paper's (d = C = 500, N = 5000), or larger than the others; a number without an error is one run there, and is
taken as it is."""

#: Of the share outside, with a hidden layer, from K = 2 to 500 clusters.
_CLUSTERS = "C = {}, outside .*? at standard scale hidden CE (\\S+) → (\\S+), output CE (\\S+) → ([^,]+),"
_CLUSTER_HEAD = ["at standard scale, CE", "hidden, K = 2", "hidden, K = 500", "output, K = 2", "output, K = 500"]


def _clusters(*classes: int) -> tuple[tuple[str, ...], ...]:
    return tuple((f"C = {number}", _CLUSTERS.format(number)) for number in classes)


def _at(clusters: str, classes: tuple[int, ...], section: Section) -> bool:
    pattern = "C = {}, .*?: hidden and output layers ([^;]+);"
    return all(section.pick(pattern.format(number)) == (f"at {clusters} K",) for number in classes)


def _classes_decide(section: Section) -> bool | None:
    """Whether C changes the ratio of both layers tenfold, and K less than twofold."""
    pattern = "{} layer, CE, .*?, (\\S+) at standard scale .*?C = 2 over C = 500 is \\S+(?: \\S+)?, ([^,]+), means"
    found = [section.read(pattern.format(layer)) for layer in ("Hidden", "Output")]
    of_clusters, of_classes = zip(*found, strict=True)
    return both(under(2, of_clusters), over(10, of_classes))


def _clusters_matter(section: Section) -> bool | None:
    return over(2, section.read("Whole Hessian, CE, .*?, a factor of ([^,]+),"))


_BINARY = "{}, share of the hidden .*?: (\\S+) → (\\S+) \\(Gaussian\\), (\\S+) → (\\S+) \\(2 clusters\\)"


def _becomes(loss: str, section: Section) -> bool | None:
    [verdict] = section.pick(f"- {loss}, share of .*?Near-block-diagonal \\(under [\\d.]+\\): ([a-z ]+)\\.")
    return {"at a checkpoint": True, "at no checkpoint": False}.get(verdict)


_LOSS = "from (\\S+) to (\\S+) \\((?:.*?)\\); the last 10% of the steps make (\\S+) of the fall: (\\w+) \\({}"


def _flat(section: Section) -> bool:
    found = [section.pick(_LOSS.format(loss), full=full)[-1] for loss in ("CE", "MSE") for full in (False, True)]
    return set(found) == {"flat"}


def _loses_stripes(section: Section) -> bool | None:
    first, last = section.read("stripes in the cross layer: (\\S+ %) → (\\S+ %)")
    return both(over(LOST, [first]), under(LOST, [last]))


def _slower(section: Section) -> bool | None:
    shares = {layer: last for layer, (_, last) in section.shares().items()}
    whole = shares["whole"]
    above = grows((shares[layer], whole) for layer in ("hidden", "output"))
    return both(above, over(LOST * whole.value, [shares["between layers"]]))


_LAYERS_FULL, _LAYERS = (
    structured(f"At the {sizes}", "the hidden and the output layer are", ("hidden", "output"), full=full)
    for sizes, full in (("paper's sizes", True), ("smaller sizes", False))
)

_BY_FULL = (
    "Whether the hidden and the output layer do as the paper says was judged at the paper's sizes (`--full`), of which "
    "there is one run; what the smaller sizes say of these layers does not count."
)

_SIZES_OF_OURS = (
    "The sizes are [ours](../../reference/built-in-specs.md): the text of the paper gives no C, d and N for this "
    "figure."
)

FIGURES = (
    Entry(
        "fig1",
        "Figure 1: CIFAR-100 at initialisation",
        words="Not drawn here: it needs the archive of CIFAR-100, which rmtsim does not fetch. `rmtsim reproduce fig1 "
        "--data FOLDER` draws it.",
    ),
    Entry(
        "fig2",
        "Figure 2: squared loss through training",
        (
            _LAYERS_FULL,
            Clause(
                f"Negligible: what lies between layers is under {NEGLIGIBLE:g} of the squared norm, first and last, at "
                "both sizes.",
                lambda section: under(
                    NEGLIGIBLE,
                    [share for full in (False, True) for share in section.shares(full=full)["between layers"]],
                ),
                "The cross layer (between layers) is negligible beside the whole Hessian.",
                "The cross layer (between layers) is not negligible beside the whole Hessian.",
            ),
        ),
        (_LAYERS, agrees_with_theory()),
        shares_outside,
        words=_BY_FULL,
    ),
    Entry(
        "fig3",
        "Figure 3: cross-entropy through training",
        (
            _LAYERS_FULL,
            Clause(
                f"Stripes vanish: their share of the squared norm of the cross layer is over {LOST:g} at the first "
                "step and under it at the last.",
                _loses_stripes,
                f"The cross layer loses most of its {STRIPES}.",
                f"The cross layer does not lose most of its {STRIPES}.",
            ),
        ),
        (_LAYERS, agrees_with_theory()),
        shares_outside,
        words=_BY_FULL,
    ),
    Entry("fig4", "Figure 4: linear model, squared loss", (exactly("linear"),), table=shares_outside),
    Entry(
        "fig5",
        "Figure 5: linear model, cross-entropy",
        (appears(("linear",), "The Hessian becomes"),),
        (agrees_with_theory(),),
        shares_outside,
    ),
    Entry(
        "fig6",
        "Figure 6: one hidden layer, squared loss",
        (appears(("hidden",), "The hidden layer becomes"), exactly("output")),
        (agrees_with_theory(),),
        shares_outside,
    ),
    Entry(
        "fig7",
        "Figure 7: one hidden layer, cross-entropy",
        (appears(("hidden", "output"), "The hidden and the output layer become"),),
        (
            Clause(
                f"The whole is slower: at the largest C its share is above those of its layers, and over {LOST:g} of "
                "it lies between the layers.",
                _slower,
                "The whole Hessian is slower, because of what lies between the layers.",
                "The whole Hessian is not slower than its layers.",
            ),
            agrees_with_theory(),
        ),
        shares_outside,
    ),
    Entry(
        "fig8",
        "Figure 8: rates of the linear model, cross-entropy",
        (rate(("linear",), "CE", "Theorem 1"),),
        table=rates,
        words=_SIZES_OF_OURS,
        note=judged_together,
    ),
    Entry(
        "fig8_mse",
        "Section 4, Case 1: rates of the linear model, squared loss",
        (zero_rate("linear", "MSE"),),
        table=rates,
        note=judged_together,
    ),
    Entry(
        "fig9",
        "Figure 9: rates with one hidden layer, cross-entropy",
        (rate(("hidden", "output"), "CE", "Theorem 2"),),
        table=rates,
        words=_SIZES_OF_OURS,
        note=judged_together,
    ),
    Entry(
        "fig9_mse",
        "Section 4, Case 3: rates with one hidden layer, squared loss",
        (rate(("hidden",), "MSE", "Theorem 2"), zero_rate("output", "MSE")),
        table=rates,
        note=judged_together,
    ),
    Entry(
        "fig10",
        "Figure 10: one output, two classes",
        (
            Clause(
                "With cross-entropy: the verdict of the figure is *at a checkpoint*, as the share of the hidden layer "
                f"is under {NEAR:g} at one. It is *at no checkpoint* where the share is over that at all of them.",
                lambda section: _becomes("CE", section),
                "With cross-entropy the hidden layer is near-block-diagonal at a checkpoint of training.",
                "With cross-entropy the hidden layer is near-block-diagonal at no checkpoint of training: Collobert's "
                "picture is not seen.",
                "With cross-entropy it is not excluded that the hidden layer is near-block-diagonal at a checkpoint.",
            ),
        ),
        (
            Clause(
                "With squared loss: likewise.",
                lambda section: _becomes("MSE", section),
                "With squared loss it is so, too.",
                "Nor is it with squared loss.",
                "With squared loss it is not excluded.",
            ),
        ),
        picked(
            ["outside, hidden layer", "Gaussian, first step", "last step", "2 clusters, first step", "last step"],
            ("cross-entropy", _BINARY.format("CE")),
            ("squared loss", _BINARY.format("MSE")),
        ),
    ),
    Entry(
        "fig11",
        "Figure 11: clustered data, few classes",
        (
            Clause(
                "The verdict of the figure on hidden and output layers is *at no K* at each C.",
                lambda section: _at("no", (2, 5), section),
                "With few classes neither layer is near-block-diagonal, at any number of clusters K.",
                "With few classes a layer is near-block-diagonal at some number of clusters K, or that is open.",
            ),
        ),
        (agrees_with_theory(),),
        picked(_CLUSTER_HEAD, *_clusters(2, 5)),
    ),
    Entry(
        "fig12",
        "Figure 12: clustered data, many classes",
        (
            Clause(
                "The verdict of the figure on hidden and output layers is *at every K* at C = 100 and at C = 500.",
                lambda section: _at("every", (100, 500), section),
                "With many classes both layers are near-block-diagonal, at every number of clusters K.",
                "With many classes a layer is not near-block-diagonal at some number of clusters K, or that is open.",
            ),
            Clause(
                "The number of classes decides: from C = 2 to 500 the ratio of off-diagonal to diagonal blocks changes "
                "by a factor over 10 in both layers, and from K = 2 to 500 by one under 2, at standard scale.",
                _classes_decide,
                "The number of classes decides within the layers, and K changes little.",
                "The number of classes does not decide alone within the layers.",
            ),
        ),
        (
            Clause(
                "K matters for the whole: it changes the share outside by a factor over 2 where it does so most.",
                _clusters_matter,
                "For the whole Hessian K matters.",
                "For the whole Hessian K changes little, too.",
                "Whether K matters for the whole Hessian is open.",
            ),
            agrees_with_theory(),
        ),
        picked(_CLUSTER_HEAD, *_clusters(2, 100, 500)),
    ),
    Entry(
        "fig13",
        "Figure 13: the loss through training",
        (
            Clause(
                f"Converged: the last tenth of the steps makes less than {FLAT:g} of the fall of the loss (*flat*), "
                "with both losses and at both sizes.",
                _flat,
                "Training has converged: the loss is flat at the end.",
                "Training has not converged with every loss and size.",
            ),
        ),
        table=picked(
            ["loss", "first step", "last step", "share of its fall in the last tenth", "then"],
            ("cross-entropy", _LOSS.format("CE")),
            ("squared loss", _LOSS.format("MSE")),
        ),
    ),
)

ENTRIES = (*FIGURES, *SLIDES)


def paper(found: Mapping[str, Section]) -> str:
    """Return the page."""
    return summary(TITLE, _INTRODUCTION.format(tally=tally(ENTRIES, found)), ENTRIES, found)
