"""The benchmarks run; their numbers are another matter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_part_runs_and_writes(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "memory", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    record = json.loads(out.read_text("utf-8"))
    assert {"date", "machine", "versions", "blas"} <= set(record)
    rows = record["parts"]["memory"]["tables"][0]["rows"]
    assert rows
    assert all(0 < row["peak_over_estimate"] <= 1 for row in rows)


def test_every_part_is_there() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, check=True, capture_output=True)
    for part in (
        "peers",
        "floor",
        "scaling",
        "memory",
        "measure",
        "sweep",
        "reproduce",
        "driver",
        "kills",
        "variance",
        "spreads",
        "precision",
        "weights",
        "verdicts",
        "few_neurons",
        "heads",
        "head_training",
        "universality",
        "gpu",
    ):
        assert (ROOT / "benchmarks" / f"{part}.py").exists()
        assert part in done.stdout.decode()
