"""Declarations of specs: each key once, with the values that it takes and what it means.

A spec is an attrs class whose fields are made by `key` and `table`. Everything else follows from these fields: the
checks of an object that is built in Python, the parsing of a document (`rmtsim.sweeps.parsing`), the sentence for each
mistake, the document that a store keeps (`document_of`), and the tables of the reference (`keys_of`).
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs

from rmtsim.sweeps.values import Values, choice, flag, invalid


@attrs.frozen
class _Declared:
    values: Values
    meaning: str
    table: str
    default_text: str
    narrowed: Callable[[Any], Values] | None
    omit_default: bool


#: Where a field keeps its declaration, and the class of a table.
KEY, TABLE = "key", "table"


def key(
    values: Values,
    meaning: str,
    *,
    table: str = "",
    default: Any = attrs.NOTHING,
    default_text: str = "",
    narrowed: Callable[[Any], Values] | None = None,
    omit_default: bool = False,
) -> Any:
    """Declare a key of a spec as a field of its class.

    Parameters
    ----------
    values
        The values that it takes.
    meaning
        What it means, for the reference.
    table
        The table of the document that it stands in; by default it stands above all tables.
    default
        Its value where it is not given; without a default it must be. None stands for a default that depends on other
        keys: the class replaces it, and ``default_text`` says by what.
    narrowed
        Takes a spec whose earlier keys are set; returns the values that go with them.
    omit_default
        Whether the stored document leaves it out at its default, as one that was written before the key was there does.
    """
    declared = _Declared(values, meaning, table, default_text, narrowed, omit_default)
    converter = attrs.Converter(_checked, takes_self=True, takes_field=True)
    return attrs.field(default=default, converter=converter, metadata={KEY: declared})


def table(kind: type, default: Any, *, omit_default: bool = False) -> Any:
    """Declare a table whose keys are the fields of a class: an attrs class made of keys, or a dataclass.

    A dataclass checks its own values, and its method ``document`` returns them as plain data; the descriptions of its
    keys are those of its docstring's parameters, and a field's metadata may have ``values``, in words. With
    ``omit_default`` the stored document has no such table where it equals the default.
    """
    metadata = {TABLE: kind, "omit_default": omit_default}
    return attrs.field(default=default, converter=attrs.Converter(_instance, takes_field=True), metadata=metadata)


def _checked(value: Any, spec: Any, field: attrs.Attribute[Any]) -> Any:
    if value is None and field.default is None:
        return None
    declared = field.metadata[KEY]
    values = declared.narrowed(spec) if declared.narrowed else declared.values
    return values.check(title_of(field), value)


def _instance(value: Any, field: attrs.Attribute[Any]) -> Any:
    kind = field.metadata[TABLE]
    if not isinstance(value, kind):
        raise invalid(field.name, value, f"give {'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}")
    return value


def title_of(field: attrs.Attribute[Any]) -> str:
    """Return a key's name as messages give it, with its table."""
    return _titled(field.metadata[KEY].table, field.name)


def _titled(table: str, name: str) -> str:
    return f"[{table}] {name}" if table else name


@attrs.frozen
class Key:
    """A key of a document: what the reference and messages say of it.

    Attributes
    ----------
    table, name
        Its table, empty for those above all tables, and its name there.
    values, default, meaning
        The values that it takes, its default and its meaning, in words.
    advice
        How a message says what would be valid.
    required
        Whether a document must have it.
    """

    table: str
    name: str
    values: str
    default: str
    meaning: str
    advice: str = ""
    required: bool = False

    @property
    def title(self) -> str:
        """Its name as messages give it, with its table."""
        return _titled(self.table, self.name)


def keys_of(cls: type[attrs.AttrsInstance]) -> list[Key]:
    """Return the keys that a document of a spec may have, in order."""
    found: list[Key] = []
    for field in attrs.fields(cls):
        if TABLE in field.metadata:
            kind = field.metadata[TABLE]
            found += keys_of(kind) if attrs.has(kind) else _keys_of_dataclass(kind, field.name)
        elif KEY in field.metadata:
            declared, required = field.metadata[KEY], field.default is attrs.NOTHING
            values, default = declared.values, "" if required else declared.default_text or _as_toml(field.default)
            found.append(
                Key(declared.table, field.name, values.text, default, declared.meaning, values.advice, required)
            )
    return found


def document_of(spec: Any, *, defaults: bool = True, given: Collection[str] = ()) -> dict[str, Any]:
    """Return a spec as plain data, which `parse` reads back.

    Parameters
    ----------
    spec
        The spec.
    defaults
        Whether keys with their default stand in it, too.
    given
        Titles of keys that stand in it whatever their value.
    """
    document: dict[str, Any] = {}
    for field in attrs.fields(type(spec)):
        value = getattr(spec, field.name)
        if TABLE in field.metadata:
            if not (field.metadata["omit_default"] and value == field.default):
                document |= document_of(value) if attrs.has(type(value)) else {field.name: value.document()}
        elif (
            KEY in field.metadata
            and value is not None
            and (
                value != field.default
                or title_of(field) in given
                or (defaults and not field.metadata[KEY].omit_default)
            )
        ):
            place = field.metadata[KEY].table
            (document.setdefault(place, {}) if place else document)[field.name] = _plain(value)
    return document


def titles_of(document: Mapping[str, Any]) -> frozenset[str]:
    """Return the titles of the keys that a document names."""
    tables = {name: value for name, value in document.items() if isinstance(value, Mapping)}
    inside = {_titled(name, key) for name, value in tables.items() for key in value}
    return frozenset({*document} - {*tables} | inside)


def _plain(value: Any) -> Any:
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def _as_toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_toml, value))}]"
    return json.dumps(value)


def _keys_of_dataclass(kind: type, table: str) -> list[Key]:
    meanings, types = _parameters(inspect.getdoc(kind) or ""), get_type_hints(kind)
    return [
        Key(
            table,
            field.name,
            field.metadata.get("values") or _values_text(types[field.name]),
            _as_toml(field.default),
            meanings[field.name],
        )
        for field in dataclasses.fields(kind)
    ]


def _values_text(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return choice(get_args(annotation)).text
    return {str: "a text", float: "a number", int: "a whole number", bool: flag().text}[annotation]


def _parameters(docstring: str) -> dict[str, str]:
    """Return the descriptions of a numpy-style docstring's parameters, each as one line."""
    _, _, section = docstring.partition("Parameters\n----------\n")
    section = re.split(r"\n\w+\n---", section)[0]
    found: dict[str, str] = {}
    for names, text in re.findall(r"^(\S.*)\n((?:[ ]+.*\n?|\n)+)", section, re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), " ".join(text.split()).replace("``", "`"))
    return found
