"""Measurements of speed, memory and precision: ``python -m benchmarks`` prints tables and writes ``results.json``.

BLAS, XLA and PyTorch are given one thread before any of them loads, here and in every process that is started from
here. ``rmtsim`` has threads of its own, which a table names where there are more than one.
"""

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
