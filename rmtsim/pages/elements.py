"""Elements of HTML, made so that whatever is not markup already is escaped.

Elements are well-formed XML, too, so that a strict parser reads the page as a browser does.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from rmtsim.text.output import presentable

#: Elements that have no content.
_VOID = ("meta", "br", "hr", "col")


class Markup(str):
    """Text that is markup already; any other text is escaped where it becomes part of an element."""

    __slots__ = ()


#: What an element may hold: markup, text, nothing, or several of these.
Content: TypeAlias = "Markup | str | Iterable[Content] | None"


def element(tag: str, *content: Content, **attributes: str | bool | None) -> Markup:
    """Return an element.

    Parameters
    ----------
    tag
        Its name.
    content
        What it holds; text is escaped, and shown without secrets of addresses and without control characters.
    attributes
        Its attributes: a trailing underscore is left out, others stand for hyphens. What is None or False is left out.

    Examples
    --------
    >>> element("p", "a < b & ", element("b", "c"), class_="note", aria_label='"x"')
    '<p class="note" aria-label="&quot;x&quot;">a &lt; b &amp; <b>c</b></p>'
    >>> element("meta", charset="utf-8")
    '<meta charset="utf-8"/>'
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_shown("" if value is True else value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{tag}{named}/>" if tag in _VOID else f"<{tag}{named}>{markup(content)}</{tag}>")


def markup(content: Content) -> Markup:
    """Return content as markup: text escaped, several parts one after the other."""
    if content is None:
        return Markup()
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return Markup(escape(_shown(content), quote=False))
    return Markup("".join(map(markup, content)))


def _shown(text: str) -> str:
    return presentable(text, lines=True)
