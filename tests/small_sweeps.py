"""Two small sweeps as documents, and small points."""

from __future__ import annotations

from typing import Any

import rmtsim

#: Two points of the linear model, with at most eight draws of each.
TINY = """
name = "tiny"
model = "linear"
loss = "ce"
[grid]
n_classes = [2, 5]
aspect_ratio = [0.5]
dim = [8]
[sampling]
min_draws = 4
max_draws = 8
target_rse = 0.9
"""

SWEEPS: list[dict[str, Any]] = [
    {
        "name": "ratio",
        "model": "linear",
        "loss": "ce",
        "grid": {"n_classes": [2, 10, 20, 40, 100], "aspect_ratio": [0.5, 1.0], "dim": [40]},
        "sampling": {"seed": 3, "min_draws": 32, "max_draws": 32, "target_rse": 0.2},
    },
    {
        "name": "hidden",
        "model": "one_hidden",
        "loss": "mse",
        "grid": {"n_classes": [2, 10, 100], "aspect_ratio": [0.5], "dim": [20], "width": [8]},
        "sampling": {"seed": 3, "min_draws": 16, "max_draws": 16, "target_rse": 0.5},
    },
]

POINT = rmtsim.Point("linear", "ce", n_classes=10, dim=8, n_samples=16)
HIDDEN = rmtsim.Point("one_hidden", "ce", 5, 12, 30, 3)
