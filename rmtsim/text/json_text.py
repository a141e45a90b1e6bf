"""Reading of JSON from files, which anyone may have changed, within limits on size and depth."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date, time
from itertools import repeat
from typing import Any

#: Bytes of a text, at most. What rmtsim writes is far below: 100 000 paths of tables are some 10 MB.
MOST_BYTES = 64 << 20

#: Lists and tables inside one another, at most. What rmtsim writes has fewer than ten.
MOST_DEPTH = 32

#: What stands after the last value of a list or table.
_END = object()

#: Whole numbers have at most 64 bits.
_LEAST, _MOST = -(2**63), 2**64 - 1


class PlainDataError(ValueError):
    """A text or a value is not plain data; the message is the reason, in a few words without a full stop."""


def parse_json(text: bytes | str, most_bytes: int = MOST_BYTES) -> Any:
    """Read a JSON text from a file.

    Parameters
    ----------
    text
        The text, UTF-8 where it is bytes.
    most_bytes
        The size that the text may have.

    Returns
    -------
    Any
        Plain data as `check_plain` describes it. Its structure is for the caller to check.

    Raises
    ------
    PlainDataError
        If the text is larger, not UTF-8 or not JSON, or if `check_plain` refuses what it says.

    Examples
    --------
    >>> from rmtsim.text.json_text import parse_json
    >>> parse_json(b'{"last": 3, "gone": [[1, 2]]}')
    {'last': 3, 'gone': [[1, 2]]}
    >>> parse_json('{"last": 1e999}')
    Traceback (most recent call last):
    rmtsim.text.json_text.PlainDataError: last: it is a number that is not finite
    """
    if len(text) > most_bytes:
        raise PlainDataError(f"it is longer than {most_bytes >> 20} MiB")
    try:
        value = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except UnicodeDecodeError:
        raise PlainDataError("it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise PlainDataError(f"it is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise PlainDataError(_TOO_DEEP) from None
    except ValueError:  # Python makes no whole number of more than some thousand digits
        raise PlainDataError(_TOO_LARGE) from None
    check_plain(value)
    return value


def check_plain(value: Any, *, any_number: bool = False) -> None:
    """Check that a value is plain data: what JSON and TOML have in common, within limits.

    Plain data are tables with text as keys, lists, text, finite numbers, truth values and None. Lists and tables lie
    at most 32 deep inside one another, whole numbers have at most 64 bits, and text can be written as UTF-8.

    Parameters
    ----------
    value
        The value.
    any_number
        Whether numbers of any size are accepted, for a caller that checks each.

    Raises
    ------
    PlainDataError
        At the first value that is not plain data; the reason begins with the keys that lead to it.
    """
    # No recursion, as the depth is what is in doubt; and no copy of a list, which may have millions of numbers.
    inside: list[Iterator[tuple[Any, tuple[str, ...]]]] = [iter([(value, ())])]
    while inside:
        found, keys = next(inside[-1], (_END, ()))
        if found is _END:
            inside.pop()
            continue
        if isinstance(found, int | float) and any_number:
            continue
        if flaw := _flaw(found, len(keys)):
            named = ".".join(key for key in keys if key)
            raise PlainDataError(f"{named[:100]}: {flaw}" if named else flaw)
        if isinstance(found, dict):
            inside.append(zip(found.values(), [(*keys, key) for key in found], strict=True))
        elif isinstance(found, list):
            inside.append(zip(found, repeat((*keys, ""))))


_TOO_DEEP = f"its lists and tables lie more than {MOST_DEPTH} deep inside one another"
_TOO_LARGE = "it has a whole number of more than 64 bits"


def _flaw(value: Any, depth: int) -> str | None:
    """Return why a value is not plain data, apart from the values inside it; None where it is."""
    match value:
        case None | bool():
            return None
        case int():
            return None if _LEAST <= value <= _MOST else _TOO_LARGE
        case float():
            return None if math.isfinite(value) else "it is a number that is not finite"
        case str():
            return None if _is_text(value) else "it is text that is not UTF-8"
        case dict() if not all(isinstance(key, str) and _is_text(key) for key in value):
            return "it has a key that is no UTF-8 text"
        case dict() | list():
            return None if depth < MOST_DEPTH else _TOO_DEEP
        case date() | time():  # as TOML has them
            return (
                f"{value.isoformat()} is a date or a time, not text in quotes, a number, true, false, a list or a table"
            )
    return f"it is a {type(value).__name__}, not text, a number, true, false, a list or a table"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False
    return True
