"""Mean squared Frobenius norms of all Hessian blocks of a layer, without forming a block.

Every d×d block is (1/N) Σ_n λ_n x_n x_nᵀ for some weights λ ∈ R^N, so its squared norm is N⁻² λᵀ K λ with
K_nk = (x_n·x_k)². Sums over all classes, or pairs of classes, then collapse into Gram matrices of the
probabilities P (N×C): with Q = P∘(1−P) and S = P∘P,

    Σ_i ‖H_ii‖²     = N⁻² ⟨K, Q Qᵀ⟩
    Σ_{i≠j} ‖H_ij‖² = N⁻² ⟨K, (P Pᵀ)∘(P Pᵀ) − S Sᵀ⟩

since Σ_{i≠j} p_{n,i} p_{k,i} p_{n,j} p_{k,j} = (p_n·p_k)² − Σ_i p_{n,i}² p_{k,i}². The cost is O(N²(d + C))
against O(C² N d²) for explicit blocks. The blocks themselves are written out in ``rmtsim.blocks``.

The difference loses digits where one class has nearly all the probability, as after training, and so do 1 − p and the
covariances of (14); where that would be seen, they are taken in other forms that do not (only the cross layer's
p_j(v_j − Σ p v) then still does). All functions take arrays with any leading axes, which run over draws.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rmtsim.arguments import check_arrays
from rmtsim.backend import Array, Module, inner, namespace
from rmtsim.network import SATURATED, Forward, complement, forward, is_saturated, residual, softmax, split
from rmtsim.point import LAYERS, check_layers

#: Below this share of its minuend a difference has lost two digits: more than float32 can spare.
_DOMINATED = 0.01


class BlockNorms(NamedTuple):
    """Mean of ‖block‖²_F over all diagonal and over all off-diagonal blocks of one layer, in float64.

    A value has the leading axes of the arrays, or is a scalar where there are none. NaN marks what does not
    exist: off-diagonal blocks of a single class or neuron, diagonal blocks of the cross layer.
    """

    diag_sqfro: Array
    offdiag_sqfro: Array


def block_norms(
    X: Array,
    V: Array,
    *,
    W: Array | None = None,
    y: Array | None = None,
    loss: str = "ce",
    layers: tuple[str, ...] | None = None,
) -> dict[str, BlockNorms]:
    """Mean squared Frobenius norm over all diagonal and all off-diagonal Hessian blocks of each layer.

    Parameters
    ----------
    X
        Data, (…, N, d); leading axes, if any, run over draws and are the same for all arrays.
    V
        Last layer: (…, C, d) for the linear model, (…, C, m) with a hidden layer.
    W
        Hidden layer, (…, m, d); None for the linear model.
    y
        Labels, (…, N) whole numbers below C. Only the cross layer needs them.
    loss
        ``"ce"``: (1/N) Σ_n −log p_{n,y_n}; ``"mse"``: (1/N) Σ_n ‖f(x_n) − y_n‖².
    layers
        A selection of ``("linear",)`` or ``("hidden", "output", "cross")``. By default all that the arguments
        allow: the cross layer only where labels are given.

    Returns
    -------
    dict
        Layer to `BlockNorms`. Blocks are those of Section 4 of the paper, (3), (5), (8), (9), (11), (14),
        (15), (18); in the cross layer all m·C blocks count as off-diagonal.

    Raises
    ------
    InputError
        If shapes, dtypes, labels or layers do not fit together.

    Examples
    --------
    With two classes all four blocks of the linear CE Hessian have the same norm:

    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> norms = rmtsim.block_norms(rng.normal(size=(50, 8)), rng.normal(size=(2, 8)), loss="ce")
    >>> bool(np.isclose(norms["linear"].diag_sqfro, norms["linear"].offdiag_sqfro, rtol=1e-12))
    True
    """
    xp = namespace(X)
    y = y if y is None else xp.asarray(y)
    known = LAYERS["linear" if W is None else "one_hidden"]
    if layers is None:
        layers = known if y is not None or W is None else ("hidden", "output")
    layers = check_layers(layers, known)
    check_arrays(X, V, W=W, y=y, loss=loss, needs_labels="cross" in layers, batched=True)
    return compute(X, V, W, y, loss, layers, xp)


def compute(
    X: Array, V: Array, W: Array | None, y: Array | None, loss: str, layers: tuple[str, ...], xp: Module
) -> dict[str, BlockNorms]:
    """Do the work of `block_norms` for arguments that are known to be good."""
    pass_ = forward(X, W, xp)
    logits = pass_.features @ V.mT if loss == "ce" or "cross" in layers else None
    P = softmax(logits, xp) if loss == "ce" else None
    norms = {}
    for layer in layers:
        if layer in ("linear", "output"):
            norms[layer] = _last_layer(pass_.features, P, V.shape[-2], xp)
        elif layer == "hidden":
            norms[layer] = _hidden(X, V, pass_, P, xp)
        else:
            norms[layer] = _cross(X, V, pass_, P, residual(logits, y, loss, xp), xp)
    return norms


def _last_layer(U: Array, P: Array | None, n_classes: int, xp: Module) -> BlockNorms:
    """Linear model (U = X) or output layer (U = σ): (3) and (9) where P is None, else (5) and (15)."""
    n_samples, C = U.shape[-2], n_classes
    if P is None:
        small = U.mT @ U if U.shape[-1] < n_samples else U @ U.mT  # both have the same norm
        diag = 4 / n_samples**2 * inner(small, small, xp)
        return BlockNorms(diag, 0 * diag if C > 1 else diag * np.nan)
    samples = _Samples(U, xp)
    diag = samples.quadratic_sum(P * complement(P, xp)) / (n_samples**2 * C)
    if C == 1:
        return BlockNorms(diag, diag * np.nan)
    pairs = P @ P.mT
    pairs *= pairs
    all_pairs = samples.kernel_inner(pairs)
    off = all_pairs - samples.quadratic_sum(P * P)
    if bool(xp.any(dominated := off < _DOMINATED * all_pairs)):
        off = xp.where(dominated, _off_without_cancellation(P, samples, xp), off)
    return BlockNorms(diag, off / (n_samples**2 * C * (C - 1)))


def _off_without_cancellation(P: Array, samples: _Samples, xp: Module) -> Array:
    """⟨K, (PPᵀ)∘(PPᵀ) − SSᵀ⟩ where one class per sample has nearly all the probability.

    Split p_n = τ_n e_{t(n)} + ρ_n at its largest entry. With D_nk = τ_n τ_k [t(n) = t(k)] and B_nk = ρ_{n,t(k)} τ_k,
    PPᵀ = ρρᵀ + B + Bᵀ + D, and of B_nk and D_nk one is zero, so the large squares cancel on paper:

        (PPᵀ)∘(PPᵀ) − SSᵀ = (ρρᵀ)∘(ρρᵀ) − (ρ∘ρ)(ρ∘ρ)ᵀ + 2 ρρᵀ∘(B + Bᵀ + D) + 2 B∘Bᵀ.
    """
    top, rest = split(P, xp)
    tau = xp.max(P, axis=-1)
    everywhere = (*P.shape[:-1], P.shape[-2])
    B = xp.take_along_axis(rest, xp.broadcast_to(top[..., None, :], everywhere), axis=-1) * tau[..., None, :]
    D = xp.where(top[..., :, None] == top[..., None, :], tau[..., :, None] * tau[..., None, :], xp.zeros_like(B))
    pairs = rest @ rest.mT
    pairs = pairs * (pairs + 2 * (B + B.mT + D)) + 2 * B * B.mT
    return samples.kernel_inner(pairs) - samples.quadratic_sum(rest * rest)


def _hidden(X: Array, V: Array, pass_: Forward, P: Array | None, xp: Module) -> BlockNorms:
    """Hidden layer, (8) where P is None, else (14): one weight vector for every pair of neurons i ≤ j."""
    n_samples, m = X.shape[-2], V.shape[-1]
    i, j = np.triu_indices(m, k=1)
    i, j = np.append(np.arange(m), i), np.append(np.arange(m), j)  # the pairs i = j come first

    def pair(A: Array, B: Array | None = None) -> Array:
        """A_i B_j for all pairs of columns; A_i A_j without B."""
        return xp.take(A, xp.asarray(i), axis=-1) * xp.take(A if B is None else B, xp.asarray(j), axis=-1)

    if P is None:
        covariance = 2 * xp.sum(pair(V), axis=-2, keepdims=True)
    else:
        covariance = P @ pair(V) - pair(P @ V)
        if is_saturated(P, xp):
            top, rest = split(P, xp)
            share = xp.sum(rest, axis=-1, keepdims=True)
            vt = xp.take_along_axis(V, xp.broadcast_to(top[..., None], (*top.shape, m)), axis=-2)
            # Cov does not see a shift of V, so shift by the leading class: its own large terms then vanish.
            first = rest @ V
            second = rest @ pair(V) - pair(first, vt) - pair(vt, first) + share * pair(vt)
            careful = second - pair(first - share * vt)
            covariance = xp.where(share < 1 - SATURATED, careful, covariance)
    weights = covariance * pair(pass_.active)
    samples = _Samples(X, xp)
    diag = samples.quadratic_sum(weights[..., :m]) / (n_samples**2 * m)
    if m == 1:
        return BlockNorms(diag, diag * np.nan)
    off = samples.quadratic_sum(weights[..., m:]) / (n_samples**2 * m * (m - 1) / 2)
    return BlockNorms(diag, off)


def _cross(X: Array, V: Array, pass_: Forward, P: Array | None, r: Array, xp: Module) -> BlockNorms:
    """Cross layer, (11) where P is None, else (18), over all m·C blocks.

    With G = XXᵀ, block (i, j) has columns N⁻¹ Σ_n x_n u_{n,ij} σ_{n,l} for l ≠ i and N⁻¹ Σ_n x_n w_{n,ij} for
    l = i, where w = r + u σ_i and u is as in (18), all on the samples that neuron i lets through. So

        N² Σ_j ‖H_{w_i v_j}‖² = ⟨G, U_i U_iᵀ ∘ (σσᵀ − σ_i σ_iᵀ) + W_i W_iᵀ⟩.
    """
    n_samples, m, C = X.shape[-2], V.shape[-1], V.shape[-2]
    lead = X.shape[:-2]

    def flat(A: Array) -> Array:
        return xp.reshape(A, (-1, *A.shape[len(lead) :]))

    arrays = [flat(A) for A in (X, V, pass_.features, r)]
    draws_P = None if P is None else flat(P)
    totals = []
    # A neuron passes about half the samples, a different half each: taking those rows out makes the products four
    # times smaller, but their number differs from draw to draw, hence the loop.
    for b in range(arrays[0].shape[0]):
        x, v, sigma, residuals = (A[b, ...] for A in arrays)
        total = xp.zeros((), dtype=xp.float64)
        for i in range(m):
            (on,) = xp.nonzero(sigma[:, i] > 0)
            x_on, s_on, r_on = (xp.take(A, on, axis=0) for A in (x, sigma, residuals))
            if draws_P is None:
                u = xp.zeros_like(r_on) + 2 * v[:, i]  # in full: BLAS takes no array of stride 0
            else:
                p_on = xp.take(draws_P[b, ...], on, axis=0)
                u = p_on * (v[:, i] - p_on @ v[:, i, None])
            s_i = s_on[:, i, None]
            w = r_on + u * s_i
            G = x_on @ x_on.mT
            total = total + inner(G, (u @ u.mT) * (s_on @ s_on.mT - s_i * s_i.mT) + w @ w.mT, xp)
        totals.append(total / (n_samples**2 * m * C))
    off = xp.reshape(xp.stack(totals), lead)
    return BlockNorms(off * np.nan, off)


class _Samples:
    """The samples u_n as they enter the norms: K_nk = (u_n·u_k)² = φ_n·φ_k with φ_n = vech(u_n u_nᵀ)."""

    def __init__(self, U: Array, xp: Module) -> None:
        self._U, self._xp = U, xp
        n_samples, dim = U.shape[-2:]
        # ⟨K, ΛΛᵀ⟩ by SYRK costs N² flops a weight vector, ‖ΦᵀΛ‖² by GEMM costs 2N d(d+1)/2.
        self._few_features = dim * (dim + 1) < n_samples
        self._K: Array | None = None
        self._phi: Array | None = None

    def kernel_inner(self, M: Array) -> Array:
        """⟨K, M⟩ for a matrix M (…, N, N)."""
        if self._K is None:
            self._K = self._U @ self._U.mT
            self._K *= self._K
        return inner(self._K, M, self._xp)

    def quadratic_sum(self, weights: Array) -> Array:
        """Σ over the columns λ of ``weights`` (…, N, k) of λᵀ K λ."""
        if not self._few_features:
            return self.kernel_inner(weights @ weights.mT)
        contracted = self._features().mT @ weights
        return inner(contracted, contracted, self._xp)

    def _features(self) -> Array:
        """φ (…, N, d(d+1)/2): products of two entries, those off the diagonal times √2."""
        if self._phi is None:
            xp = self._xp
            i, j = np.triu_indices(self._U.shape[-1])
            scale = xp.asarray(np.where(i == j, 1.0, np.sqrt(2.0)), dtype=self._U.dtype)
            rows, columns = (xp.take(self._U, xp.asarray(k), axis=-1) for k in (i, j))
            self._phi = rows * columns * scale
        return self._phi
