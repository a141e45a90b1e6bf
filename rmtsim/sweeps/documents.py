"""TOML documents: where they are read from, and how their tables and lists are checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from rmtsim.errors import InputError
from rmtsim.files.path_names import check_path
from rmtsim.files.regular_files import open_regular
from rmtsim.text.json_text import PlainDataError, check_plain
from rmtsim.text.words import abridged

#: Bytes of a spec, at most.
_MOST_BYTES = 1 << 20

#: A key of so many parts as no spec has, on which Python's reader of TOML would spend hours.
_LONG_KEY = re.compile(r"""(?<![\w.-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")


@cache
def builtin() -> dict[str, str]:
    """Return the text of each document that comes with rmtsim, by its name."""
    package = resources.files("rmtsim")
    folder = package / "builtin"  # the checkout's folder sweeps/, as a wheel has it
    if not folder.is_dir():
        folder = Path(str(package)).parent / "sweeps"
    if not folder.is_dir():  # a copy of the package alone, as one may send to a cluster with a spec of one's own
        return {}
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name.removesuffix(".toml"): file.read_text("utf-8") for file in files}


def describes_training(text: str) -> bool:
    """Whether the text of a document that comes with rmtsim is of training runs, and not of a sweep."""
    return "[training]" in text.splitlines()


def is_path(source: str) -> bool:
    """Whether a source can only be meant as the path of a file: names have no folder and no ending."""
    return source.endswith(".toml") or "/" in source


def read_document(source: str, names: Sequence[str], others: Sequence[str] = ()) -> dict[str, Any]:
    """Read a TOML file, or one of the documents that come with rmtsim by its name, one of ``names``.

    A name comes first: what lies here under the same name does not hide it, and is read as ``./NAME``. ``others`` are
    further names that would have been valid.

    Raises
    ------
    InputError
        If there is none, or it is not TOML.
    """
    if source in names:
        text = builtin()[source]
    elif not is_path(source) and not Path(source).exists():
        known = ", ".join([*names, *others])
        raise InputError(f"spec: there is no {source!r}; give a .toml file, or one of {known}")
    else:
        text = _text_of(source)
    if _LONG_KEY.search(text):
        raise InputError(f"{source}: it has a key of more than 32 parts; see the README's example")
    try:
        document = tomllib.loads(text)
        check_plain(document, any_number=True)  # each is checked where it is used, with what would be valid
    except RecursionError:
        raise InputError(
            f"{source}: not valid TOML (its values lie too deep inside one another); see the README's example"
        ) from None
    except PlainDataError as error:
        raise InputError(f"{source}: {error}; see the README's example") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source}: not valid TOML ({error}); see the README's example") from None
    except ValueError:  # Python makes no whole number of more than some thousand digits
        raise InputError(f"{source}: it has a number of thousands of digits; see the README's example") from None
    return document


def _text_of(source: str) -> str:
    check_path(source, "spec", "give a TOML file under another name")
    try:
        with open_regular(source) as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"spec: {source} cannot be read ({reason}); give a TOML file") from None
    if len(content) > _MOST_BYTES:
        raise InputError(f"spec: {source} is larger than {_MOST_BYTES >> 20} MiB; give a TOML file of a sweep")
    return text


def check_name(document: Mapping[str, Any]) -> str:
    """Return the document's name; raise InputError unless it can be the name of a file."""
    name = document.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise InputError(f"name: {abridged(name)} is not valid; give up to 64 letters, digits, '_', '.', '-'")
    return name


def check_keys(table: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    """Raise InputError at the first key that is none of ``keys``; ``where`` stands before its name."""
    for key in table:
        if key not in keys:
            named = key if key.isidentifier() and len(key) < 100 else abridged(key)
            raise InputError(f"{where}{named}: there is no such key; the keys are {', '.join(keys)}")


def table_of(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table of the document; only ``grid`` must be there. Raises InputError if it is no table."""
    table = document.get(key, None if key == "grid" else {})
    if not isinstance(table, Mapping):
        raise InputError(f"[{key}]: the table is missing or no table; write a line [{key}] and its keys below it")
    return table


def list_of(
    table: Mapping[str, Any],
    key: str,
    check: Callable[[str, Any], object],
    where: str = "",
    default: list[Any] | None = None,
) -> tuple[Any, ...]:
    """Return a list of the table, each value checked, none twice. Raises InputError."""
    if key not in table and default is None:
        raise InputError(f"{where}{key}: the key is missing; give a list with at least one value")
    values = table.get(key, default)
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}{key}: {abridged(values)} is not valid; give a list with at least one value")
    for value in values:
        check(f"{where}{key}", value)
    if len({tuple(value) if isinstance(value, list) else value for value in values}) < len(values):
        raise InputError(f"{where}{key}: {abridged(values)} names a value twice; name each once")
    return tuple(values)
