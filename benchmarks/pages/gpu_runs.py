"""The runs in a file of `benchmarks.gpu_check`, and the one of them that the page on GPUs tells."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.pages.gpu_page import RATES, measured
from benchmarks.report import Row


def rows_of(file: Path) -> list[Row] | None:
    """Return the rows of a run in a file of `benchmarks.gpu_check`, or None if there is no such file.

    It is the newest run of all steps on a GPU that came to its end, and its header is first. Names the lines that are
    skipped, since they are none of a check, and ends with a sentence if there is no such run.
    """
    try:
        text = file.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        sys.exit(f"{file}: cannot be read ({error.strerror}); remove it, or run make gpu-check again")
    runs: dict[str, list[Row]] = {}
    skipped = []
    for number, line in enumerate(text.splitlines(), 1):
        row = _row(line)
        if row is None or ("device" not in row and row["run"] not in runs):
            skipped.append(str(number))
        elif "device" in row:
            runs[row["run"]] = [row]
        else:
            runs[row["run"]].append(row)
    if skipped:
        print(f"{file.name}: skipped what is no line of a check: {', '.join(skipped)}", file=sys.stderr)
    whole = [run for run in runs.values() if _is_whole(*run)]
    if not whole:
        sys.exit(
            f"{file.name}: has no run of all steps on a GPU that came to its end; run make gpu-check OUT=docs/results "
            "where there is a GPU, or remove the file"
        )
    return whole[-1]


def _row(line: str) -> Row | None:
    """Return the row of a line, or None if the page cannot be made of it, which is tried with this row alone."""
    try:
        row: Row = json.loads(line)
        header = "device" in row
        if header:
            texts = [row["run"], row["device"], row["date"], *row["steps"]]
        else:
            texts = [row["run"], row["step"]]
            others = dict.fromkeys(RATES, 1.0) if row["step"] == "rates" else {}
            measured([others | row], {"device": "", "date": ""})
        return row if all(isinstance(text, str) for text in texts) and (not header or "whole" in row) else None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError, RecursionError):
        return None


def _is_whole(about: Row, *rows: Row) -> bool:
    ended = {row["step"] for row in rows if "ended" in row}
    return about["whole"] is True and about["device"] != "emulated" and ended >= {*about["steps"]}
