"""Specs made of documents: plain data are held against the declared keys, and all mistakes in them are told at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import attrs

from rmtsim.errors import InputError
from rmtsim.sweeps.declaration import KEY, TABLE, Key, keys_of, title_of
from rmtsim.sweeps.values import invalid
from rmtsim.text.words import abridge, did_you_mean

T = TypeVar("T", bound=attrs.AttrsInstance)

#: Most mistakes that are told at once, and most names in one sentence.
_MOST_SHOWN = 10


def parse(cls: type[T], document: Any, **more: Any) -> T:
    """Make a spec of a document: plain data as from TOML or JSON. ``more`` are further arguments of the class.

    Raises
    ------
    InputError
        If keys or values are not valid; a sentence for each names it and what would be. What goes together is looked
        at where each by itself is valid.
    """
    if not isinstance(document, Mapping):
        raise InputError(f"spec: {abridge(document)} is not valid; give a table of keys")
    mistakes: list[str] = []
    arguments = _arguments(cls, _tables(cls, document, mistakes), mistakes)
    if mistakes:
        raise InputError(in_one_line(mistakes))
    return cls(**arguments, **more)


def in_one_line(mistakes: Sequence[str]) -> str:
    """Return sentences as one line: one as it is, several with their numbers."""
    if len(mistakes) == 1:
        return mistakes[0]
    shown = [f"({k}) {sentence}" for k, sentence in enumerate(mistakes[:_MOST_SHOWN], 1)]
    more = [f"and {len(mistakes) - _MOST_SHOWN} more"] if len(mistakes) > _MOST_SHOWN else []
    return f"{len(mistakes)} mistakes: {'; '.join([*shown, *more])}"


def _arguments(
    cls: type[attrs.AttrsInstance], tables: Mapping[str, Mapping[str, Any]], mistakes: list[str]
) -> dict[str, Any]:
    """Return the arguments of a class; what is wrong with them is added to ``mistakes``, a sentence each."""
    arguments: dict[str, Any] = {}
    for field in attrs.fields(cls):
        if TABLE in field.metadata:
            arguments[field.name] = _parse_table(field.metadata[TABLE], field.name, tables, mistakes)
        elif KEY in field.metadata and field.name in tables[field.metadata[KEY].table]:
            value = arguments[field.name] = tables[field.metadata[KEY].table][field.name]
            mistakes += _mistake(field, value, arguments)
    return arguments


def _mistake(field: attrs.Attribute[Any], value: Any, arguments: Mapping[str, Any]) -> list[str]:
    """Return the sentence on the value of a key, if it is not valid; ``arguments`` has the keys before it."""
    declared = field.metadata[KEY]
    if value is None:  # in Python it stands for a key that is not given; JSON has it as a value
        return [str(invalid(title_of(field), value, declared.values.advice))]
    values = declared.values
    if declared.narrowed:
        try:
            values = declared.narrowed(SimpleNamespace(**arguments))
        except (AttributeError, InputError):  # a key that it goes by is itself missing or not valid, which is told
            return []
    try:
        values.check(title_of(field), value)
    except InputError as error:
        return [str(error)]
    return []


def _tables(
    cls: type[attrs.AttrsInstance], document: Mapping[str, Any], mistakes: list[str]
) -> dict[str, Mapping[str, Any]]:
    """Return the tables of a document, that of the keys above all tables under the name ""."""
    keys, found = keys_of(cls), dict[str, Mapping[str, Any]]()
    places = list(dict.fromkeys(["", *(key.table for key in keys)]))
    meant = _check_tables(document, keys, mistakes)
    for place in places:
        inside = [key for key in keys if key.table == place]
        required = any(key.required for key in inside)
        table = _table_of(document, place, required, place in meant, mistakes) if place else document
        found[place] = {} if table is None else table
        if table is None:
            continue
        known = [key.name for key in inside] if place else list(dict.fromkeys(key.table or key.name for key in keys))
        given = [name for name in table if place or not isinstance(table[name], Mapping) or name in known]
        intended = _check_keys(given, known, f"[{place}] " if place else "", mistakes)
        for key in inside:
            if key.required and key.name not in table and key.name not in intended:
                mistakes.append(f"{key.title}: the key is missing; {key.advice}")
    return found


def _check_keys(given: Sequence[Any], known: Sequence[str], where: str, mistakes: list[str]) -> set[str]:
    """Add a sentence on the keys that are not known, if any; return those that they are likely meant as.

    ``where`` stands before their names.
    """
    strange = [name for name in given if name not in known]
    if not strange:
        return set()
    hints = [did_you_mean(name, known) for name in strange[:_MOST_SHOWN]]
    meant = {name for name in known if any(f" {name}?" in hint for hint in hints)}
    if "aspect_ratio" in known:
        hints = [
            " (N is dim / aspect_ratio)" if name == "n_samples" else hint
            for name, hint in zip(strange, hints, strict=False)
        ]
    shown = ", ".join(f"{_shown(name)}{hint}" for name, hint in zip(strange, hints, strict=False))
    more = f" and {len(strange) - _MOST_SHOWN} more" if len(strange) > _MOST_SHOWN else ""
    none = "there is no such key" if len(strange) == 1 else "there are no such keys"
    if len(strange) == 1:
        shown, none = _shown(strange[0]), f"{none}{hints[0]}"
    mistakes.append(f"{where}{shown}{more}: {none}; the keys are {', '.join(known)}")
    return meant


def _check_tables(document: Mapping[str, Any], keys: Collection[Key], mistakes: list[str]) -> set[str]:
    """Add a sentence on each table that is neither known nor a key; return the tables that they are likely meant as."""
    tables = list(dict.fromkeys(key.table for key in keys if key.table))
    known, meant = ", ".join(f"[{table}]" for table in tables), set()
    for name, value in document.items():
        if isinstance(value, Mapping) and name not in {*tables, *(key.name for key in keys if not key.table)}:
            hint = did_you_mean(name, tables) if len(mistakes) < _MOST_SHOWN else ""
            mistakes.append(f"[{_shown(name)}]: there is no such table{hint}; the tables are {known}")
            meant |= {table for table in tables if f" {table}?" in hint}
    return meant


def _shown(name: Any) -> str:
    return name if isinstance(name, str) and name.isidentifier() and len(name) < 100 else abridge(name)


def _table_of(
    document: Mapping[str, Any], name: str, required: bool, meant: bool, mistakes: list[str]
) -> Mapping[str, Any] | None:
    """Return a table, or None where it has to be there and is not: a sentence says so, unless another is ``meant``."""
    table = document.get(name, None if required else {})
    if isinstance(table, Mapping):
        return table
    if name in document or not meant:
        found = f"{abridge(table)} is not a table of keys" if name in document else "the table is missing"
        mistakes.append(f"[{name}]: {found}; give a dict, or in a TOML file a line [{name}] and its keys below it")
    return None


def _parse_table(kind: type, name: str, tables: Mapping[str, Mapping[str, Any]], mistakes: list[str]) -> Any:
    """Return the object of a table; None where something in it is not valid, which a sentence says."""
    before = len(mistakes)
    given = _arguments(kind, tables, mistakes) if attrs.has(kind) else _fields(kind, name, tables[name], mistakes)
    if len(mistakes) > before:
        return None
    try:
        return kind(**given)
    except InputError as error:
        mistakes.append(str(error))
        return None


def _fields(kind: type, name: str, table: Mapping[str, Any], mistakes: list[str]) -> dict[str, Any]:
    """Return the same for a dataclass, which looks at its fields itself; none of them depends on another."""
    fields = {field.name for field in dataclasses.fields(kind)}
    given = {key: value for key, value in table.items() if key in fields}
    for key, value in given.items():
        try:
            kind(**{key: value})
        except InputError as error:
            mistakes.append(f"[{name}] {error}")
    return given
