"""A network with one hidden layer and 100 classes, trained here, whose last layer is measured on the way."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.data.labelled import keyed
from rmtsim.data.labels import Labels
from rmtsim.heads.measurement import measure
from rmtsim.paper.head.numbers import Named, rows_of
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.training.adam import Run, Schedule
from rmtsim.training.task import Checkpoint
from rmtsim.training.trajectory import tables_along

Values = npt.NDArray[np.float64]

#: C, d of the data, the width of the hidden layer (d of the head), and samples to train on.
_CLASSES, _DIM, _WIDTH, _SAMPLES = 100, 32, 64, 4000

#: Samples of a batch, batches, and classes of the maps.
_BATCH, _BATCHES, _BLOCKS = 256, 8, 40

#: Standard deviation of an entry of a sample about its centre, in units of the centres' length: at 0.25 the classes
#: overlap, and the network that is trained is right on four samples of five.
_NOISE = 0.25

#: Steps of Adam, and those that the head is measured after.
_STEPS, _RATE = 256, 0.01
_MEASURED = (0, 4, 8, 16, 32, 64, 128, 256)


def trained_head() -> Experiment:
    """Return the experiment: one table, with the rows of `rows_of` of all checkpoints."""
    schedule = Schedule(_STEPS, _RATE, tuple(step / _STEPS for step in _MEASURED))
    sizes = {"n_classes": _CLASSES, "dim": _DIM, "width": _WIDTH, "n_samples": _SAMPLES, "noise": _NOISE}
    measured = {"batch": _BATCH, "batches": _BATCHES, "blocks": _BLOCKS}

    def compute(checkpoint: Checkpoint) -> pd.DataFrame:
        return table_of(schedule, checkpoint)

    task = Task(f"zipf-c{_CLASSES:04d}", sizes | measured | asdict(schedule), compute, resumable=True)
    return Experiment("head", [task])


def table_of(schedule: Schedule, checkpoint: Checkpoint | None = None) -> pd.DataFrame:
    """Train the network; return the rows of the measurement of its head at every checkpoint, on samples of its own."""
    X, y = samples(_SAMPLES, "training")
    unseen, _ = samples(_BATCH * _BATCHES, "measured")
    rng = keyed("head", "weights", "0")
    weights = [rng.standard_normal(shape) / shape[1] ** 0.5 for shape in ((_WIDTH, _DIM), (_CLASSES, _WIDTH))]

    def look_at(step: int, run: Run) -> pd.DataFrame:
        hidden, head = run.weights
        features = np.maximum(unseen @ hidden.T, 0.0)
        found = measure(head, features, batch=_BATCH, classes=True, blocks=_BLOCKS, progress=False)
        return rows_of([Named(str(step), found, float(step))])

    tables, _ = tables_along(X, weights, y, "ce", schedule, look_at, checkpoint)
    return pd.concat(tables, ignore_index=True)


def samples(count: int, role: str) -> tuple[Values, npt.NDArray[np.int64]]:
    """Return X (N, d) about one centre a class on the sphere, of mean square 1, and labels (N,) by Zipf's law."""
    centres = keyed("head", "centres", "0").standard_normal((_CLASSES, _DIM))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    y = Labels(1.0).draw(_CLASSES, count, f"head/{role}")
    noise = _NOISE * keyed("head", "noise", role).standard_normal((count, _DIM))
    return (centres[y] + noise) * (_DIM / (1 + _DIM * _NOISE**2)) ** 0.5, y
