"""The decoupling of Lemmas 1 to 3, simulated: what changes when the weights Λ no longer come from the data they weigh.

A d × d block of the Hessian is H = (1/N) Xᵀ Λ X with weights λ(A x_n). They depend on a sample through r numbers only:
its logits (A = V, r = C) or its pre-activations (A = W, r = m). The lemmas compare H with H̃, whose Λ is made from an
independent copy X̃, and let Δ_N(z) = E s_H(z) − E s_H̃(z) → 0 for the Stieltjes transforms s(z) = (1/d) tr (· − z)⁻¹.

Only the components of X along the rows of A enter the weights: X = (Y, B) has r and d − r columns, and B is
independent of Λ. So H̃ has the law of H with Y replaced by an independent Ỹ. The proof's H(t), whose Λ is made from
√t X + √(1−t) X̃, has the law of H with U = √t Y + √(1−t) Ỹ in place of Y. In this pairing the two share Λ and B, and
differ in r rows and columns. With Γ = (1/N) BᵀΛU and H_B = (1/N) BᵀΛB, Schur's complement gives

    tr (H − z)⁻¹ = tr (H_B − z)⁻¹ − tr S(z)⁻¹ S′(z),    S(z) = (1/N) UᵀΛU − z − Γᵀ (H_B − z)⁻¹ Γ,

so d Δ_N is the mean difference of two r × r expressions: no traces cancel, and its error falls as N^−1/2.

*The proof's rate.* After Stein's lemma, dE s/dt consists of the terms t^−1/2 (1/dN) Σ_n ∂λ_n a·(H − z)⁻² x_n · O(1),
with a row a of A. Hölder's inequality over their entries, ‖∂λ aᵀ‖_F ‖(H − z)⁻² Xᵀ‖_F = O(√N · √(dN)), bounds Δ_N by
O(N^−1/2). This is not sharp: ∂λ aᵀ has rank one, so the operator norm suffices for the second factor, which gives
O(N⁻¹). That is the true rate, for d Δ_N has a limit that is not zero in general (`rmtsim.theory.decoupling_limit`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.arrays.backend import array_module
from rmtsim.errors import InputError
from rmtsim.model.choices import LossName
from rmtsim.model.models import get_model
from rmtsim.model.point import Point
from rmtsim.paper.block_eigenvalues import block_weights, check_block
from rmtsim.sampling.draws import sample
from rmtsim.sampling.random_rows import STREAM, RandomRows
from rmtsim.text.checks import check_choice

Values = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

#: Where Δ_N is taken, in units of the coupling's scale, and the times of the path; at t = 0 it is zero.
PLACES = (1 + 1j, 2 + 0.5j, 0.5 + 0.25j)
TIMES = (0.25, 0.5, 0.75, 1.0)

#: Samples and dimension for the scale of a coupling, and the seed of the arrays that all draws share.
_SCALE_SAMPLES, _SCALE_DIM, _FIXED_SEED = 2**14, 128, 0

#: Entries of X that are held at once.
_BATCH = 2**20


@dataclass(frozen=True)
class Coupling:
    """How the weights of a block depend on the data.

    Parameters
    ----------
    model
        ``"linear"`` with r = C, or ``"one_hidden"``, the hidden layer, with r = m and, as in Lemma 2, one V for all
        draws; or the control ``"radial"``: λ = 1(|y|² > r) of r = d/2 components, coupled to all directions at once.
    loss, block
        ``"ce"`` or ``"mse"``; ``"diag"``, the block (1, 1), or ``"offdiag"``, the block (1, 2). The control ignores
        them.
    n_classes, width
        C, and m for ``"one_hidden"``.

    Raises
    ------
    InputError
        If there is no such block, or its weights do not depend on the data.
    """

    model: str
    loss: LossName = "ce"
    block: str = "diag"
    n_classes: int = 2
    width: int | None = None

    def __post_init__(self) -> None:
        check_choice("model", self.model, ("linear", "one_hidden", "radial"))
        if self.model != "radial":
            check_block(self.point(1, 1), get_model(self.model).layers[0].name, self.block)
        if (self.model, self.loss) == ("linear", "mse"):
            raise InputError("loss: 'mse' gives the linear model constant weights, with nothing to decouple; give 'ce'")

    def point(self, dim: int, n_samples: int) -> Point:
        """Return the point whose draws of X and A are used."""
        if self.model == "radial":
            return Point("linear", "ce", 1, dim, n_samples)
        return Point(get_model(self.model).name, self.loss, self.n_classes, dim, n_samples, self.width)

    def n_features(self, dim: int) -> int:
        """Return r, the number of components of a sample that the weights depend on."""
        return dim // 2 if self.model == "radial" else self.width or self.n_classes

    @cached_property
    def V(self) -> Values:  # noqa: N802  # the paper's letter
        """The last layer of the one_hidden model, (C, m) with entries N(0, 1/m): the same for all draws and sizes."""
        m = self.width or 1
        rng = np.random.default_rng([_FIXED_SEED, self.n_classes, m])
        return np.asarray(rng.standard_normal((self.n_classes, m)) / m**0.5)

    def weights(self, U: Values) -> Values:
        """Return the weights λ (…, N) for logits or pre-activations U (…, N, r), with the sign that the block has."""
        if self.model == "radial":
            return np.asarray(np.sum(U**2, axis=-1) > U.shape[-1], dtype=np.float64)
        layer = get_model(self.model).layers[0].name
        return block_weights(U, self.V, layer=layer, loss=self.loss, block=self.block)

    @cached_property
    def scale(self) -> float:
        """The root mean square of the weights as d → ∞, with the sign of their mean: the unit of z and of 1/Δ."""
        U = np.random.default_rng(_FIXED_SEED).standard_normal((_SCALE_SAMPLES, self.n_features(_SCALE_DIM)))
        weights = self.weights(U)
        return float(np.copysign(np.sqrt(np.mean(weights**2)), np.mean(weights)))


def decoupling_draws(
    coupling: Coupling, dim: int, n_samples: int, draws: range, *, seed: int = 0, copies: int = 1
) -> pd.DataFrame:
    """Simulate the difference of Stieltjes transforms that decoupling makes, along its path.

    Parameters
    ----------
    coupling, dim, n_samples
        How the weights depend on the data; d and N.
    draws, seed
        X and A are the draws of `rmtsim.simulate` of these numbers.
    copies
        Independent copies Ỹ for each draw; their mean is stored.

    Returns
    -------
    DataFrame
        One row per draw, time t of ``TIMES`` and place z of ``PLACES``: the coupling's fields, ``dim``, ``n_samples``,
        ``seed``, ``draw``, ``t``, ``z_real``, ``z_imag``, and ``difference_real``, ``difference_imag``, whose mean over
        draws is Δ_N(t, z) = E s_{H(t)}(z) − E s_H̃(z) of the block divided by ``scale``.

    Raises
    ------
    InputError
        If d does not exceed the number r of components that the weights depend on.
    """
    r = coupling.n_features(dim)
    if dim <= r:
        raise InputError(f"dim: {dim} is not valid; give more than the {r} components that the weights depend on")
    z, times = np.array(PLACES), np.array(TIMES)
    size = max(1, _BATCH // (n_samples * dim))
    parts = [draws[start : start + size] for start in range(0, len(draws), size)]
    values = np.concatenate([_differences(coupling, dim, n_samples, part, seed, copies, times, z) for part in parts])
    grid = np.meshgrid(np.asarray(draws), times, np.arange(len(z)), indexing="ij")
    draw, t, place = (index.ravel() for index in grid)
    return pd.DataFrame(
        asdict(coupling)
        | {"dim": dim, "n_samples": n_samples, "seed": seed, "draw": draw, "t": t, "scale": coupling.scale}
        | {"z_real": z.real[place], "z_imag": z.imag[place]}
        | {"difference_real": values.real.ravel(), "difference_imag": values.imag.ravel()}
    ).astype({"width": "Int64"})


def _differences(
    coupling: Coupling, dim: int, n_samples: int, draws: range, seed: int, copies: int, times: Values, z: Complex
) -> Complex:
    """Return the differences of Stieltjes transforms, (draws, times, places)."""
    r, xp = coupling.n_features(dim), array_module("numpy")
    Y, B, U = split_data(coupling, dim, n_samples, draws, seed)
    key = f"{STREAM}/{seed}/{coupling.point(dim, n_samples).id}/copy"
    copy = RandomRows(key, draws, (copies * n_samples, r), 1.0, dtype="float64", xp=xp).all()
    copy = np.reshape(copy, (len(draws), copies, 1, n_samples, r))
    t = np.concatenate([[0.0], times])[:, None, None]
    mixed = np.sqrt(t) * Y[:, None, None] + np.sqrt(1 - t) * copy
    traces = border_traces(mixed, B[:, None, None], (coupling.weights(U) / coupling.scale)[:, None, None], z)
    return np.asarray(np.mean(traces[:, :, 1:] - traces[:, :, :1], axis=1) / dim)


def split_data(coupling: Coupling, dim: int, n_samples: int, draws: range, seed: int) -> tuple[Values, Values, Values]:
    """Return Y (…, N, r) and B (…, N, d − r), rotated so that the rows of A span the first r axes, and U = XAᵀ."""
    point = coupling.point(dim, n_samples)
    X, V, W, *_ = sample(point, draws, seed, dtype="float64", xp=array_module("numpy"))
    r = coupling.n_features(dim)
    if coupling.model == "radial":
        return X[..., :r], X[..., r:], X[..., :r]
    A = V.all() if W is None else W
    Q, _ = np.linalg.qr(A.mT, mode="complete")
    rotated = X @ Q
    return rotated[..., :r], rotated[..., r:], X @ A.mT


def border_traces(U: Values, B: Values, weights: Values, z: Complex) -> Complex:
    """Return tr (H − z)⁻¹ − tr (H_B − z)⁻¹, (…, Z), for H = (1/N) (U, B)ᵀ Λ (U, B).

    U is (…, N, r), B (…, N, b), ``weights`` (…, N), where axes of length 1 repeat, and z (Z,) off the real axis.
    """
    n_samples, r = U.shape[-2:]
    H_B = B.mT @ (weights[..., None] * B) / n_samples
    eigenvalues, vectors = np.linalg.eigh(H_B)
    weighted = weights[..., None] * U
    G = vectors.mT @ (B.mT @ weighted) / n_samples
    G = G[..., None, :, :]
    core = (U.mT @ weighted / n_samples)[..., None, :, :]
    resolvent = 1 / (eigenvalues[..., None, :] - z[:, None])[..., None, :]  # (…, Z, 1, b)
    left, eye = G.mT * resolvent, np.eye(r)
    S = core - z[:, None, None] * eye - left @ G
    slope = -eye - (left * resolvent) @ G
    return np.asarray(-np.trace(np.linalg.solve(S, slope), axis1=-2, axis2=-1))
