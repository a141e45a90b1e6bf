"""Array backends, NumPy and CuPy behind one interface, and low-level helpers for BLAS, threads, memory and the GPU."""
