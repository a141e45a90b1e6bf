"""The matrices A = (1/n) X Λ Xᵀ of the slides: their sizes, the three kinds of Λ, and the limiting law of each."""

from __future__ import annotations

from functools import cache

from rmtsim.theory.spectra import Spectrum, block_spectrum, weight_laws

#: Kinds of Λ; `rmtsim.paper.wishart` describes them.
WEIGHTS = ("identity", "coupled", "copy")

#: Sizes of the slides, their number of samples of A, and the classes of the Λ that depends on data.
SAMPLES, DIM, REPEATS, CLASSES = 50, 300, 1000, 10


@cache
def wishart_law(weights: str, n_classes: int, aspect_ratio: float) -> Spectrum:
    """Return the limiting law (37) of A, or that of the diagonal block of linear CE, (55): of both other weights."""
    if weights == "identity":
        return Spectrum(weight_laws.bernoulli(1.0, 1.0), aspect_ratio)
    return block_spectrum("linear", "ce", "linear", "diag", n_classes, aspect_ratio)


def law_scale(weights: str, n_classes: int) -> float:
    """Scale of A over that of the law: λ is C times the block's."""
    return 1.0 if weights == "identity" else float(n_classes)
