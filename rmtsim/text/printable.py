"""Text from files and arguments as a terminal may show it."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]

#: Categories of characters that a terminal obeys instead of showing: controls, format characters (some change the
#: direction of writing), lone surrogates (bytes of a file's name that are not UTF-8), separators of lines.
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: object, *, lines: bool = False) -> str:
    r"""Return text with an escape in place of each character that a terminal would obey instead of show.

    Names in a store, in a file or on the command line may hold anything, such as an escape sequence that changes what
    was printed before. Whatever a verb prints passes through here.

    Parameters
    ----------
    text
        Anything; ``str`` of it is taken.
    lines
        Whether newlines are kept, as between the lines of a table.

    Examples
    --------
    >>> print(printable("layer \x1b[31mred\x07"))
    layer \x1b[31mred\x07
    >>> print(printable("a\nb"), printable("a\nb", lines=True))
    a\nb a
    b
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        _escape(letter) if unicodedata.category(letter) in _OBEYED and not (lines and letter == "\n") else letter
        for letter in text
    )


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
