"""The numbers of a drawing's marks, as titles within its vector graphic, which a browser shows where the pointer rests.

They need no script. Neither paper nor keyboard has them: the tables below a figure have the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from matplotlib.container import ErrorbarContainer
from matplotlib.ticker import FixedLocator

from rmtsim.figures.matplotlib_setup import encoded
from rmtsim.figures.places import places
from rmtsim.pages.formulas import plain_text
from rmtsim.text.output import presentable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Drawing
    from matplotlib.lines import Line2D

#: Points within which a mark of the graphic is that of a value.
_NEAR = 0.05

#: Bars whose ends differ by more than this share reach unequally far down and up.
_EQUAL = 0.01

_NO_MARKER = ("", " ", "None", "none", None)


def svg_with_titles(drawing: Drawing, most: int) -> ElementTree.Element:
    """Return a drawing as SVG whose marks have titles with their numbers, and the class ``mark``.

    A title has a line for the series, if it is named, and a line for each axis: its label and the value, with the
    reach of the error bar. Marks are those of lines, as ``Axes.plot`` and ``Axes.errorbar`` draw them. Where there are
    more than ``most``, none has a title.
    """
    marked = list(_marked(drawing))
    names = [line.get_gid() for _, line, _ in marked]
    if sum(len(np.asarray(line.get_xydata())) for _, line, _ in marked) > most:
        marked = []
    for place, (_, line, _) in enumerate(marked):
        line.set_gid(f"marks-{place}")
    try:
        root = ElementTree.fromstring(encoded(drawing, ".svg"))
    finally:
        for (_, line, _), name in zip(marked, names, strict=False):
            line.set_gid(name)
    groups = {str(part.get("id")): part for part in root.iter() if str(part.get("id")).startswith("marks-")}
    for place, (axes, line, bars) in enumerate(marked):
        if (group := groups.get(f"marks-{place}")) is not None:
            _add_titles(group, _in_points(drawing, line), _titles(axes, line, bars))
    return root


def _marked(drawing: Drawing) -> Iterator[tuple[Axes, Line2D, ErrorbarContainer | None]]:
    """Yield the lines that have marks, each with its axes and its error bars, but not the caps of such bars."""
    for axes in drawing.get_axes():
        with_bars = [held for held in axes.containers if isinstance(held, ErrorbarContainer)]
        bars_of = {held.lines[0]: held for held in with_bars}
        caps = {cap for held in with_bars for cap in held.lines[1]}
        for line in axes.lines:
            if line.get_marker() not in _NO_MARKER and line not in caps and line.get_visible():
                yield axes, line, bars_of.get(line)


def _in_points(drawing: Drawing, line: Line2D) -> np.ndarray:
    """Return where the marks of a line are in the graphic, (n, 2)."""
    with np.errstate(all="ignore"):
        placed = line.get_transform().transform(line.get_xydata()) * 72 / drawing.dpi
    return np.column_stack([placed[:, 0], 72 * drawing.get_figheight() - placed[:, 1]])


def _add_titles(group: ElementTree.Element, placed: np.ndarray, titles: Sequence[str]) -> None:
    for mark in [part for part in group.iter() if part.tag.endswith("}use")]:
        distances = np.hypot(placed[:, 0] - float(mark.attrib["x"]), placed[:, 1] - float(mark.attrib["y"]))
        nearest = int(np.nanargmin(distances))
        if distances[nearest] < _NEAR:
            mark.set("class", "mark")
            ElementTree.SubElement(mark, "title").text = presentable(titles[nearest], lines=True)


def _titles(axes: Axes, line: Line2D, bars: ErrorbarContainer | None) -> list[str]:
    """Return the title of each mark of a line."""
    label = str((bars or line).get_label())
    series = [] if label.startswith("_") else [plain_text(label)]
    across, up = _Values(axes, "x", places(line)), _Values(axes, "y", line.get_ydata())
    reach = [] if bars is None else list(bars.lines[2])
    ends_x = _ends(reach.pop(0), 0) if bars is not None and bars.has_xerr else {}
    ends_y = _ends(reach.pop(0), 1) if bars is not None and bars.has_yerr else {}
    return [
        "\n".join([*series, across.said(place, ends_x), up.said(place, ends_y)]) for place in range(len(across.values))
    ]


def _ends(bars: Any, axis: int) -> dict[int, tuple[float, float]]:
    """Return where the bars of marks end, by the place of the mark."""
    found = {}
    for place, segment in enumerate(bars.get_segments()):
        if len(segment) == 2 and np.isfinite(segment).all():
            found[place] = float(segment[0][axis]), float(segment[1][axis])
    return found


class _Values:
    """The values of marks along an axis, in words."""

    def __init__(self, axes: Axes, name: str, values: Any) -> None:
        self.values, self._label = values, _label(axes, name)
        self._words, self._factor = _ticks(axes.xaxis if name == "x" else axes.yaxis)

    def said(self, place: int, ends: dict[int, tuple[float, float]]) -> str:
        value = self.values[place]
        if self._words:  # marks may stand beside the tick that names them
            return self._words[min(self._words, key=lambda tick: abs(tick - value))]
        if isinstance(value, str):
            return f"{self._label}: {value}"
        reach = _reach(*(self._factor * end for end in (value, *ends[place]))) if place in ends else ""
        return f"{self._label}: {_number(self._factor * value)}{reach}"


def _ticks(axis: Axis) -> tuple[dict[float, str], float]:
    """Return the words that ticks of a linear axis have in place of numbers, and the factor of numbers, such as 100."""
    if not isinstance(axis.get_major_locator(), FixedLocator):
        return {}, 1.0
    at = axis.get_majorticklocs()
    labels = [" ".join(plain_text(label).split()) for label in axis.get_major_formatter().format_ticks(list(at))]
    numbers = [_as_number(label) for label in labels]
    if axis.get_scale() == "linear" and None in numbers:
        return dict(zip(at, labels, strict=True)), 1.0
    factors = {round(number / tick, 6) for tick, number in zip(at, numbers, strict=True) if tick and number is not None}
    return {}, factors.pop() if len(factors) == 1 and None not in numbers else 1.0


def _label(axes: Axes, name: str) -> str:
    """Return the label of an axis, which may stand beside other axes of its row or below others of its column."""
    shared = axes.get_shared_x_axes() if name == "x" else axes.get_shared_y_axes()
    own, spot = getattr(axes, f"get_{name}label")(), axes.get_subplotspec()
    figure = axes.get_figure()
    others = [other for other in (figure.axes if figure else ()) if other is not axes]
    beside = [
        other
        for other in others
        if spot is not None
        and (at := other.get_subplotspec()) is not None
        and at.get_gridspec() is spot.get_gridspec()
        and (at.colspan == spot.colspan if name == "x" else at.rowspan == spot.rowspan)
    ]
    near = [*shared.get_siblings(axes), *beside]
    found = own or next((label for other in near if (label := getattr(other, f"get_{name}label")())), "") or name
    return " ".join(plain_text(found).split())


def _reach(value: float, low: float, high: float) -> str:
    down, up = value - low, high - value
    if max(down, up) <= 0:
        return ""
    if abs(up - down) <= _EQUAL * max(up, down):
        return f" ± {(up + down) / 2:.2g}"
    return f" (−{down:.2g}, +{up:.2g})"


def _number(value: float) -> str:
    text = f"{value:.6g}"
    return f"−{text[1:]}" if text.startswith("-") else text


def _as_number(text: str) -> float | None:
    try:
        return float(text.replace("−", "-"))
    except ValueError:
        return None
