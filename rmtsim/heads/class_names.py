"""What users say of the classes: their names in a vocabulary, and their partition into groups."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rmtsim.errors import InputError
from rmtsim.files.path_names import check_path
from rmtsim.files.regular_files import open_regular
from rmtsim.text.json_text import MOST_BYTES, PlainDataError, parse_json
from rmtsim.text.words import abridge

#: Groups of the classes, their names in the order of first appearance, and the number of the group of each class.
Partition = tuple[list[str], npt.NDArray[np.int64]]


def read_vocabulary(path: str | os.PathLike[str], n_classes: int) -> list[str]:
    """Return the name of each class, empty where the file has none.

    Parameters
    ----------
    path
        A text file with a name a line, in the order of the classes; or .json: a list of names, an object of name to
        number, or a ``tokenizer.json`` of Hugging Face. Fewer names than classes are taken, as where a head has more
        rows than its tokenizer has tokens.

    Raises
    ------
    InputError
        If it cannot be read, or has names of classes that there are not.
    """
    content = _read(path, "vocabulary")
    found = content
    if isinstance(content, dict) and isinstance(content.get("model"), dict):  # tokenizer.json
        found = content["model"].get("vocab")
        if isinstance(found, list):  # of a unigram model: name and score
            found = [pair[0] if isinstance(pair, list) and pair else pair for pair in found]
        added = content.get("added_tokens")
        if isinstance(found, dict) and isinstance(added, list):
            found = found | {entry.get("content"): entry.get("id") for entry in added if isinstance(entry, dict)}
    if isinstance(found, list):
        if not all(isinstance(name, str) for name in found):
            raise _not_valid(path, "vocabulary", "a list of names, or an object of name to number")
        if len(found) > n_classes:
            raise InputError(
                f"vocabulary: {_shown(path)} has {len(found)} names and there are {n_classes} classes; give one a class"
            )
        return [*found, *[""] * (n_classes - len(found))]
    if not isinstance(found, dict):
        raise _not_valid(path, "vocabulary", "a list of names, or an object of name to number")
    names = [""] * n_classes
    for name, number in found.items():
        if not isinstance(name, str) or isinstance(number, bool) or not isinstance(number, int):
            raise _not_valid(path, "vocabulary", "a list of names, or an object of name to number")
        if not 0 <= number < n_classes:
            raise InputError(
                f"vocabulary: {_shown(path)} gives {abridge(name)} the number {number}, and classes are 0 to "
                f"{n_classes - 1}; give the vocabulary of this head"
            )
        names[number] = name
    return names


def partition_of(groups: Any, n_classes: int) -> Partition:
    """Return a partition of the classes.

    Parameters
    ----------
    groups
        The group of each class, any names or numbers (C,); or the name of a file: a text file with a group a line, in
        the order of the classes, or .json with a list of them or an object of group to numbers of classes.

    Raises
    ------
    InputError
        If it cannot be read, or some class is in no group or in two.
    """
    if isinstance(groups, str | os.PathLike):
        where = f"groups: {_shown(groups)}"
        found = _read(groups, "groups")
        if isinstance(found, dict):
            found = _from_members(found, n_classes, groups)
        if not isinstance(found, list) or any(isinstance(name, dict | list) or name is None for name in found):
            raise _not_valid(groups, "groups", "a list with the group of each class, or an object of group to classes")
    else:
        where = "groups"
        try:
            array = np.asarray(groups)
        except ValueError:
            array = np.empty((0, 0))
        if array.ndim != 1:
            raise InputError(f"groups: shape {array.shape} is not valid; give the group of each class, ({n_classes},)")
        found = array.tolist()
    if len(found) != n_classes:
        raise InputError(
            f"{where} has {len(found)} entries and there are {n_classes} classes; give the group of each class"
        )
    numbers: dict[str, int] = {}
    labels = [numbers.setdefault(str(name), len(numbers)) for name in found]
    return list(numbers), np.array(labels, np.int64)


def _from_members(members: dict[Any, Any], n_classes: int, path: Any) -> list[Any]:
    found: list[Any] = [None] * n_classes
    for name, classes in members.items():
        for number in classes if isinstance(classes, list) else [None]:
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < n_classes:
                raise InputError(
                    f"groups: {_shown(path)} puts {abridge(number)} into {abridge(name)}; give lists of classes, whole "
                    f"numbers from 0 to {n_classes - 1}"
                )
            if found[number] is not None:
                raise InputError(
                    f"groups: {_shown(path)} puts class {number} into {abridge(found[number])} and {abridge(name)}; "
                    "give each class one group"
                )
            found[number] = name
    if None in found:
        raise InputError(
            f"groups: {_shown(path)} puts class {found.index(None)} into no group; give each class one group"
        )
    return found


def group_members(labels: npt.NDArray[np.int64], n_groups: int) -> list[npt.NDArray[np.int64]]:
    """Return the numbers of the classes of each group."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.cumsum(np.bincount(labels, minlength=n_groups))[:-1])


def _read(path: str | os.PathLike[str], what: str) -> Any:
    """Return what a .json file says, or the lines of a text file."""
    check_path(path, what, "give another file")
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{what}: {_shown(path)} cannot be read ({error.strerror or error}); give another file"
        ) from error
    if len(content) > MOST_BYTES:
        raise InputError(f"{what}: {_shown(path)} is longer than {MOST_BYTES >> 20} MiB; give another file")
    if Path(path).suffix == ".json":
        try:
            return parse_json(content)
        except PlainDataError as error:
            raise InputError(f"{what}: {_shown(path)} cannot be used ({error}); give another file") from None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{what}: {_shown(path)} is not UTF-8 text; give a name a line, or .json") from None
    lines = text.removesuffix("\n").split("\n") if text else []  # names may hold other ends of lines
    return [line.removesuffix("\r") for line in lines]


def _not_valid(path: Any, what: str, wanted: str) -> InputError:
    return InputError(f"{what}: {_shown(path)} does not hold what it should; give {wanted}, or a text file, one a line")


def _shown(path: str | os.PathLike[str]) -> str:
    return os.fspath(path)


def name_of(names: Sequence[str] | None, number: int) -> str:
    """Return the name of a class, or its number where it has none."""
    return (names[number] if names else "") or str(number)
