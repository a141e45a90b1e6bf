"""Kernels: mean squared Frobenius norms of all Hessian blocks without forming a block."""
