"""Figures of matplotlib as vector graphics within a page, whose ink and paper are those of the page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from rmtsim.pages.elements import Markup
from rmtsim.text.output import presentable

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: A color as matplotlib writes it.
_COLOR = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})\b")

#: A reference to a part of the same graphic.
_REFERENCE = re.compile(r"url\(#([^)]*)\)")

#: Most marks of a drawing that say their numbers, in some 150 bytes each; where there are more, none does.
MOST_MARKS = 3000

#: What says nothing to a reader, or holds for the whole page: matplotlib's style is a part of that of the page.
_LEFT_OUT = ("metadata", "style")


def inline_svg(drawing: Drawing, name: str, title: str, description: str) -> Markup:
    """Return a drawing as an element ``svg``.

    Its greys are mixed of the page's ``--ink`` and ``--paper``, and its colors of as much of themselves as ``--color``
    says and of ink, so that it is legible on a dark page, too. A drawing with pictures in it, such as maps of a
    Hessian, has the class ``on-paper`` and is to keep white paper: their colors have a scale that is not to be turned.
    Marks say their numbers where the pointer rests on them.

    Parameters
    ----------
    drawing
        The drawing of matplotlib.
    name
        What the names of its parts begin with; no two graphics of a page may have the same.
    title, description
        What it shows, for those who cannot see it.
    """
    from rmtsim.pages.mark_titles import svg_with_titles

    root = svg_with_titles(drawing, MOST_MARKS)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in _LEFT_OUT:
                parent.remove(child)
    has_pictures = any(_local(part.tag) == "image" for part in root.iter())
    for part in root.iter():
        part.tag = _local(part.tag)
        part.attrib = {_local(key): _renamed(_local(key), value, name) for key, value in part.attrib.items()}
    width = float(str(root.get("viewBox")).split()[2])
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    about = [_text_part("title", f"{name}-title", title), _text_part("desc", f"{name}-desc", description)]
    for place, part in enumerate(about):
        root.insert(place, part)
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "class": "on-paper" if has_pictures else "drawing",
        "style": f"max-width: {width / 72 * 1.2:.2f}in",
        "aria-labelledby": f"{name}-title {name}-desc",
    }
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _local(name: str) -> str:
    """Return a name without its namespace: within a page an SVG needs none."""
    return name.rpartition("}")[2]


def _renamed(key: str, value: str, name: str) -> str:
    """Return the value of an attribute with names of parts that are unique in the page, and with the page's greys."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value[1:]}" if value.startswith("#") else value
    if key in ("style", "fill", "stroke"):
        return _COLOR.sub(_ink, _REFERENCE.sub(rf"url(#{name}-\1)", value))
    return _REFERENCE.sub(rf"url(#{name}-\1)", value)


def _ink(color: re.Match[str]) -> str:
    """Return a grey as a mixture of ink and paper, and another color as a mixture of ``--color`` of it and ink."""
    if len(set(color.groups())) > 1:
        return f"color-mix(in srgb, {color[0]} var(--color), var(--ink))"
    share = round(100 * (1 - int(color[1], 16) / 255))
    if share in (0, 100):
        return "var(--ink)" if share else "var(--paper)"
    return f"color-mix(in srgb, var(--ink) {share}%, var(--paper))"


def _text_part(tag: str, name: str, text: str) -> ElementTree.Element:
    part = ElementTree.Element(tag, {"id": name})
    part.text = presentable(text)
    return part
