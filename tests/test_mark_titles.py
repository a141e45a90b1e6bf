"""The numbers that a mark of a report's figure shows where the pointer rests on it: its own."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmtsim.figures.places import bars_beside
from rmtsim.figures.style import progress_axis
from rmtsim.pages import vector_graphics
from rmtsim.pages.formulas import plain_text
from rmtsim.pages.vector_graphics import inline_svg
from tests.html_pages import SVG

X, Y = np.array([2.0, 30.0, 400.0]), np.array([0.125, -3.0, 1234567.0])


def drawing() -> tuple[Figure, Axes]:
    figure = Figure()
    axes = figure.subplots()
    axes.set_xlabel(r"number of classes $C$")
    axes.set_ylabel(r"$\mathbb{E}\,\Vert H_{ij} \Vert_F^2$")
    return figure, axes


def titles(figure: Figure) -> list[list[str]]:
    """Return the titles of all marks, in lines."""
    root = ElementTree.fromstring(inline_svg(figure, "f", "title", ""))
    marks = [part for part in root.iter(f"{SVG}use") if part.get("class") == "mark"]
    return [str(mark.findtext(f"{SVG}title")).splitlines() for mark in marks]


def test_every_mark_says_its_own_numbers() -> None:
    figure, axes = drawing()
    ends = np.array([[0.01, 0.2, 7.0], [0.01, 0.3, 7.0]])
    axes.errorbar(X, Y, ends, fmt="o", label="$d/N = 0.5$", capsize=3)
    axes.plot(X, Y + 1, "s")
    axes.plot(X, Y)  # a line without marks
    axes.set_xscale("log")
    line = "number of classes C: {}", "E ‖H_ij‖_F²: {}"
    bars = [(2, "0.125 ± 0.01"), (30, "−3 (−0.2, +0.3)"), (400, "1.23457e+06 ± 7")]
    assert sorted(titles(figure)) == [
        *(["d/N = 0.5", line[0].format(x), line[1].format(y)] for x, y in bars),
        *([line[0].format(x), line[1].format(y)] for x, y in ((2, "1.125"), (30, "−2"), (400, "1.23457e+06"))),
    ]


def test_marks_that_are_not_drawn_shift_nothing() -> None:
    figure, axes = drawing()
    axes.plot([1, np.nan, 100, 1e9], [1, 2, 3, 4], "o")  # the last is outside
    axes.set_xscale("log")
    axes.set_xlim(0.5, 200)
    assert [lines[-1] for lines in titles(figure)][:2] == ["E ‖H_ij‖_F²: 1", "E ‖H_ij‖_F²: 3"]


def test_marks_beside_their_place_say_the_place() -> None:
    figure, axes = drawing()
    bars_beside(axes, X, Y, np.abs(Y) / 10, 1.07, fmt="o")
    axes.errorbar(1.07 * X, Y, np.abs(Y) / 10, fmt="s")  # a negative control
    axes.set_xscale("log")
    said = [lines[0].removeprefix("number of classes C: ") for lines in titles(figure)]
    assert said == ["2", "30", "400", "2.14", "32.1", "428"]


def test_marks_beside_a_named_tick_say_its_name() -> None:
    figure, axes = drawing()
    axes.set_xticks([0, 1], ["first\nlayer", "second"])
    axes.plot([0.2, 0.9], [1, 2], "o")
    assert [lines[0] for lines in titles(figure)] == ["first layer", "second"]


def test_ticks_in_percent_have_values_in_percent() -> None:
    figure, axes = drawing()
    progress_axis(axes)
    axes.errorbar([0.0, 0.25], [1, 2], xerr=[0.01, 0.02], fmt="o")
    assert [lines[0] for lines in titles(figure)] == ["steps done (%): 0 ± 1", "steps done (%): 25 ± 2"]


def test_axes_without_a_label_have_that_of_their_row_and_column() -> None:
    figure = Figure()
    axes = figure.subplots(2, 2)
    for k, one in enumerate(axes.flat):
        one.plot([1], [k], "o")
        one.set_xlabel("" if k < 2 else f"column {k}")
        one.set_ylabel("" if k % 2 else f"row {k}")
    assert [[text.partition(":")[0] for text in lines] for lines in titles(figure)] == [
        ["column 2", "row 0"],
        ["column 3", "row 0"],
        ["column 2", "row 2"],
        ["column 3", "row 2"],
    ]


def test_the_drawing_is_as_before() -> None:
    figure, axes = drawing()
    (line,) = axes.plot(X, Y, "o", gid="own")
    assert inline_svg(figure, "f", "t", "d") == inline_svg(figure, "f", "t", "d")
    assert line.get_gid() == "own"


def test_names_are_escaped() -> None:
    figure, axes = drawing()
    axes.plot([1], [1], "o", label="<script> & \x1b[31m")
    svg = inline_svg(figure, "f", "t", "d")
    assert "<script>" not in svg
    assert "\x1b" not in svg
    assert titles(figure)[0][0].startswith("<script> & ")


@pytest.mark.parametrize("count", [30, 31, 200])
def test_the_size_is_bounded(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark takes 200 bytes, and its title as many; where more marks are than may have one, there are no titles."""
    monkeypatch.setattr(vector_graphics, "MOST_MARKS", 30)
    figure, axes = drawing()
    axes.plot(np.arange(count), np.arange(count), "o")
    size = len(inline_svg(figure, "f", "t", "d"))
    assert len(titles(figure)) == (count if count <= 30 else 0)
    assert size < 200 * 30 + 200 * count + 25_000


@pytest.mark.parametrize(
    ("label", "plain"),
    [
        ("no formula, 5 \\$", "no formula, 5 $"),
        (r"measured$-$1 (%)", "measured-1 (%)"),
        (r"$|\Delta_N|$ over $\unknown{2}$", r"|Δ_N| over \unknown{2}"),
        (r"$d \; Re\, \Delta_N(t)$", "d Re Δ_N(t)"),
        ("a $ alone", "a $ alone"),
        (r"$\langle\Vert H_{ij}\Vert_F^2\rangle$", "⟨‖H_ij‖_F²⟩"),
        (r"$\sim f^{\,2.38 \pm 0.04}$", "~ f^(2.38 ± 0.04)"),
    ],
)
def test_labels_in_plain_text(label: str, plain: str) -> None:
    assert plain_text(label) == plain


def test_labels_of_columns_and_of_decays_are_understood() -> None:
    """No command of LaTeX is left in the labels of these two kinds of figures."""
    from rmtsim.figures import column_drawing, decay_drawing

    labels: list[Any] = [*column_drawing._LABELS.values(), *(label for _, label in column_drawing.THEORY.values())]
    labels += [decay_drawing._label(layer, q) for layer in decay_drawing._BLOCKS for q in ("diag", "offdiag", "ratio")]
    for label in labels:
        assert not set(plain_text(label)) & set("\\$"), label
