"""What guides and explanations state of settings is what the code has: how often it looks, how long it waits."""

from __future__ import annotations

import json
import re

import pytest
from ray._raylet import Config

from rmtsim.arrays import gpu_device, pool
from rmtsim.cli import slurm
from rmtsim.heads import measurement
from rmtsim.kernels import cost, precision
from rmtsim.stats import curve_fit, decay_fit, tails, verdict
from rmtsim.store import compact, gathering, lock, recompute, whole_points
from rmtsim.store.writer import PAUSES
from rmtsim.sweeps import crew, scheduler, sole_results, stopping
from rmtsim.sweeps.spec import MAX_POINTS
from rmtsim.sweeps.table_runner import TableScheduler
from rmtsim.training import trajectory
from tests.markdown import ROOT

WORDS = {2: "two", 3: "three", 5: "five", 10: "ten", 50: "fifty", 1000: "a thousand"}

ATTEMPTS, LOSSES = WORDS[scheduler.ATTEMPTS], WORDS[scheduler.LOSSES]
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(value: float) -> str:
    """Return a power of ten as pages write it, such as 10⁻⁹."""
    digit, exponent = f"{value:.0e}".split("e")
    assert digit == "1"
    return "10" + str(int(exponent)).translate(SUPERSCRIPT)


IN_DOUBLE, IN_SINGLE = (power_of_ten(recompute.ROUNDING[dtype]) for dtype in ("float64", "float32"))

