"""TOML documents of specs: files of a user, and those that come with rmtsim."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from rmtsim.errors import InputError
from rmtsim.files.path_names import check_path, names_in
from rmtsim.files.regular_files import open_regular
from rmtsim.text.json_text import PlainDataError, check_plain
from rmtsim.text.words import abridge, did_you_mean

#: Bytes of a spec, at most.
_MOST_BYTES = 1 << 20

#: A key of more parts than any spec has, on which Python's reader of TOML would spend hours.
_LONG_KEY = re.compile(r"""(?<![\w.-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")

#: What is likely meant by errors of Python's reader of TOML, by how they begin.
_LIKELY = {
    "Illegal character '\\n'": "a quote is likely not closed in this line",
    "Unterminated string": "a quote is likely not closed",
    'Expected "\'"': "a quote is likely not closed",
    "Invalid value": "a text stands in quotes, and true and false in small letters",
}


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
    elif not source or (not is_path(source) and not os.path.exists(source)):
        known = [*names, *others]
        meant = did_you_mean(source, known) or did_you_mean(source, _specs_in(""))
        raise InputError(f"spec: there is no {abridge(source)}{meant}; give a .toml file, or one of {', '.join(known)}")
    else:
        text = _text_of(source, names)
    if _LONG_KEY.search(text):
        raise InputError(f"{source}: it has a key of more than 32 parts; `rmtsim run --help` lists the keys")
    try:
        document = tomllib.loads(text)
        check_plain(document, any_number=True)  # each is checked where it is used, with what would be valid
    except RecursionError:
        raise InputError(
            f"{source}: not valid TOML (its values lie too deep inside one another); `rmtsim run --help` lists the keys"
        ) from None
    except PlainDataError as error:
        raise InputError(f"{source}: {error}; `rmtsim run --help` lists the keys") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"{source}: not valid TOML ({error}{_likely_meant(error)}); `rmtsim run --help` lists the keys"
        ) from None
    except ValueError:  # Python makes no whole number of more than some thousand digits
        raise InputError(
            f"{source}: it has a number of thousands of digits; `rmtsim run --help` lists the keys"
        ) from None
    return document


def _likely_meant(error: tomllib.TOMLDecodeError) -> str:
    """Return what a user has likely done, for an error that names a character and not the mistake."""
    for words, meant in _LIKELY.items():
        if str(error).startswith(words):
            return f": {meant}"
    return ""


def _specs_in(folder: str) -> list[str]:
    return [name for name in names_in(folder) if name.endswith(".toml")]


def _text_of(source: str, names: Sequence[str]) -> str:
    check_path(source, "spec", "give a TOML file under another name")
    if not os.path.lexists(source):
        folder, name = os.path.split(source)
        meant = did_you_mean(name, _specs_in(folder)) or did_you_mean(name.removesuffix(".toml"), names)
        raise InputError(f"spec: there is no file {source}{meant}; give a TOML file")
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
