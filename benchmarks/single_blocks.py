"""Squared norms of the blocks (1, 1) and (1, 2) alone, which is what the paper watches.

With K_nk = (u_n·u_k)² of a layer's inputs U (N, inputs), the block with weights λ has squared norm N⁻² λᵀKλ.
"""

from __future__ import annotations

import numpy as np

from rmtsim.model.network import forward, softmax


def single_blocks(X: np.ndarray, V: np.ndarray, W: np.ndarray | None) -> dict[str, tuple[float, float]]:
    """Layer → (‖H_11‖², ‖H_12‖²) of the CE Hessian, for one draw of X (N, d), V (C, d or m) and W (m, d) or None."""
    U, active, _ = forward(X, W, np)
    P = softmax(U @ V.T, np)
    p = P[:, 0]
    found = {"linear" if W is None else "output": (_sqfro(U, p * (1 - p)), _sqfro(U, p * P[:, 1]))}
    if W is not None:
        mean = P @ V[:, :2]
        same = (P @ V[:, 0] ** 2 - mean[:, 0] ** 2) * active[:, 0]
        different = (P @ (V[:, 0] * V[:, 1]) - mean[:, 0] * mean[:, 1]) * active[:, 0] * active[:, 1]
        found["hidden"] = (_sqfro(X, same), _sqfro(X, different))
    return found


def _sqfro(U: np.ndarray, weights: np.ndarray) -> float:
    block = U.T @ (weights[:, None] * U) / len(U)  # as cheap as K where one block alone is wanted
    return float(np.vdot(block, block))
