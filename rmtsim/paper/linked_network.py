"""Linear networks with given links: which entries of the Hessian vanish because no path joins two weights.

A linear network with one hidden layer of given links, f_j = Σ_k L_jk v_jk h_k with h_k = w_k·x, and
ℓ = ½ Σ_j (f_j − y_j)². With r_j = f_j − y_j, the Hessian is

    ∂²ℓ/∂w_ka ∂w_lb = x_a x_b Σ_j v_jk v_jl,
    ∂²ℓ/∂v_jk ∂v_j'l = δ_jj' h_k h_l,
    ∂²ℓ/∂w_ka ∂v_jl = x_a (v_jk h_l + δ_kl r_j),

where v_jk stands for L_jk v_jk. So the links alone decide which entries can differ from zero. Two weights that reach
one output through one hidden unit have an entry with a sum of squares or the residual (``"path"``). Two that reach it
through different units have an entry of mean zero, the slides' indirect relation (``"output"``). Two without a common
output have the entry zero (``"none"``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.arrays.user_arrays import as_numbers, check_finite
from rmtsim.errors import InputError
from rmtsim.text.checks import check_size

Values = npt.NDArray[np.float64]

#: How two weights are joined, from the strongest tie to none.
TIES = ("path", "output", "none")


@dataclass(frozen=True)
class LinkedNetwork:
    """A linear network with one hidden layer, some of whose second-layer links are absent.

    Parameters
    ----------
    links
        L (q, m), a row per output: 1 where hidden unit k is linked to output j, 0 where it is not.
    n_inputs
        p; each hidden unit is linked to every input.

    Raises
    ------
    InputError
        If ``links`` is not a rectangle of 0 and 1 with a link in every row and column, or p < 1.

    Examples
    --------
    >>> example = LinkedNetwork([[1, 0], [0, 1]])  # the slides' first: ½ (w₁v₁)² + ½ (w₂v₂)²
    >>> example.weight_names
    ['w1', 'w2', 'v11', 'v22']
    >>> example.hessian([[2.0], [3.0]], [[5.0, 0.0], [0.0, 7.0]])[0].tolist()  # v₁², 0, 2w₁v₁, 0
    [25.0, 0.0, 20.0, 0.0]
    """

    links: Sequence[Sequence[int]]
    n_inputs: int = 1

    def __post_init__(self) -> None:
        if not self._linked():
            raise InputError(
                f"links: {self.links!r} is not valid; give rows of 0 and 1 of one length, one per output, with a 1 in "
                "every row and column"
            )
        check_size("n_inputs", self.n_inputs)

    def _linked(self) -> bool:
        """Whether the links are a rectangle of 0 and 1 with a link in every row and column."""
        try:
            links = np.asarray(self.links)
        except ValueError:  # rows of different lengths
            return False
        if links.ndim != 2 or not links.size or links.dtype.kind not in "biuf":
            return False
        return bool(np.isin(links, (0, 1)).all() and links.any(axis=0).all() and links.any(axis=1).all())

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The links L as truth values, (q, m)."""
        return np.array(self.links, dtype=bool)

    @cached_property
    def _positions(self) -> tuple[npt.NDArray[np.intp], ...]:
        """The hidden unit and input of each w; the output and hidden unit of each v."""
        unit, source = np.divmod(np.arange(self.mask.shape[1] * self.n_inputs), self.n_inputs)
        output, origin = np.nonzero(self.mask)
        return unit, source, output, origin

    @property
    def weight_names(self) -> list[str]:
        """The names of the weights in the order of the Hessian: w1, w2, …, then v11, v12, ….

        With several inputs they are w11, w12, …. From ten inputs or hidden units on a comma separates the numbers:
        w1,10 or v1,10.
        """
        unit, source, output, origin = self._positions
        between_w, between_v = ("," if count > 9 else "" for count in (self.n_inputs, self.mask.shape[1]))
        sources = [f"{between_w}{a + 1}" if self.n_inputs > 1 else "" for a in source]
        first = [f"w{k + 1}{a}" for k, a in zip(unit, sources, strict=True)]
        return first + [f"v{j + 1}{between_v}{k + 1}" for j, k in zip(output, origin, strict=True)]

    def ties(self) -> npt.NDArray[np.str_]:
        """Return how each pair of weights is joined: (n, n) entries of ``TIES``, read off the links alone."""
        unit, _, output, origin = self._positions
        through = np.concatenate([unit, origin])  # the hidden unit of a weight
        reaches = np.concatenate([self.mask[:, unit].T, np.eye(len(self.mask), dtype=bool)[output]])
        meet = (reaches[:, None, :] & reaches[None, :, :]).any(axis=2)
        on_path = meet & (through[:, None] == through[None, :])
        return np.where(on_path, "path", np.where(meet, "output", "none"))

    def hessian(
        self, W: npt.ArrayLike, V: npt.ArrayLike, x: npt.ArrayLike | None = None, y: npt.ArrayLike | None = None
    ) -> Values:
        """Return the Hessian of ½ Σ_j (f_j − y_j)².

        Parameters
        ----------
        W, V
            Weights (…, m, p) and (…, q, m); entries of V without a link are not read.
        x, y
            Input (p,), by default ones; label (q,), by default zeros: those of the slides.

        Returns
        -------
        ndarray
            (…, n, n), weights in the order of ``weight_names``.

        Raises
        ------
        InputError
            If shapes do not fit together.
        """
        unit, source, output, origin = self._positions
        q, m = self.mask.shape
        W, V = _numbers("W", W), _numbers("V", V)
        if W.shape[-2:] != (m, self.n_inputs) or V.shape[-2:] != (q, m) or W.shape[:-2] != V.shape[:-2]:
            raise InputError(
                f"W, V: shapes {W.shape} and {V.shape} do not fit; give (…, {m}, {self.n_inputs}) and (…, {q}, {m})"
            )
        x = np.ones(self.n_inputs) if x is None else _numbers("x", x)
        y = np.zeros(q) if y is None else _numbers("y", y)
        for name, vector, size in (("x", x, self.n_inputs), ("y", y, q)):
            if vector.shape != (size,):
                raise InputError(f"{name}: shape {vector.shape} does not fit; give ({size},)")
        V = np.where(self.mask, V, 0.0)
        h = W @ x
        r = np.einsum("...jk,...k->...j", V, h) - y
        WW = (x[source][:, None] * x[source]) * (V.mT @ V)[..., unit[:, None], unit]
        VV = (output[:, None] == output) * (h[..., origin, None] * h[..., None, origin])
        to_output = V[..., output, :][..., :, unit].mT  # v_jk for the pair (w_ka, v_jl)
        WV = x[source][:, None] * (to_output * h[..., None, origin] + (unit[:, None] == origin) * r[..., None, output])
        return np.concatenate([np.concatenate([WW, WV], axis=-1), np.concatenate([WV.mT, VV], axis=-1)], axis=-2)

    def mean_square(self) -> Values:
        """Return E[entry²] of the Hessian at label 0 and x = 1, for W ~ N(0, 1/p) and V ~ N(0, 1): (n, n).

        Then h ~ N(0, 1). With n_k outputs of unit k, n_kl of both k and l, and m_j units at output j:
        E(Σ_j v_jk²)² = n_k² + 2n_k, E(Σ_j v_jk v_jl)² = n_kl, E(h_k² h_l²) = 1 or 3, and as
        v_jk h_k + f_j = 2v_jk h_k + Σ_{l≠k} v_jl h_l, E(·)² = 4 + m_j − 1.
        """
        unit, _, output, origin = self._positions
        shared = (self.mask.T.astype(float) @ self.mask)[unit[:, None], unit]
        own = unit[:, None] == unit
        WW = np.where(own, shared**2 + 2 * shared, shared)
        VV = (output[:, None] == output) * (1.0 + 2.0 * (origin[:, None] == origin))
        fan_in = self.mask.sum(axis=1)[output].astype(float)
        WV = np.where(unit[:, None] == origin, 3 + fan_in, self.mask[output][:, unit].T.astype(float))
        return np.block([[WW, WV], [WV.T, VV]])

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Values, Values]:
        """Draw weights W (count, m, p) with entries N(0, 1/p), and V (count, q, m) with entries N(0, 1)."""
        q, m = self.mask.shape
        W = rng.standard_normal((count, m, self.n_inputs)) / self.n_inputs**0.5
        return W, rng.standard_normal((count, q, m))


def _numbers(name: str, values: Any) -> Values:
    array = as_numbers(values, name)
    check_finite(array, name)
    return array


def full_links(n_outputs: int, n_hidden: int) -> list[list[int]]:
    """Return all links; the slides' second example is ``full_links(2, 2)``."""
    return [[1] * n_hidden for _ in range(n_outputs)]


#: The slides' two examples, and one with several inputs whose first half of outputs sees the first half of units.
EXAMPLES = {
    "example 1": LinkedNetwork(((1, 0), (0, 1))),
    "example 2": LinkedNetwork(((1, 1), (1, 1))),
    "two parts": LinkedNetwork(((1, 1, 0, 0), (1, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 1), (0, 0, 1, 1)), 2),
}
