"""Measurements of speed and cost; run one with ``python -m benchmarks.NAME``."""
