"""What the block norms of a layer come as."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rmtsim.arrays.backend import Array


class _Means(NamedTuple):
    diag_sqfro: Array
    offdiag_sqfro: Array


class BlockNorms(_Means):
    """Mean of ‖block‖²_F over all diagonal and over all off-diagonal blocks of one layer, a pair in float64.

    A value has the leading axes of the arrays, or is a scalar where there are none. NaN marks what does not
    exist: off-diagonal blocks of a single class or neuron, diagonal blocks of the cross layer.

    Attributes
    ----------
    diag_sqfro, offdiag_sqfro
        The two means.
    ratio
        The second over the first.
    dtype
        ``"float32"`` or ``"float64"``: what they were computed in.

    Examples
    --------
    With cross-entropy and two classes, all blocks have the same norm:

    >>> import numpy as np, rmtsim
    >>> rng = np.random.default_rng(0)
    >>> norms = rmtsim.block_norms(rng.normal(size=(20, 3)), rng.normal(size=(2, 3)))["linear"]
    >>> diag, offdiag = norms
    >>> round(float(norms.ratio), 9)
    1.0
    """

    dtype: str = "float64"

    @property
    def ratio(self) -> Array:
        """Return offdiag_sqfro over diag_sqfro; NaN where that is 0, or does not exist."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.offdiag_sqfro / self.diag_sqfro

    def in_dtype(self, dtype: str) -> BlockNorms:
        """Return the same values marked as computed in ``dtype``; NumPy arrays without axes become scalars."""
        marked = BlockNorms(*(value[()] for value in self))
        marked.dtype = dtype
        return marked


class SampledNorms(NamedTuple):
    """The same where terms of single classes are estimated from some of them, with the standard errors of that."""

    diag_sqfro: Array
    offdiag_sqfro: Array
    std_error_diag: Array
    std_error_offdiag: Array
