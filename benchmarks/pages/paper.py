"""The page on the figures of the paper and of its slides."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.pages.entries import Entry, page
from benchmarks.pages.sections import Section, picked, rates, shares_outside

TITLE = "The paper, figure by figure"

_INTRODUCTION = """\
*Outside* is the share of a squared norm that lies outside the diagonal blocks; where it is under 0.1, a layer is
*near-block-diagonal*. Values are means over draws with their standard errors. Columns with `--full` have the paper's
sizes (d = C = 500, N = 5000), or larger ones than the others, and where they have no error they are one run."""

#: Of the share outside, with a hidden layer, from K = 2 to 500 clusters.
_CLUSTERS = "C = {}, outside .*? at standard scale hidden CE (\\S+) → (\\S+), output CE (\\S+) → ([^,]+),"


def _clusters(*classes: int) -> tuple[tuple[str, ...], ...]:
    return tuple((f"C = {number}", _CLUSTERS.format(number)) for number in classes)


_CLUSTER_HEAD = ["at standard scale, CE", "hidden, K = 2", "hidden, K = 500", "output, K = 2", "output, K = 500"]

#: One combination of loss and N of `dynamic_force`, and the lines that it has.
_FORCE = "- {}, C = 64, d = 64, N = {}, (?:.|\\n)*?"
_OUTSIDE = (
    "Finding 1, {} layer, squared norm outside the diagonal blocks: (\\S+) → (\\S+), (?:.|\\n)*?\\. ([A-Z][a-z ]+)"
)


def _force(loss: str, samples: int, layer: str) -> tuple[str, str]:
    return f"{layer}, {loss.upper()}, N = {samples}", _FORCE.format(loss.upper(), samples) + _OUTSIDE.format(layer)


_BINARY = "{}, share of the hidden .*?: (\\S+) → (\\S+) \\(Gaussian\\), (\\S+) → (\\S+) \\(2 clusters\\)"

_LOSS = "from (\\S+) to (\\S+) \\((?:.*?)\\); the last 10% of the steps make (\\S+) of the fall: (\\w+) \\({}"

ENTRIES = (
    Entry(
        "fig1",
        "Figure 1: CIFAR-100 at initialisation",
        "Not on this page: it needs the archive of CIFAR-100, which rmtsim does not fetch. `rmtsim reproduce fig1 "
        "--data FOLDER` draws it.",
    ),
    Entry(
        "fig2",
        "Figure 2: squared loss through training",
        "Near-block-diagonal from the first step to the last, as the paper says, and more so at its sizes. The cross "
        "layer (between layers) is negligible beside the whole Hessian at every moment.",
        shares_outside,
    ),
    Entry(
        "fig3",
        "Figure 3: cross-entropy through training",
        "Hidden and output layers stay near-block-diagonal, as the paper says. The cross layer loses most of its "
        "stripes.",
        shares_outside,
    ),
    Entry("fig4", "Figure 4: linear model, squared loss", "Block-diagonal exactly, as the paper says.", shares_outside),
    Entry(
        "fig5",
        "Figure 5: linear model, cross-entropy",
        "The structure appears as C grows, as Theorem 1 says, and the shares are those of the theory.",
        shares_outside,
    ),
    Entry(
        "fig6",
        "Figure 6: one hidden layer, squared loss",
        "The hidden layer becomes block-diagonal as C grows, and the output layer always is, as the paper says.",
        shares_outside,
    ),
    Entry(
        "fig7",
        "Figure 7: one hidden layer, cross-entropy",
        "Both layers become block-diagonal as C grows, as the paper says. The whole Hessian does so more slowly, "
        "because of what lies between the layers.",
        shares_outside,
    ),
    Entry(
        "fig8",
        "Figure 8: rates of the linear model, cross-entropy",
        "The ratio of off-diagonal to diagonal blocks falls with the power of C that Theorem 1 has. [All "
        "claims](verdicts.md).",
        rates,
    ),
    Entry(
        "fig8_mse", "Section 4, Case 1: rates of the linear model, squared loss", "Exactly as the paper says.", rates
    ),
    Entry(
        "fig9",
        "Figure 9: rates with one hidden layer, cross-entropy",
        "The ratios fall with the powers of C that Theorem 2 has, in both layers. [All claims](verdicts.md).",
        rates,
    ),
    Entry(
        "fig9_mse",
        "Section 4, Case 3: rates with one hidden layer, squared loss",
        "The ratio of the hidden layer falls with the power of C that Theorem 2 has; that of the output layer is zero.",
        rates,
    ),
    Entry(
        "fig10",
        "Figure 10: one output, two classes",
        "Collobert's picture, that cross-entropy makes the hidden layer block-diagonal with one output, is not seen: "
        "no checkpoint of training is near-block-diagonal, with either loss.",
        picked(
            ["outside, hidden layer", "Gaussian, first step", "last step", "2 clusters, first step", "last step"],
            ("cross-entropy", _BINARY.format("CE")),
            ("squared loss", _BINARY.format("MSE")),
        ),
    ),
    Entry(
        "fig11",
        "Figure 11: clustered data, few classes",
        "No layer is block-diagonal with few classes, at any number of clusters K, as the paper says.",
        picked(_CLUSTER_HEAD, *_clusters(2, 5)),
    ),
    Entry(
        "fig12",
        "Figure 12: clustered data, many classes",
        "Within the layers the number of classes decides, and K changes little, as the paper says. For the whole "
        "Hessian K matters, through what lies between the layers.",
        picked(_CLUSTER_HEAD, *_clusters(2, 100, 500)),
    ),
    Entry(
        "fig13",
        "Figure 13: the loss through training",
        "Training has converged: the loss is flat at the end.",
        picked(
            ["loss", "first step", "last step", "share of its fall in the last tenth", "then"],
            ("cross-entropy", _LOSS.format("CE")),
            ("squared loss", _LOSS.format("MSE")),
        ),
    ),
    Entry(
        "dynamic_force",
        "Findings 1 and 2: the dynamic force",
        "Finding 1 holds for output layers with ten samples a class, and exactly with squared loss. Hidden layers, "
        "and with cross-entropy and one sample a class the output layer too, are weakened or not resolved: still far "
        "from lost, but above the threshold at this size. Finding 2: the stripes of the cross layer become a small "
        "share of it. But their own norm vanishes only where the network fits its labels; otherwise it is the rest "
        "that grows.",
        picked(
            ["outside", "first step", "last step", "Finding 1"],
            *(_force("ce", samples, layer) for samples in (640, 64) for layer in ("hidden", "output")),
            *(_force("mse", samples, "hidden") for samples in (640, 64)),
        ),
    ),
    Entry(
        "slides_classes",
        "Slides: C = 2, 10 and 100",
        "No structure at two classes, a clear one at a hundred, as the slides show.",
        shares_outside,
    ),
    Entry(
        "simo",
        "Slides: one input, many outputs",
        "The entries that the slides call zero are zero in every draw, and no others. The ratio in the hidden part is "
        "1/(q + 2) for q outputs.",
        picked(
            ["outputs q", "off-diagonal over diagonal", "1/(q + 2)"],
            *((str(q), rf"\n *{q}  (\d\S+) +(\S+)") for q in (1, 8, 32)),
        ),
    ),
    Entry(
        "wishart",
        "Slides: eigenvalues of (1/n) X Λ Xᵀ",
        "The spectrum is that of the generalised Marchenko–Pastur law also where the weights Λ depend on X: a copy of "
        "X in its place changes nothing that the errors would show.",
        picked(
            ["weights, n = 100, d = 600", "Kolmogorov–Smirnov distance from the law"],
            *((name, rf"\n{name} +100 600 +\d+ \S+ \S+ (\S+)") for name in ("identity", "coupled", "copy")),
        ),
    ),
    Entry(
        "deep",
        "Slides: four layers",
        "The output layer is near-block-diagonal. Hidden layers are not, and become less so in training; at "
        "initialisation their shares are near those of the theory to leading order in 1/width.",
        shares_outside,
    ),
)


def paper(found: Mapping[str, Section]) -> str:
    """Return the page."""
    return page(TITLE, _INTRODUCTION, ENTRIES, found)
