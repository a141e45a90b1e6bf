"""Arrays: NumPy and CuPy behind one interface, and what of BLAS, threads and GPU it takes to be fast."""
