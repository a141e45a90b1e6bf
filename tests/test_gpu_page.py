"""The page of results on GPUs says what was measured on one, and where nothing was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.simt.kernels import compiler

ROOT = Path(__file__).parents[1]

Row = dict[str, Any]

#: What a run on a GPU would write, of a device that there is not.
PRETENDED: list[Row] = [
    {"step": "facts", "nvidia_smi": "none"},
    {"step": "facts", "device": "Pretended P1", "date": "2001-02-03"},
    {"step": "tests", "code": 0, "end": ["...", "320 passed in 61.00s"]},
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
    {"step": "bits", "point": "a", "dtype": "float32", "again": True, "batch_2": False, "two_threads": [True, True]},
    {"step": "agree", "point": "a", "dtype": "float64", "largest_difference": {"linear": [3e-13, None]}},
    {"step": "agree", "point": "a", "dtype": "float32", "largest_difference": {"linear": [4e-06, 2e-06]}},
    {"step": "tensor", "point": "large", "error_without": 1e-07, "error_with": 4e-06}
    | {"s_without_tensor_cores": 0.0017, "s_with_tensor_cores": 0.0019},
]


@pytest.fixture(scope="module")
def counts() -> Row:
    found: Row = json.loads((ROOT / "docs" / "results" / "gpu_counts.json").read_text("utf-8"))
    return found


def called(code: str, given: Any = None) -> Any:
    """Return what an expression of the benchmarks' modules gives, for what is ``given``; SystemExit is raised again."""
    script = f"import json, sys; from pathlib import Path; given = json.load(sys.stdin); {code}"
    command, text = [sys.executable, "-c", script], json.dumps(given)
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def page(counts: Row, check: list[Row] | None) -> str:
    code = "from benchmarks.pages.gpu_page import page; print(json.dumps(page(*given)))"
    return str(called(code, [counts, check]))


def rows_of(file: Path) -> list[Row] | None:
    code = "from benchmarks.pages.gpu_page import rows_of; print(json.dumps(rows_of(Path(given))))"
    found: list[Row] | None = called(code, str(file))
    return found


def written(folder: Path, rows: list[Row]) -> Path:
    file = folder / "gpu_check.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def cells(text: str, words: str) -> list[str]:
    """Return the cells of the first row of a table below a heading."""
    rows = [line for line in text.partition(words)[2].splitlines() if line.startswith("|")]
    return [cell.strip() for cell in rows[2].strip("|").split("|")]


@pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")
def test_the_counts_are_those_of_the_code(counts: Row) -> None:
    """Where this fails, `python -m benchmarks.gpu_counts` counts anew, in a minute or two."""
    code = """
from benchmarks.gpu_check import SPEED
from benchmarks.gpu_counts import compiled, counted
print(json.dumps([counted(SPEED[0]), compiled("one_hidden", "mse", None)]))
"""
    draws, kernels = called(code)
    assert draws == counts["draws"][0]
    assert kernels in counts["compiled"]


def test_without_a_run_on_a_gpu_it_says_so(counts: Row) -> None:
    text = page(counts, None)
    assert "**Nothing on this page was measured on a GPU: none was at hand.**" in text
    assert "Measured on" not in text
    assert "gpu_check" not in text


def test_estimates_are_arithmetic_of_counts(counts: Row) -> None:
    nothing = dict.fromkeys(counts["draws"][0]["of_draw"], 0.0)
    of_batch, of_draw = nothing | {"launches": 30.0, "waits": 5}, nothing | {"launches": 1.0, "touched": 2.9e8}
    draw = counts["draws"][0] | {"batch": 10, "of_batch": of_batch, "of_draw": of_draw, "flops": 4e9, "aim_s": 1e-4}
    host, device, longer, aim, times = cells(page({**counts, "draws": [draw]}, None), "## Estimated")[2:]
    assert (host, device, longer, aim, times) == ("50", "200", "200", "100", "2")
    slow = {**draw, "of_draw": of_draw | {"launches": 97.0}}
    assert cells(page({**counts, "draws": [slow]}, None), "## Estimated")[2:5] == ["1010", "200", "1010"]
    assert "0 of 1 kinds" in page({**counts, "draws": [draw]}, None)
    assert "1 of 1 kinds" in page({**counts, "draws": [{**draw, "aim_s": 1.0}]}, None)


def test_of_a_run_on_a_gpu_it_is_made(counts: Row, tmp_path: Path) -> None:
    older = [{"step": "facts", "device": "Older", "date": "2000-01-01"}, {**PRETENDED[4], "s_per_draw": 1.0}]
    text = page(counts, rows_of(written(tmp_path, older + PRETENDED)))
    assert "were measured on one Pretended P1 on 2001-02-03.**" in text
    assert "Older" not in text
    assert "Nothing on this page" not in text
    assert "µs with tensor cores" in text
    assert all(number in text for number in ("1700", "1900", "4e-06"))
    assert "**No number in this table was measured on a GPU.**" in text  # the estimates stay what they are
    row = cells(text, "## Measured on Pretended P1")
    assert row == ["linear ce, linear", "float32", "30", "20", "1.5", "600", "0.375", "12,300"]
    said = " ".join(text.split())
    assert "by 3e-13 in float64 and 4e-06 in float32 at most" in said
    assert "compared 2 times" in said
    assert "1 times they were the same" in said
    assert "320 passed" in said


def test_a_run_that_was_cut_short_is_told(counts: Row, tmp_path: Path) -> None:
    text = page(counts, rows_of(written(tmp_path, PRETENDED[:2])))
    for said in ("No times of draws were taken.", "was not looked at", "Bits were not compared.", "were not run there"):
        assert said in text


def test_the_emulator_is_no_gpu(tmp_path: Path) -> None:
    assert rows_of(tmp_path / "gpu_check.jsonl") is None
    emulated = [{**row, "device": "emulated"} if "device" in row else row for row in PRETENDED]
    with pytest.raises(SystemExit, match="comes from the emulator, which says nothing about a GPU; remove it"):
        rows_of(written(tmp_path, emulated))
    with pytest.raises(SystemExit, match="names no device and no date; run make gpu-check again"):
        rows_of(written(tmp_path, PRETENDED[2:]))
