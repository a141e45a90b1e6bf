"""Sweeps that are killed, simulated workers and small specs: what tests and benchmarks share."""
