"""Measurements of small heads, the surer the more steps they are after."""

from __future__ import annotations

from typing import Any

import numpy as np

import rmtsim

C, D, N = 12, 6, 30

#: Without that of the logits' variance, which takes seconds where this is large.
NULLS = ("theorem", "decoupled", "gaussian")


def head(step: int, n_classes: int = C) -> dict[str, Any]:
    """Return arrays of a head that is the more sure the more steps it is after."""
    rng = np.random.default_rng(3)
    V, X, bias = rng.normal(size=(n_classes, D)), rng.normal(size=(4 * N, D)), rng.normal(size=n_classes)
    return {"V": (0.3 + 0.1 * step) * V, "X": X, "bias": bias}


def measured(step: int, n_classes: int = C, **options: Any) -> rmtsim.Measurement:
    return rmtsim.measure(**head(step, n_classes), batch=N, **{"permutations": 2, "nulls": NULLS, **options})


def measured_steps() -> dict[int, rmtsim.Measurement]:
    return {step: measured(step, classes=True, blocks=5) for step in (10, 0, 100)}
