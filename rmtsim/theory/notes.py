"""The reason why a prediction is NaN or infinite, in a sentence."""

from __future__ import annotations

import math

from rmtsim.model.layers import CROSS, HIDDEN, OUTPUT
from rmtsim.theory.prediction import Case, Estimate


def note(case: Case, layer: str, estimate: Estimate) -> str:
    """Return the reasons for values of ``estimate`` that are NaN or infinite; empty where all are finite."""
    parts = []
    if layer == CROSS.name:
        return "cross blocks are all off-diagonal"
    if math.isnan(estimate.offdiag):
        single = f"width = {case.width}" if layer == HIDDEN.name else f"n_classes = {case.n_classes}"
        parts.append(f"there are no off-diagonal blocks at {single}")
    elif math.isnan(estimate.ratio):
        parts.append("there is no ratio, for diag is 0")
    parts += [_divergence(case, layer, q) for q in ("diag", "offdiag") if math.isinf(getattr(estimate, q))]
    return "; ".join(parts)


def _divergence(case: Case, layer: str, quantity: str) -> str:
    """Return why the C → ∞ constant diverges: E e^{c gain |σ|²/m} does where 2c gain / m is not below 1.

    The linear model has |x|²/d for |σ|²/m. Pairs n ≠ k, alone in the limit of the output layer, need c gain / m to be
    below 1. At finite d the gain stands with |x|²/d.
    """
    terms = 2 if quantity == "offdiag" and layer != HIDDEN.name else 1  # classes that are tilted
    factor = terms if layer == OUTPUT.name and case.dim is None else 2 * terms
    name, size = ("dim", case.dim) if case.width is None else ("width", case.width)
    assert size is not None  # the linear constants diverge at finite d only
    value = factor * case.ensemble.scales(case.n_classes, case.width, case.dim).gain / size
    multiple = f"{factor} gain" if factor > 1 else "gain"
    of, measure = f"{quantity} has no constant as C → ∞", f"{multiple} / {name} is {value:.3g}"
    if value >= 1:
        return f"{of}: rare samples with large logits outweigh all others ({measure}, and would have to be below 1)"
    if case.width is None or case.dim is None:
        return f"{of} that a float could hold: it is too large ({measure}, close to 1)"
    return f"{of}: at dim = {case.dim} rare long samples outweigh all others ({measure}, times |x|²/dim of a sample)"
