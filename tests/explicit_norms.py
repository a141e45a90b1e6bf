"""Norms of blocks that are formed one by one."""

from __future__ import annotations

import numpy as np

from rmtsim.kernels import explicit_blocks as blocks
from tests.cases import Problem


def explicit(p: Problem) -> dict[str, tuple[float, float]]:
    """Layer → (mean over diagonal blocks, mean over off-diagonal blocks) of the squared norm; NaN where none is."""
    if p.W is None:
        parts = {"linear": blocks.linear_blocks(p.X, p.V, p.loss)}
    else:
        parts = {
            "hidden": blocks.hidden_blocks(p.X, p.V, p.W, p.loss),
            "output": blocks.output_blocks(p.X, p.V, p.W, p.loss),
            "cross": blocks.cross_blocks(p.X, p.V, p.W, p.y, p.loss),
        }
    means = {}
    for layer, B in parts.items():
        sqfro = (B**2).sum(axis=(2, 3))
        if layer == "cross":
            means[layer] = (np.nan, sqfro.mean())
        else:
            on = np.eye(len(sqfro), dtype=bool)
            means[layer] = (sqfro[on].mean(), sqfro[~on].mean() if len(sqfro) > 1 else np.nan)
    return means
