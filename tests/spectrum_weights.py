"""Weights of the Hessians whose spectra are compared with a law."""

from __future__ import annotations

import math

import numpy as np


def output_weights(n_classes, width, seed=0):
    return np.random.default_rng(seed).standard_normal((n_classes, width)) / math.sqrt(width)


def hidden_weights(V, g, i, j):
    p = np.exp(np.maximum(g, 0) @ V.T)
    p /= p.sum(axis=1, keepdims=True)
    covariance = p @ (V[:, i] * V[:, j]) - (p @ V[:, i]) * (p @ V[:, j])
    return covariance * (g[:, i] > 0) * (g[:, j] > 0)