#: Pages and what they say, with the numbers that the code has.
STATED = [
    ("how-to/audit.md", f"by {IN_DOUBLE} of the value in float64, by {IN_SINGLE} in float32"),
    ("how-to/audit.md", f"its last {sole_results._MOST / 1e6:.1f} million batches"),
    ("how-to/fleet.md", f"It is {WORDS[int(scheduler.SLACK)]} times what the batch should take"),
    ("how-to/fleet.md", f"never below {WORDS[int(scheduler.DrawScheduler.patience / 60)]} minutes"),
    ("how-to/fleet.md", f"the limit {WORDS[int(scheduler.SLACK * scheduler.UNMEASURED)]} times what"),
    ("how-to/fleet.md", f"has {WORDS[int(crew.STARTING / 60)]} minutes from the first sign of life"),
    ("how-to/gpu.md", f"what is free, less {gpu_device._KEPT_BACK / 2**20:.0f} MiB for cuBLAS"),
    ("how-to/large-stores.md", f"It joins {compact.MANY} small shards into a large one"),
    ("how-to/large-stores.md", f"once there are more than {compact.MANY}"),
    ("how-to/large-stores.md", f"for {MAX_POINTS:,} points (*more points* there), the most that a spec may have"),
    ("how-to/large-stores.md", f"hold some {gathering.ROWS // 10**4 * 10**4:,} rows at a time"),
    ("how-to/merge-stores.md", f"({IN_DOUBLE}, with float32 {IN_SINGLE})"),
    ("how-to/metrics.md", f"Ray sends them every {Config.metrics_report_interval_ms() / 1000:g} s"),
    ("how-to/ray-cluster.md", f"is seen at the next look, one every {crew._LOOK_EVERY:g} s"),
    ("how-to/resume-and-repair.md", f"after {lock.PATIENCE:g} seconds on an object store"),
    ("how-to/resume-and-repair.md", f"tried {ATTEMPTS} times, or {LOSSES} times if its worker died"),
    ("how-to/s3.md", f"renews it every {lock.RENEWAL:g} seconds"),
    ("how-to/s3.md", f"is taken over after {lock.PATIENCE:g} seconds"),
    ("how-to/s3.md", f"of {compact.MANY} small ones"),
    ("how-to/slurm.md", f"`--time-limit slurm` stops the run {WORDS[int(slurm.MARGIN / 60)]} minutes before"),
    ("how-to/training-runs.md", f"a state that is at most {trajectory._SAVE_EVERY:g} seconds and one step old"),
    (
        "explanation/algebra.md",
        f"from {cost._SAMPLED_CLASSES} of the classes where there are {8 * cost._SAMPLED_CLASSES}",
    ),
    ("explanation/durability.md", f"what it waits for, at most {pool.PATIENCE:g} s"),
    ("explanation/durability.md", f"is tried {ATTEMPTS} times, or {LOSSES} times if its worker died with it"),
    ("explanation/durability.md", f"renews it every {lock.RENEWAL:g} s"),
    ("explanation/durability.md", f"has stood still for {lock.PATIENCE:g} s"),
    ("explanation/durability.md", f"one large shard of {compact.MANY} small ones"),
    ("explanation/last-layers.md", f"of at most {measurement._LARGEST_BATCH} rows"),
    ("explanation/reproducible-rows.md", f"logits above {precision._LARGE_LOGIT:g} are refused"),
    ("explanation/stopping.md", f"is at most `target_rse`, and at most {100 * stopping.TRUSTED_RSE:g} %"),
    (
        "explanation/stopping.md",
        f"fewer than {tails.CARRIERS_PER_ROOT:g} √n of them, and fewer than {tails.MOST_CARRIERS:g}",
    ),
    ("explanation/stopping.md", f"½/√{tails.MOST_CARRIERS:g} = {50 / tails.MOST_CARRIERS**0.5:.0f} %"),
    ("explanation/verdicts.md", f"is fitted to those with C ≥ {decay_fit.MIN_CLASSES}"),
    ("explanation/verdicts.md", f"where the result is {verdict.LEVEL:g} or less"),
    ("explanation/verdicts.md", f"fewer than {curve_fit.MIN_DRAWS} draws are left out"),
    ("explanation/verdicts.md", f"that {100 * verdict.POWER:g} % of such data would have shown"),
    ("explanation/verdicts.md", f"a factor of {verdict.DECISIVE_FACTOR:g} in the constant would have been seen"),
    (
        "explanation/verdicts.md",
        f"fewer than {WORDS[curve_fit.MIN_POINTS]} numbers of classes of {decay_fit.MIN_CLASSES}",
    ),
    ("explanation/verdicts.md", f"known to no better than {100 * curve_fit.MAX_RSE:g} %"),
    ("explanation/verdicts.md", f"still over {100 * verdict.MAX_DISTANCE:g} % from its form"),
    ("reference/store.md", f"every {lock.RENEWAL:g} seconds"),
    ("reference/store.md", f"{lock.PATIENCE:g} seconds"),
    ("reference/store.md", f"of {compact.MANY} small ones"),
]


@pytest.mark.parametrize(("page", "said"), STATED, ids=lambda word: word)
def test_pages_state_the_settings_of_the_code(page: str, said: str) -> None:
    assert said in " ".join((ROOT / "docs" / page).read_text("utf-8").split())


def test_numbers_in_words_are_those_of_the_code() -> None:
    fleet, stored, large, blocks = (
        " ".join((ROOT / "docs" / page).read_text("utf-8").split())
        for page in ("how-to/fleet.md", "reference/store.md", "how-to/large-stores.md", "explanation/blocks.md")
    )
    assert TableScheduler.patience == 3600
    assert "and never below an hour" in fleet
    assert 50 < sum(PAUSES) < 70
    assert "tries again for about a minute" in stored
    assert whole_points.HELD == 2**20
    assert "they hold up to a million rows" in large
    measured = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
    [size] = re.findall(r'"bytes_per_row": ([\d.]+)', json.dumps(measured))
    assert f"about {float(size):.0f} bytes" in stored
    sizes = (ROOT / "benchmarks" / "pages" / "block_picture.py").read_text("utf-8")
    assert "CLASSES, DIM, SAMPLES = (3, 10, 50), 12, 6\n" in sizes
    assert "at d = 12 and N = 6" in blocks
