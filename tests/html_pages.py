"""Pages as tests read them: parsed strictly, their tables as lists of cells."""

from __future__ import annotations

import re
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ElementTree.Element:
    """Parse a page, which is well-formed XML after its first line."""
    first, _, rest = text.partition("\n")
    assert first == "<!DOCTYPE html>"
    return ElementTree.fromstring(rest)


def words(element: ElementTree.Element | None) -> str:
    """Return the text of an element and of all that is in it."""
    assert element is not None
    return "".join(element.itertext())


def section(page: ElementTree.Element, name: str) -> ElementTree.Element:
    """Return the section of this name."""
    found = page.find(f".//section[@id='{name}']")
    assert found is not None, name
    return found


def tables(within: ElementTree.Element) -> dict[str, list[dict[str, str]]]:
    """Return the rows of every table by its caption; a row that goes across names the group of those after it."""
    found = {}
    for table in within.iter("table"):
        head, group, rows = [words(cell) for cell in table.findall("thead/tr/th")], "", []
        for line in table.findall("tbody/tr"):
            if line.get("class") == "group":
                group = words(line)
                continue
            cells = [words(cell) for cell in line]
            assert len(cells) == len(head)
            named = [
                f"{name} of {head[place - 1]}" if head.count(name) > 1 else name for place, name in enumerate(head)
            ]
            rows.append({"group": group, **dict(zip(named, cells, strict=True))})
        found[words(table.find("caption"))] = rows
    return found


#: Elements that fetch or execute something, and attributes that name what is fetched.
_ACTIVE = ("script", "link", "iframe", "object", "embed", "base", "form", "audio", "video", "foreignObject")
_PLACES = ("src", "href", "data", "action", "poster", "srcset")


def foreign(page: ElementTree.Element) -> list[str]:
    """Return whatever a page would fetch, or execute."""
    found = []
    for part in page.iter():
        name = part.tag.rpartition("}")[2]
        found += [name] if name in _ACTIVE else []
        style = part.text or "" if name == "style" else ""
        for key, value in part.attrib.items():
            if key.startswith("on") or (key in _PLACES and not value.startswith(("#", "data:image/png;base64,"))):
                found.append(f"{key}={value}")
            style += value
        found += [place for place in re.findall(r"url\(\s*([^)]*)\)|@import", style) if not place.startswith("#")]
    return found
