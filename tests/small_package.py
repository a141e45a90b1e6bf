"""A small sweep, and a line of Python that fails, for tests of the installed package."""

from __future__ import annotations

#: What another's module does when it is imported in the place of ours.
RAISES = "raise RuntimeError('this is not of rmtsim')\n"


#: With the squared error, whose theory is a formula: that of cross-entropy takes seconds in few dimensions.
SPEC = """
name = "tiny"
model = "linear"
loss = "mse"
[grid]
n_classes = [2, 4, 8]
aspect_ratio = [0.5]
dim = [8]
[sampling]
min_draws = 8
max_draws = 8
target_rse = 0.9
"""
