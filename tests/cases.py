"""One list of small problems for all tests of blocks and norms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    X: np.ndarray
    V: np.ndarray
    W: np.ndarray | None
    y: np.ndarray
    loss: str


#: (n_classes, dim, n_samples, width): one and two classes, one neuron, fewer and more samples than dimensions.
SIZES = [
    (1, 3, 5, None),
    (2, 4, 9, None),
    (3, 7, 4, None),
    (5, 3, 40, None),
    (1, 3, 4, 1),
    (1, 4, 6, 3),
    (2, 3, 9, 1),
    (3, 5, 4, 4),
    (7, 3, 40, 4),
    (4, 20, 11, 2),
]
CASES = [(size, loss) for size in SIZES for loss in ("ce", "mse")]
IDS = [f"C{C}-d{d}-N{N}-m{m}-{loss}" for (C, d, N, m), loss in CASES]


def problem(size: tuple[int, int, int, int | None], loss: str, seed: int = 0, scale: float = 1.0) -> Problem:
    """Draw a problem; ``scale`` above 1 makes logits large, as after training."""
    C, d, N, m = size
    rng = np.random.default_rng([seed, C, d, N, m or 0])
    X = rng.standard_normal((N, d))
    W = None if m is None else rng.standard_normal((m, d))
    V = scale * rng.standard_normal((C, m or d))
    return Problem(X, V, W, rng.integers(C, size=N), loss)
