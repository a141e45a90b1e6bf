"""Specs of small sweeps."""

from __future__ import annotations

from pathlib import Path

from rmtsim.sweeps.spec import Spec, load

#: A small sweep of six points, to be filled in with max_draws and target_rse.
SMALL = """
name = "small"
model = "one_hidden"
loss = "ce"
[grid]
n_classes = [2, 10, 30]
aspect_ratio = [0.5, 1.0]
dim = [30]
width = [4]
[sampling]
seed = 5
min_draws = 8
max_draws = {max_draws}
target_rse = {target_rse}
"""

#: The same, as most tests run it.
SPEC = SMALL.format(max_draws=60, target_rse=0.2)

#: Two points with 24 draws each.
TINY = """
name = "tiny"
model = "one_hidden"
loss = "ce"
[grid]
n_classes = [2, 10]
aspect_ratio = [0.5]
dim = [30]
width = [4]
[sampling]
seed = 5
min_draws = 12
max_draws = 24
target_rse = 1e-6
"""

#: Two points of the linear model, to be filled in with draws and target_rse: as many draws of each.
LINEAR = """
name = "small"
model = "linear"
loss = "mse"
[grid]
n_classes = [2, 10]
aspect_ratio = [0.5]
dim = [20]
[sampling]
min_draws = {draws}
max_draws = {draws}
target_rse = {target_rse}
"""

#: A training run of no steps, to be filled in with its data.
UNTRAINED = """
name = "untrained"
loss = ["mse"]
[grid]
n_classes = [2]
dim = [4]
n_samples = [16]
hidden = [[]]
data = ["{data}"]
[training]
steps = 0
checkpoints = [0]
"""


#: Training runs of twelve problems, two draws of each.
TRAININGS = """
name = "small"
loss = ["ce", "binary_ce"]
[grid]
n_classes = [2]
dim = [4]
samples_per_class = [6]
hidden = [[], [3], [3, 2]]
data = ["gaussian", "clusters:4"]
[training]
steps = 20
learning_rate = 0.05
checkpoints = [0, 1]
[sampling]
draws = 2
"""


def spec_of(text: str, folder: Path) -> Spec:
    """Write a spec to ``spec.toml`` in a folder, and load it."""
    (folder / "spec.toml").write_text(text)
    return load(str(folder / "spec.toml"))
