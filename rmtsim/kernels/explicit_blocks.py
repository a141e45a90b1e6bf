"""The Hessian and its blocks, written out: the readable form that the fast block norms are held against.

Conventions (the paper's Section 4): N samples x_n are the rows of X; CE = (1/N) Σ_n −log p_{n,y_n};
MSE = (1/N) Σ_n ‖f(x_n) − y_n‖² with no ½, hence a factor 2 in every MSE block; no biases. With z_{n,i} = w_i·x_n,
h_n = σ(z_n) is what the last layer sees, and the slopes are σ′(z_{n,i}): for the paper's ReLU 1_{n,i} = [z_{n,i} > 0].
The residual r_n is the derivative of a sample's loss by its logits, p_n − y_n for CE and 2(f_n − y_n) for MSE, and
S_n is the second derivative, diag(p_n) − p_n p_nᵀ and 2I. Blocks come as arrays with axes (block row, block column,
row, column).
"""

from __future__ import annotations

from rmtsim.arrays.backend import Array, Module, namespace
from rmtsim.model.loss import get_loss
from rmtsim.model.network import forward, one_hot, softmax


def linear_blocks(X: Array, V: Array, loss: str) -> Array:
    """Blocks ∂²loss/∂v_i∂v_jᵀ of the linear model, (C, C, d, d).

    MSE (3): δ_ij (2/N) Σ_n x_n x_nᵀ.  CE (5): (1/N) Σ_n p_{n,i}(δ_ij − p_{n,j}) x_n x_nᵀ.
    The labels do not enter.
    """
    xp = namespace(X)
    return _last_layer_blocks(X, X @ V.mT, loss, xp)


def output_blocks(X: Array, V: Array, W: Array, loss: str, activation: str = "relu") -> Array:
    """Blocks ∂²loss/∂v_i∂v_jᵀ of the output layer, (C, C, m, m): (9) and (15), (3) and (5) with h_n for x_n."""
    xp = namespace(X)
    features = forward(X, W, xp, activation).features
    return _last_layer_blocks(features, features @ V.mT, loss, xp)


def hidden_blocks(X: Array, V: Array, W: Array, loss: str, activation: str = "relu", y: Array | None = None) -> Array:
    """Blocks ∂²loss/∂w_i∂w_jᵀ of the hidden layer, (m, m, d, d); labels enter where the activation bends.

    (1/N) Σ_n [ (Vᵀ S_n V)_ij σ′(z_{n,i}) σ′(z_{n,j}) + δ_ij (Vᵀ r_n)_i σ″(z_{n,i}) ] x_n x_nᵀ, where Vᵀ S_n V is
    Cov_{p_n}(v_{·,i}, v_{·,j}) for CE (14) and 2 Σ_c v_{c,i} v_{c,j} for MSE (8).
    """
    xp = namespace(X)
    features, slopes, bends = forward(X, W, xp, activation)
    logits = features @ V.mT
    if get_loss(loss).softmax:
        P = softmax(logits, xp)
        mean = P @ V
        covariance = xp.tensordot(P, _outer(V, V), axes=((1,), (0,))) - _outer(mean, mean)
    else:
        covariance = (2 * V.mT @ V)[None, :, :]
    weights = covariance * _outer(slopes, slopes)
    if bends is not None:
        eye = xp.eye(W.shape[0], dtype=X.dtype)
        weights = weights + eye * (bends * (_residuals(logits, y, loss, xp) @ V))[:, :, None]
    return _weighted_gram(weights, X, X, xp)


def cross_blocks(X: Array, V: Array, W: Array, y: Array, loss: str, activation: str = "relu") -> Array:
    """Blocks ∂²loss/∂w_i∂v_jᵀ between the layers, (m, C, d, m): (18) for CE and (11) for MSE.

    (1/N) Σ_n σ′(z_{n,i}) x_n [ r_{n,j} e_iᵀ + u_{n,ij} h_nᵀ ] with u_{n,ij} = (S_n V)_ji,
    p_{n,j}(v_{j,i} − Σ_c p_{n,c} v_{c,i}) for CE and 2 v_{j,i} for MSE.
    """
    xp = namespace(X)
    features, slopes, _ = forward(X, W, xp, activation)
    logits = features @ V.mT
    if get_loss(loss).softmax:
        P = softmax(logits, xp)
        u = (V.mT[None, :, :] - (P @ V)[:, :, None]) * P[:, None, :]
    else:
        u = xp.broadcast_to(2 * V.mT, (X.shape[0], *V.mT.shape))
    smooth = _weighted_gram(u * slopes[:, :, None], X, features, xp)
    r = _residuals(logits, y, loss, xp)
    stripe = xp.tensordot(_outer(slopes, r), X, axes=((0,), (0,))) / X.shape[0]  # (m, C, d)
    e = xp.eye(W.shape[0], dtype=X.dtype)
    return smooth + stripe[:, :, :, None] * e[:, None, None, :]


def _residuals(logits: Array, y: Array | None, loss: str, xp: Module) -> Array:
    """r_n, (N, C): p_n − y_n for CE and 2(f_n − y_n) for MSE."""
    Y = one_hot(y, slice(0, logits.shape[1]), logits.dtype, xp)
    return softmax(logits, xp) - Y if get_loss(loss).softmax else 2 * (logits - Y)


def _last_layer_blocks(U: Array, logits: Array, loss: str, xp: Module) -> Array:
    """(1/N) Σ_n S_n ⊗ u_n u_nᵀ, with S_n = diag(p_n) − p_n p_nᵀ for CE and 2I for MSE."""
    eye = xp.eye(logits.shape[-1], dtype=logits.dtype)
    if get_loss(loss).softmax:
        P = softmax(logits, xp)
        S = P[:, :, None] * (eye - P[:, None, :])
    else:
        S = xp.broadcast_to(2 * eye, (*logits.shape, logits.shape[1]))
    return _weighted_gram(S, U, U, xp)


def _weighted_gram(weights: Array, A: Array, B: Array, xp: Module) -> Array:
    """(1/N) Σ_n λ_n a_n b_nᵀ for weights λ (N, i, j): (i, j, columns of A, columns of B)."""
    return xp.tensordot(weights, _outer(A, B), axes=((0,), (0,))) / A.shape[0]


def _outer(A: Array, B: Array) -> Array:
    """Row-wise outer product, (N, columns of A, columns of B)."""
    return A[:, :, None] * B[:, None, :]
