"""Plain data as text in TOML, as a user would write a spec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rmtsim.errors import InputError


def toml_text(document: Mapping[str, Any]) -> str:
    r"""Return a document of a spec as TOML, which ``tomllib.loads`` reads back: keys first, then tables.

    Raises
    ------
    InputError
        If it holds what TOML does not, or tables within tables.

    Examples
    --------
    >>> print(toml_text({"name": "mine", "grid": {"dim": [5, 10], "aspect_ratio": [0.5]}}), end="")
    name = "mine"
    <BLANKLINE>
    [grid]
    dim = [5, 10]
    aspect_ratio = [0.5]
    """
    keys = {name: value for name, value in document.items() if not isinstance(value, Mapping)}
    parts = [_lines(keys)] if keys else []
    parts += [
        "\n".join([f"[{_key(name)}]", *([_lines(table)] if table else [])])
        for name, table in document.items()
        if isinstance(table, Mapping)
    ]
    return "\n\n".join(parts) + "\n"


def _lines(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{_key(name)} = {_value(value)}" for name, value in table.items())


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("-", "_").isidentifier() else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    raise InputError(f"spec: {type(value).__name__} is not a value of TOML; give texts, numbers, lists and tables")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", r"\u007f")
