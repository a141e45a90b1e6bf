"""The page of results on GPUs says what was measured on one, and where nothing was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.simt.kernels import compiler
from tests.benchmark_modules import ROOT, Benchmarks, benchmarks
from tests.gpu_rows import PRETENDED, Row, written

__all__ = ["benchmarks"]  # a fixture


@pytest.fixture(scope="module")
def counts() -> Row:
    found: Row = json.loads((ROOT / "docs" / "results" / "gpu_counts.json").read_text("utf-8"))
    return found


def page(benchmarks: Benchmarks, counts: Row, check: list[Row] | None) -> str:
    return str(benchmarks("module('benchmarks.pages.gpu_page').page(*given)", [counts, check]))


def rows_of(benchmarks: Benchmarks, file: Path) -> list[Row] | None:
    found: list[Row] | None = benchmarks("module('benchmarks.pages.gpu_page').rows_of(Path(given))", str(file))
    return found


def cells(text: str, words: str) -> list[str]:
    """Return the cells of the first row of a table below a heading."""
    rows = [line for line in text.partition(words)[2].splitlines() if line.startswith("|")]
    return [cell.strip() for cell in rows[2].strip("|").split("|")]


@pytest.mark.skipif(not compiler(), reason="there is no g++ to compile the kernels with")
def test_the_counts_are_those_of_the_code(benchmarks: Benchmarks, counts: Row) -> None:
    """Where this fails, `python -m benchmarks.gpu_counts` counts anew, in a minute or two."""
    draws = benchmarks("module('benchmarks.gpu_counts').counted(module('benchmarks.gpu_speed').SPEED[0])")
    kernels = benchmarks("module('benchmarks.gpu_counts').compiled('one_hidden', 'mse', None)")
    assert draws == counts["draws"][0]
    assert kernels in counts["compiled"]


def test_without_a_run_on_a_gpu_it_says_so(benchmarks: Benchmarks, counts: Row) -> None:
    text = page(benchmarks, counts, None)
    assert "**Nothing on this page was measured on a GPU: none was at hand.**" in text
    assert "Measured on" not in text
    assert "gpu_check" not in text


def test_estimates_are_arithmetic_of_counts(benchmarks: Benchmarks, counts: Row) -> None:
    nothing = dict.fromkeys(counts["draws"][0]["of_draw"], 0.0)
    of_batch, of_draw = nothing | {"launches": 30.0, "waits": 5}, nothing | {"launches": 1.0, "touched": 2.9e8}
    draw = counts["draws"][0] | {"batch": 10, "of_batch": of_batch, "of_draw": of_draw, "flops": 4e9, "aim_s": 1e-4}
    host, device, longer, aim, times = cells(page(benchmarks, {**counts, "draws": [draw]}, None), "## Estimated")[2:]
    assert (host, device, longer, aim, times) == ("50", "200", "200", "100", "2")
    slow = {**draw, "of_draw": of_draw | {"launches": 97.0}}
    assert cells(page(benchmarks, {**counts, "draws": [slow]}, None), "## Estimated")[2:5] == ["1010", "200", "1010"]
    assert "0 of 1 kinds" in page(benchmarks, {**counts, "draws": [draw]}, None)
    assert "1 of 1 kinds" in page(benchmarks, {**counts, "draws": [{**draw, "aim_s": 1.0}]}, None)


def test_of_a_run_on_a_gpu_it_is_made(benchmarks: Benchmarks, counts: Row, tmp_path: Path) -> None:
    older = [{"step": "facts", "device": "Older", "date": "2000-01-01"}, {**PRETENDED[4], "s_per_draw": 1.0}]
    text = page(benchmarks, counts, rows_of(benchmarks, written(tmp_path, older + PRETENDED)))
    assert "were measured on one Pretended P1 on 2001-02-03.**" in text
    assert "Older" not in text
    assert "Nothing on this page" not in text
    assert "µs with tensor cores" in text
    assert all(number in text for number in ("1700", "1900", "4e-06"))
    assert "**No number in this table was measured on a GPU.**" in text  # the estimates stay what they are
    row = cells(text, "## Measured on Pretended P1")
    assert row == ["linear ce, linear", "float32", "30", "20", "1.5", "600", "0.375", "12,300"]
    said = " ".join(text.split())
    assert "| linear ce, linear | float32 | 75 % | sums 80 %, normals 20 % |" in said
    assert "6.3 µs for the launch of a kernel of rmtsim, 8 µs for one of CuPy, and 21 µs for a wait" in said
    assert "copied at 4 TB/s" in said
    assert "by 3e-13 in float64 and 4e-06 in float32 at most" in said
    assert "compared 4 times" in said
    assert "2 times they were the same" in said
    assert "320 passed" in said


def test_a_run_that_was_cut_short_is_told(benchmarks: Benchmarks, counts: Row, tmp_path: Path) -> None:
    text = page(benchmarks, counts, rows_of(benchmarks, written(tmp_path, PRETENDED[:2])))
    for said in (
        "No times of draws were taken.",
        "Which kernels take",
        "What launches and",
        "was not looked at",
        "Bits were not compared.",
        "were not run there",
    ):
        assert said in text


def test_the_emulator_is_no_gpu(benchmarks: Benchmarks, tmp_path: Path) -> None:
    assert rows_of(benchmarks, tmp_path / "gpu_check.jsonl") is None
    emulated = [{**row, "device": "emulated"} if "device" in row else row for row in PRETENDED]
    with pytest.raises(SystemExit, match="comes from the emulator, which says nothing about a GPU; remove it"):
        rows_of(benchmarks, written(tmp_path, emulated))
    with pytest.raises(SystemExit, match="names no device and no date; run make gpu-check again"):
        rows_of(benchmarks, written(tmp_path, PRETENDED[2:]))
