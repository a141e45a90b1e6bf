"""The limiting laws (55) and (56) of the blocks of linear cross-entropy, and the scale on which they are drawn."""

from __future__ import annotations

from functools import cache

from rmtsim.theory.spectra import Spectrum, block_spectrum

#: Power of C that the eigenvalues of a block are multiplied by, and their sign.
SCALE = {"diag": (1, 1), "offdiag": (2, -1)}


@cache
def limiting_spectrum(block: str, n_classes: int | None, aspect_ratio: float) -> Spectrum:
    """Return the limiting law (55) of H_ii or (56) of −H_ij of linear CE.

    Without a C it is the law of C H_ii or −C² H_ij as C → ∞.
    """
    return block_spectrum("linear", "ce", "linear", block, n_classes, aspect_ratio)
