"""What guides and explanations state of settings is what the code has: how often it looks, how long it waits."""

from __future__ import annotations

import pytest
from ray._raylet import Config

from rmtsim.arrays import pool
from rmtsim.cli import slurm
from rmtsim.store import lock
from rmtsim.sweeps import crew, scheduler, sole_results
from rmtsim.training import trajectory
from tests.markdown import ROOT

NUMBERS = {2: "two", 3: "three", 10: "ten"}

ATTEMPTS, LOSSES = NUMBERS[scheduler.ATTEMPTS], NUMBERS[scheduler.LOSSES]

#: Pages and what they say, with the numbers that the code has.
STATED = [
    ("how-to/ray-cluster.md", f"is seen at the next look, one every {crew._LOOK_EVERY:g} s"),
    ("how-to/slurm.md", f"`--time-limit slurm` stops the run {NUMBERS[int(slurm.MARGIN / 60)]} minutes before"),
    ("how-to/metrics.md", f"Ray sends them every {Config.metrics_report_interval_ms() / 1000:g} s"),
    ("how-to/s3.md", f"renews it every {lock.RENEWAL:g} seconds"),
    ("how-to/s3.md", f"is taken over after {lock.PATIENCE:g} seconds"),
    ("how-to/resume-and-repair.md", f"after {lock.PATIENCE:g} seconds on an object store"),
    ("how-to/training-runs.md", f"a state that is at most {trajectory._SAVE_EVERY:g} seconds old"),
    ("how-to/audit.md", f"its last {sole_results._MOST / 1e6:.1f} million batches"),
    ("explanation/durability.md", f"what it waits for, at most {pool.PATIENCE:g} s"),
    ("explanation/durability.md", f"is tried {ATTEMPTS} times, or {LOSSES} times if its worker died with it"),
    ("explanation/durability.md", f"renews it every {lock.RENEWAL:g} s"),
    ("explanation/durability.md", f"has stood still for {lock.PATIENCE:g} s"),
]


@pytest.mark.parametrize(("page", "said"), STATED, ids=lambda word: word)
def test_pages_state_the_settings_of_the_code(page: str, said: str) -> None:
    text = " ".join((ROOT / "docs" / page).read_text("utf-8").split())
    assert said in text
