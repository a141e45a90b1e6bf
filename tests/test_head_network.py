"""The network that the figure of last layers trains itself, and what it is trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rmtsim
from rmtsim.figures import get_figure
from rmtsim.figures.parts import part
from rmtsim.paper.head import networks
from rmtsim.store.table_files import as_stored
from rmtsim.training.adam import Schedule
from rmtsim.training.task import Checkpoint


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_SAMPLES": 200, "_BATCH": 32, "_BATCHES": 2, "_BLOCKS": 4}.items():
        monkeypatch.setattr(networks, name, value)


@pytest.mark.usefixtures("small")
def test_the_network_that_is_trained_here() -> None:
    """Its table is the measurement of its head, goes on after a stop, and comes back from a file as it was."""
    schedule = Schedule(4, 0.01, (0, 0.5, 1))
    asked = iter([False, False, True])
    kept: dict[str, bytes] = {}
    with pytest.raises(rmtsim.errors.StoppedError):
        networks.table_of(schedule, Checkpoint(kept, lambda: next(asked, True)))
    assert "run" in kept
    rows = networks.table_of(schedule, Checkpoint(kept))
    pd.testing.assert_frame_equal(rows, networks.table_of(schedule))
    norms = part(rows, "norms")
    measured_rows = norms[norms["of"] == "measured"]
    assert measured_rows["step"].tolist() == [0, 2, 4]
    assert (measured_rows[["n_classes", "dim", "batch", "batches"]] == [100, 64, 32, 2]).all(axis=None)
    assert measured_rows["perplexity"].is_monotonic_decreasing
    figure = get_figure("head")
    numbers, stored = (figure.numbers(table) for table in (rows, as_stored(rows)))
    assert figure.text(numbers) == figure.text(stored)
    assert "C = 100, d = 64, N = 32, batches = 2; step 0 → step 4: perplexity" in figure.headline(stored)
    assert len(figure.plot(stored).axes) == 7


def test_what_it_is_trained_on() -> None:
    """Classes by Zipf's law about centres that training and measuring share; other samples are about others."""
    (X, y), (unseen, labels) = (networks.samples(20_000, role) for role in ("training", "measured"))
    assert np.bincount(y, minlength=100)[:3] / len(y) == pytest.approx(1 / 5.187 / np.arange(1, 4), rel=0.05)
    assert np.mean(X**2) == pytest.approx(1, abs=0.02)
    centres, others = (np.stack([of[c == k].mean(axis=0) for k in range(5)]) for of, c in ((X, y), (unseen, labels)))
    distances = np.linalg.norm(centres[:, None] - others, axis=2)
    assert np.all(np.diag(distances) < 0.5)
    assert np.all(distances + 100 * np.eye(5) > 2)
    assert not np.array_equal(X[:100], unseen[:100])
