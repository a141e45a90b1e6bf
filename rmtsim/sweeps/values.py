"""The values that keys of specs take: how each is checked, and how messages and the reference name it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import numpy as np

from rmtsim.errors import InputError
from rmtsim.text.checks import MAX_SIZE, check_choice, check_size
from rmtsim.text.words import abridge, did_you_mean


@attrs.frozen
class Values:
    """The values that a key takes.

    Attributes
    ----------
    text
        A noun phrase for the reference, such as "a whole number from 1 to 100".
    advice
        How a message says what would be valid, such as "give a whole number from 1 to 100".
    check
        Takes the key's title and a value; returns the value as it is kept, or raises InputError.
    """

    text: str
    advice: str
    check: Callable[[str, Any], Any]


def choice(names: tuple[str, ...]) -> Values:
    """Return the values that are one of some names."""
    *most, last = (f"`{name}`" for name in names)
    text = f"{', '.join(most)} or {last}" if most else last
    return Values(text, f"choose one of {', '.join(names)}", lambda title, value: check_choice(title, value, names))


def whole(least: int = 1, most: int = MAX_SIZE) -> Values:
    """Return the whole numbers in a range."""
    text = f"a whole number from {least} to {most}"
    return Values(text, f"give {text}", lambda title, value: check_size(title, value, least, most))


def whole_or(names: tuple[str, ...], least: int, most: int) -> Values:
    """Return the whole numbers in a range, and some names."""
    numbers = whole(least, most)
    advice = f"{numbers.advice}, or {' or '.join(names)}"

    def check(title: str, value: Any) -> Any:
        if isinstance(value, str) and value in names:
            return value
        try:
            return numbers.check(title, value)
        except InputError:
            raise invalid(title, value, f"{advice}{did_you_mean(value, names)}") from None

    return Values(f"{numbers.text}, or {' or '.join(f'`{name}`' for name in names)}", advice, check)


def real(text: str, example: str, holds: Callable[[float], bool]) -> Values:
    """Return the numbers for which a condition holds; ``text`` is a noun phrase for them."""
    advice = f"give {text}, say {example}"

    def check(title: str, value: Any) -> Any:
        number = value.item() if isinstance(value, np.generic) else value
        if isinstance(number, bool) or not isinstance(number, int | float) or not holds(number):
            raise invalid(title, value, advice)
        return number

    return Values(text, advice, check)


def flag() -> Values:
    """Return the two truth values."""
    advice = "give true or false"

    def check(title: str, value: Any) -> Any:
        if not isinstance(value, bool | np.bool_):
            raise invalid(title, value, advice)
        return bool(value)

    return Values("`true` or `false`", advice, check)


def pattern(regex: str, text: str) -> Values:
    """Return the texts that match a regular expression as a whole."""
    advice = f"give {text}"

    def check(title: str, value: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(regex, value):
            raise invalid(title, value, advice)
        return value

    return Values(text, advice, check)


def list_of(values: Values) -> Values:
    """Return the lists of such values, which have at least one and name none twice."""
    advice = "give a list with at least one value"

    def check(title: str, value: Any) -> tuple[Any, ...]:
        items = value.tolist() if isinstance(value, np.ndarray) else value
        if not isinstance(items, list | tuple | range) or not items:
            raise invalid(title, value, f"{advice}{as_list(title, items)}")
        kept = tuple(values.check(title, item) for item in items)
        if len(set(kept)) < len(kept):
            raise InputError(f"{title}: {abridge(value)} names a value twice; name each once")
        return kept

    def as_list(title: str, value: Any) -> str:
        """Return the list of a value that stands alone, where it is valid in one."""
        with suppress(InputError):
            values.check(title, value)
            return f", such as [{abridge(value)}]"
        return ""

    plural = re.sub(r"^a (.*?)(number|list)", r"\1\2s", values.text)
    return Values(f"a list of {plural}", advice, check)


def invalid(title: str, value: Any, advice: str) -> InputError:
    """Return the error for a value that is not valid."""
    return InputError(f"{title}: {abridge(value)} is not valid; {advice}")
