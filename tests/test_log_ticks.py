"""Ticks of logarithmic axes: enough of them, in numbers that one can read, and no two labels that touch."""

from __future__ import annotations

import itertools
import re

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import rmtsim
from rmtsim.figures.log_ticks import set_log_ticks

#: Ends of axes, and whether their labels are plain numbers.
ENDS = [
    (2, 10, True),
    (0.0033, 0.021, True),
    (0.15, 0.45, True),
    (1.1, 1.3, True),
    (8, 90, True),
    (1.5e4, 9e4, True),
    (3e-7, 9e-7, False),
    (2, 3000, False),
    (1.5e-3, 9e-2, True),  # with one power of ten
]


def axes(low: float, high: float) -> Axes:
    """A panel as small as those of the figures, with a logarithmic axis below."""
    ax = Figure(figsize=(2.4, 2), layout="constrained").subplots()
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    return ax


def labels_along_x(ax: Axes) -> list[tuple[str, float, float]]:
    """Texts of the ticks that are seen, major and minor, with their left and right ends, from left to right."""
    canvas = FigureCanvasAgg(ax.figure)  # type: ignore[arg-type]
    canvas.draw()
    low, high = sorted(ax.get_xlim())
    found = []
    for tick in (*ax.xaxis.get_major_ticks(), *ax.xaxis.get_minor_ticks()):
        text = tick.label1.get_text()
        if text and low * (1 - 1e-9) <= tick.get_loc() <= high * (1 + 1e-9):
            box = tick.label1.get_window_extent(canvas.get_renderer())
            found.append((text, box.x0, box.x1))
    return sorted(found, key=lambda label: label[1])


def touch(labels: list[tuple[str, float, float]]) -> bool:
    return any(first[2] >= second[1] for first, second in itertools.pairwise(labels))


@pytest.mark.parametrize(("low", "high", "plain"), ENDS)
def test_every_span_has_ticks_that_can_be_read(low: float, high: float, plain: bool) -> None:
    ax = axes(low, high)
    set_log_ticks(ax.xaxis)
    labels = labels_along_x(ax)
    assert 2 <= len(labels) <= 6
    assert all(bool(re.fullmatch(r"[0-9.]+", text)) == plain for text, _, _ in labels)
    assert not touch(labels)


@pytest.mark.parametrize(
    ("values", "ends", "texts"),
    [
        ((2, 4, 9), (1.8, 10), ["2", "4", "9"]),
        ((2, 10, 50, 300, 3000), (1.5, 4000), ["2", "10", "50", "300", "3000"]),
        ((7,), (6, 8), ["7"]),
        ((2, 3, 4, 90), (1.8, 95), ["3", "10", "30"]),  # 2, 3 and 4 would touch
        ((2, 3, 4, 5, 6, 7, 8), (1.8, 10), ["2", "5", "10"]),
    ],
)
def test_few_values_are_the_ticks(values: tuple[float, ...], ends: tuple[float, float], texts: list[str]) -> None:
    ax = axes(*ends)
    set_log_ticks(ax.xaxis, values)
    labels = labels_along_x(ax)
    assert [text for text, _, _ in labels] == texts
    assert not touch(labels)


def test_without_them_labels_touch_or_are_written_as_powers() -> None:
    assert touch(labels_along_x(axes(0.0033, 0.021)))
    assert any("times" in text for text, _, _ in labels_along_x(axes(0.15, 0.45)))


def test_numbers_that_are_shown_are_those_of_their_places() -> None:
    for low, high, _ in ENDS:
        ax = axes(low, high)
        set_log_ticks(ax.xaxis)
        labels_along_x(ax)
        for tick in ax.xaxis.get_major_ticks():
            text = tick.label1.get_text()
            number = re.sub(r"[{}$ ]|\\mathdefault", "", text).replace(r"\times10^", "e").replace("10^", "1e")
            assert float(number) == pytest.approx(tick.get_loc())


def test_a_turned_axis_has_the_same_ticks() -> None:
    shown = []
    for ends in ((2, 11), (11, 2)):
        ax = axes(*ends)
        set_log_ticks(ax.xaxis)
        shown.append({text for text, _, _ in labels_along_x(ax)})
    assert shown[0] == shown[1] == {"2", "5", "10"}


def test_decay_has_them() -> None:
    """From 2 to 10 classes matplotlib would label 3 and 4, which touch."""
    points = [rmtsim.Point("linear", "ce", C, dim=20, n_samples=40) for C in (2, 5, 10)]
    draws = pd.concat([rmtsim.simulate(point, draws=4) for point in points])
    ax = Figure(figsize=(3, 2.4), layout="constrained").subplots()
    rmtsim.plot.decay(draws, "diag_sqfro", ax=ax)
    labels = labels_along_x(ax)
    assert [text for text, _, _ in labels] == ["2", "5", "10"]
    assert not touch(labels)
