"""Tables: columns align as a terminal shows them, cells are taken literally, and rows become plain data."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from rich.box import MARKDOWN, Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rmtsim.text.tables import frame_table, markdown_table, records, text_table


def test_columns_align_and_lines_between_them_do_not_widen_them() -> None:
    rows = [["C", "χ²/dof", "verdict"], "a heading wider than all of the columns together", ["10", "1.0", "agrees"]]
    assert text_table(rows, align="<><") == ["C   χ²/dof  verdict", rows[1], "10     1.0  agrees"]
    assert text_table(rows, align="<><", gap=1, indent=2) == ["  C  χ²/dof verdict", rows[1], "  10    1.0 agrees"]


def test_cells_are_taken_literally() -> None:
    grid = [["[bold]x[/bold]", ":smile:"], ["a\nb", "[1]"]]
    assert text_table(grid) == ["[bold]x[/bold]  :smile:", "a b             [1]"]


def test_settings_of_the_terminal_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["x" * 200, "1"], ["y", "22"]]
    plain = text_table(rows, align="<>")
    for name, value in {"COLUMNS": "20", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}.items():
        monkeypatch.setenv(name, value)
    assert text_table(rows, align="<>") == plain
    assert [len(line) for line in plain] == [204, 204]


def laid_out_by_rich(cells: list[list[str]], align: str, padding: tuple[int, ...], box: Box | None = None) -> list[str]:
    """The slow form: Rich's own tables, which take a hundred times as long where rows are many."""
    table = Table(box=box, pad_edge=box is not None, padding=padding, show_header=box is not None, header_style="")  # type: ignore[arg-type]
    for name, of in zip(cells[0], align, strict=True):
        table.add_column(Text(name) if box else "", justify="left" if of == "<" else "right", no_wrap=True)
    for row in cells[box is not None :]:
        table.add_row(*map(Text, row))
    console = Console(width=1 << 16, color_system=None, force_terminal=False, safe_box=False, _environ={})
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().split("\n") if line.strip()]


def test_tables_are_as_rich_lays_them_out() -> None:
    words = ["", "1000", "χ²/dof", "±0.5", "数", "[bold]x", ":smile:", " begins with a space", "ends with one ", "é"]
    rng = np.random.default_rng(0)
    for align in ("<<<<", "<>><", ">>>>"):
        cells = [["name", *row[1:]] for row in rng.choice(words, (8, 4)).tolist()]
        assert text_table(cells, align, gap=2) == laid_out_by_rich(cells, align, (0, 2, 0, 0))
        first, line, *others = laid_out_by_rich(cells, align, (0, 1), MARKDOWN)
        of_columns = zip(line[1:-1].split("|"), align, strict=True)
        line = f"|{'|'.join(dashes if to == '<' else f'{dashes[1:]}:' for dashes, to in of_columns)}|"  # Rich has none
        assert markdown_table(cells[0], cells[1:], align) == [first, line, *others]


def test_what_can_be_spared_is_left_out_where_there_is_no_room() -> None:
    rows = [["C", "free", "size", "verdict"], "linear model", ["10", "-2.01", "5%", "agrees"]]
    lines = {width: text_table(rows, "<>><", gap=1, width=width, spare=[[1], [2]]) for width in (21, 20, 15, 12, 3)}
    assert lines[21] == ["C   free size verdict", "linear model", "10 -2.01   5% agrees"]
    assert lines[20] == ["C  size verdict", "linear model", "10   5% agrees", "(21 columns would have room for: free)"]
    assert lines[15] == lines[20]
    assert lines[12][0] == lines[3][0] == "C  verdict"  # the rest cannot be spared
    assert lines[12][-1] == "(21 columns would have room for: free, size)"


def test_wide_letters_count_as_a_terminal_shows_them() -> None:
    first, second = text_table([["数", "1"], ["ab", "2"]])
    assert (first, second) == ("数  1", "ab  2")


def test_markdown_escapes_what_would_end_a_cell() -> None:
    lines = markdown_table(["|z|", "n"], [["1", "2"]])
    assert lines[0] == r"| \|z\| | n |"
    assert len(lines) == 3


def test_rows_become_plain_data() -> None:
    table = pd.DataFrame(
        {"n_classes": [2.0, math.nan], "width": pd.array([None, 8], dtype="Int64"), "x": [math.inf, np.float64(1.5)]}
    )
    found = records(table)
    assert found == [{"n_classes": 2, "width": None, "x": None}, {"n_classes": None, "width": 8, "x": 1.5}]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_table_of_pandas_is_shown_with_what_is_missing() -> None:
    width = pd.array([None, 8], dtype="Int64")
    table = pd.DataFrame({"layer": ["linear", None], "width": width, "x": [0.125, math.nan], "y": [math.inf, 1e-12]})
    assert frame_table(table) == [
        " layer width     x     y",
        "linear     - 0.125   inf",
        "     -     8     - 1e-12",
    ]
    assert frame_table(table.iloc[:0]) == ["layer width x y"]
