"""What a check on a GPU writes, of a device that there is not, for tests of the pages that are made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_STEPS = ("facts", "tests", "speed", "profile", "rates", "bits", "agree", "tensor")

#: What a run on a GPU would write, of a device that there is not.
PRETENDED: list[Row] = [
    {"run": "a", "device": "Pretended P1", "date": "2001-02-03", "steps": [*_STEPS], "whole": True},
    {"step": "facts", "nvidia_smi": "none"},
    {"step": "tests", "code": 0},
    {"step": "tests", "counts": {"passed": 320}, "failed": [], "end": ["...", "320 passed in 61.00s"]},
    {"step": "speed", "dtype": "float32", "product_TFLOPs": 40.0},
    {
        "step": "speed",
        "dtype": "float32",
        "point": "linear ce",
        "layers": ["linear"],
        "aim": 2e-05,
        "s_per_draw": 3e-05,
        "s_per_draw_one_by_one": 6e-04,
        "batch": 64,
        "share_of_peak": 0.375,
        "cpu_s_per_draw": 0.0123,
    },
    {"step": "profile", "point": "linear ce", "layers": ["linear"], "dtype": "float32", "draws": 10}
    | {"seconds": 4e-4, "device_seconds": 3e-4, "kernels": [["sums", 9, 2.4e-4], ["normals", 1, 6e-5]]},
    {"step": "rates", "s_of_a_launch": 8e-6, "s_of_our_launch": 6.3e-6},
    {"step": "rates", "s_of_a_wait": 2.1e-5},
    {"step": "rates", "copied_TBs": 3.97},
    {"step": "bits", "point": "a", "dtype": "float32", "again": True, "batch_2": False, "two_threads": [True, False]},
    {"step": "agree", "point": "a", "dtype": "float64", "largest_difference": {"linear": [3e-13, None]}},
    {"step": "agree", "point": "a", "dtype": "float32", "largest_difference": {"linear": [4e-06, 2e-06]}},
    {"step": "tensor", "point": "large", "error_without": 1e-07, "error_with": 4e-06}
    | {"s_without_tensor_cores": 0.0017, "s_with_tensor_cores": 0.0019},
    *({"step": step, "ended": "0", "seconds": 1.0} for step in _STEPS),
]
PRETENDED = [{"run": "a"} | row for row in PRETENDED]


def written(folder: Path, rows: list[Row]) -> Path:
    file = folder / "gpu_check.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file
