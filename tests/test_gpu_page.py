"""The page of results on GPUs says what was measured on one, and where nothing was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    found: list[Row] | None = benchmarks("module('benchmarks.pages.gpu_runs').rows_of(Path(given))", str(file))
    return found


def cells(text: str, words: str) -> list[str]:
    """Return the cells of the first row of a table below a heading."""
    rows = [line for line in text.partition(words)[2].splitlines() if line.startswith("|")]
    return [cell.strip() for cell in rows[2].strip("|").split("|")]


def run_of(name: str, **header: Any) -> list[Row]:
    """Return the rows of another run, whose draws take a second."""
    rows = [{**row, "run": name, **({"s_per_draw": 1.0} if "s_per_draw" in row else {})} for row in PRETENDED]
    return [rows[0] | header, *rows[1:]]


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
    assert "0 of the 1 kinds" in page(benchmarks, {**counts, "draws": [draw]}, None)
    assert "1 of the 1 kinds" in page(benchmarks, {**counts, "draws": [{**draw, "aim_s": 1.0}]}, None)


def test_of_a_run_on_a_gpu_it_is_made(benchmarks: Benchmarks, counts: Row, tmp_path: Path) -> None:
    older = run_of("older", device="Older", date="2000-01-01")
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
    left_out = [{**row, "ended": "no time left"} for row in PRETENDED if row.get("ended") and row["step"] != "facts"]
    facts = [row for row in PRETENDED if row.get("step") == "facts"]
    text = page(benchmarks, counts, rows_of(benchmarks, written(tmp_path, [PRETENDED[0], *facts, *left_out])))
    for said in (
        "These did not end well: tests (no time left), speed (no time left),",
        "No times of draws were taken.",
        "Which kernels take",
        "What launches and",
        "was not looked at",
        "Bits were not compared.",
        "were not run there",
    ):
        assert said in " ".join(text.split())


def test_tests_that_were_cut_off_are_told_as_far_as_they_came(
    benchmarks: Benchmarks, counts: Row, tmp_path: Path
) -> None:
    cut_off = {"run": "a", "step": "tests", "counts": {"passed": 7, "failed": 2}, "failed": ["a", "b"], "end": ["..."]}
    rows = [row for row in PRETENDED if row.get("step") != "tests"]
    ended = {"run": "a", "step": "tests", "ended": "took more than 170 s"}
    text = page(benchmarks, counts, rows_of(benchmarks, written(tmp_path, [*rows, cut_off, ended])))
    said = " ".join(text.split())
    assert "did not come to their end; until then: 7 passed, 2 failed." in said
    assert "These did not end well: tests (took more than 170 s)." in said


@pytest.mark.parametrize(
    ("later", "why"),
    [
        (run_of("later", device="emulated"), "the emulator is no GPU"),
        (run_of("later", device="Later", whole=False), "it has not all steps"),
        (run_of("later", device="Later")[:-1], "it did not come to its end"),
        (run_of("later")[1:], "nothing says what its device is"),
    ],
)
def test_no_other_run_is_told_as_the_whole_one(
    later: list[Row], why: str, benchmarks: Benchmarks, tmp_path: Path
) -> None:
    assert rows_of(benchmarks, written(tmp_path, PRETENDED + later)) == PRETENDED, why
    with pytest.raises(SystemExit, match="has no run of all steps on a GPU that came to its end; run make gpu-check"):
        rows_of(benchmarks, written(tmp_path, later))


def test_runs_at_the_same_time_are_kept_apart(benchmarks: Benchmarks, tmp_path: Path) -> None:
    other = run_of("other", device="Other")
    mixed = [row for pair in zip(PRETENDED, other, strict=True) for row in pair]
    assert rows_of(benchmarks, written(tmp_path, mixed)) == other


@pytest.mark.parametrize(
    "line",
    [
        '{"run": "a", "step": "bi',
        "3",
        "null",
        "[1]",
        "\xff",
        "[" * 100_000,
        '{"run": "a", "step": "speed", "s_per_draw": 1.0}',
        '{"run": "a", "step": "rates", "s_of_a_wait": "long"}',
        '{"run": "a", "step": ["tests"]}',
        '{"run": "b", "device": "Without a date", "steps": [], "whole": true}',
    ],
)
def test_what_is_no_line_of_a_check_is_skipped(line: str, benchmarks: Benchmarks, tmp_path: Path) -> None:
    file = written(tmp_path, PRETENDED[:4])
    with open(file, "a", encoding="latin-1") as more:
        more.writelines(f"{text}\n" for text in (line, *map(json.dumps, PRETENDED[4:])))
    assert rows_of(benchmarks, file) == PRETENDED


def test_without_a_file_there_is_no_run_and_a_folder_is_none(benchmarks: Benchmarks, tmp_path: Path) -> None:
    assert rows_of(benchmarks, tmp_path / "gpu_check.jsonl") is None
    (tmp_path / "gpu_check.jsonl").mkdir()
    with pytest.raises(SystemExit, match=r"gpu_check.jsonl: cannot be read \(Is a directory\); remove it"):
        rows_of(benchmarks, tmp_path / "gpu_check.jsonl")


def test_answers_that_are_missing_are_not_the_same(benchmarks: Benchmarks, counts: Row, tmp_path: Path) -> None:
    """Nor is a number that is none small."""
    bits = {"run": "a", "step": "bits", "again": True, "two_threads": [True, "RuntimeError: no"]}
    agree = {"run": "a", "step": "agree", "dtype": "float32", "largest_difference": {"linear": [float("nan"), 1e-9]}}
    failed = {"run": "a", "step": "agree", "dtype": "float32", "no_difference": "RuntimeError: no"}
    rows = [row for row in PRETENDED if row.get("step") not in ("bits", "agree")]
    ends = [row for row in PRETENDED if row.get("step") in ("bits", "agree") and "ended" in row]
    text = page(benchmarks, counts, rows_of(benchmarks, written(tmp_path, [*rows, bits, agree, failed, *ends])))
    said = " ".join(text.split())
    assert "compared 3 times" in said
    assert "2 times they were the same" in said
    assert "by nan in float32 at most. For 1 of 2 there was an error in their place." in said
