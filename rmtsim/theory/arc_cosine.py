"""Moments of the ReLU of two normals: half the arc-cosine kernels of degree 1 and 2 (Cho and Saul, 2009)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def relu_moments(theta: Array) -> tuple[Array, Array]:
    """E[σ(g) σ(g')] and E[σ(g)² σ(g')²] of standard normals of correlation cos θ."""
    sin, cos, rest = np.sin(theta), np.cos(theta), math.pi - theta
    first = (sin + rest * cos) / (2 * math.pi)
    return first, (3 * sin * cos + rest * (1 + 2 * cos**2)) / (2 * math.pi)
