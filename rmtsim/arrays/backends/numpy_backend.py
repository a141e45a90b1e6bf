"""NumPy on a CPU: products are added in place through BLAS (``rmtsim.arrays.blas``)."""

from __future__ import annotations

import numpy as np

from rmtsim.arrays.backend import Array, Backend, Module, register_backend


class NumPyBackend(Backend):
    """NumPy, with SciPy's BLAS."""

    name = package = "numpy"
    takes_index_arrays = True

    def module(self) -> Module:
        """Return NumPy."""
        return np

    def exp_in_place(self, L: Array) -> Array:
        """Overwrite L with exp(L)."""
        return np.exp(L, out=L)

    def add_product(self, total: Array, A: Array, B: Array) -> Array:
        """Add A Bᵀ to ``total`` in place."""
        from rmtsim.arrays.blas import add_product  # with SciPy, which takes a second to load

        add_product(total, A, B)
        return total


register_backend(NumPyBackend())
