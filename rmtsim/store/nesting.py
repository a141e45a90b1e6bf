"""The check that a store does not lie within another store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rmtsim.errors import InputError
from rmtsim.store.failures import FAILURES, StoreError
from rmtsim.store.file_access import FOLDERS
from rmtsim.store.shard_names import commit_number
from rmtsim.text.json_text import PlainDataError, parse_json


class Listing(NamedTuple):
    """Access to a file system. Paths have slashes."""

    names: Callable[[str], Sequence[str]]  #: returns the names in a folder; none for one that does not exist
    read: Callable[[str], bytes]  #: returns the content of a file


def check_apart(root: str, listing: Listing, shown: str) -> None:
    """Raise InputError if a root lies in a folder of a store; ``shown`` is the root as messages show it.

    A folder that only has such a name, and does not lie in a store, is accepted.
    """
    above, _, name = root.rpartition("/")
    higher, _, outer = above.rpartition("/")
    if name in FOLDERS and is_store(above, listing) and not is_store(root, listing):
        raise _within(shown, shown.rstrip("/").rpartition("/")[0])
    if outer in FOLDERS and is_store(higher, listing):
        raise _within(shown, shown.rstrip("/").rpartition("/")[0].rpartition("/")[0])


def _within(shown: str, store: str) -> InputError:
    return InputError(f"store: {shown} is a folder of a store; give the store, {store or '.'}")


def is_store(place: str, listing: Listing) -> bool:
    """Return whether a folder holds a shard, a spec or a table that rmtsim wrote."""
    try:
        return (
            any(name.endswith(".parquet") and commit_number(name) > 0 for name in listing.names(f"{place}/draws"))
            or any(_is_spec(place, name, listing) for name in listing.names(f"{place}/sweeps"))
            or any(_is_table(place, name, listing) for name in listing.names(f"{place}/experiments"))
        )
    except (*FAILURES, StoreError):  # a place that cannot be read is not known to be a store
        return False


def _is_table(place: str, experiment: str, listing: Listing) -> bool:
    if experiment in FOLDERS:  # of a store that is called experiments
        return False
    return any(name.endswith(".parquet") for name in listing.names(f"{place}/experiments/{experiment}"))


def _is_spec(place: str, name: str, listing: Listing) -> bool:
    if not name.endswith(".json"):
        return False
    try:
        document = parse_json(listing.read(f"{place}/sweeps/{name}"))
    except PlainDataError:
        return False
    return isinstance(document, dict) and document.get("name") == name.removesuffix(".json")
