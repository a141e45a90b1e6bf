"""Objects that users choose by name: those that come with rmtsim, and those that users register."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from threading import RLock
from typing import Any, Generic, Protocol, TypeVar

from rmtsim.errors import InputError
from rmtsim.text.checks import check_choice


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """What users choose it by."""
        ...


Item = TypeVar("Item", bound=Named)


class Registry(Generic[Item]):
    """Objects of one kind, by their names.

    Parameters
    ----------
    kind
        What they are called in messages, such as ``"loss"``.
    package
        A package whose modules register the objects that come with rmtsim. They are imported when an object is first
        asked for, so that a new module in that folder is all that a new object needs.
    """

    def __init__(self, kind: str, package: str) -> None:
        self._kind, self._package = kind, package
        self._items: dict[str, Item] = {}
        self._is_complete = False
        self._lock = RLock()

    def register(self, item: Item) -> Item:
        """Add an object under its name, and return it.

        Raises
        ------
        InputError
            If its name is not a valid one, or another object has it.
        """
        name = item.name
        if not isinstance(name, str) or not name.isidentifier():
            raise InputError(f"{self._kind}: the name {name!r} is not valid; give letters, digits and underscores")
        if name in self._items and repr(self._items[name]) != repr(item):  # the same again: a module was reloaded
            raise InputError(f"{self._kind}: the name {name!r} is taken by {self._items[name]!r}; give another")
        self._items[name] = item
        return item

    def get(self, name: Any) -> Item:
        """Return the object of that name; raise InputError, which lists the names, if there is none."""
        if not isinstance(name, str) or name not in self._items:
            check_choice(self._kind, name, self.names())
        return self._items[name]

    def names(self) -> tuple[str, ...]:
        """All names, those that come with rmtsim first."""
        self._complete()
        return tuple(self._items)

    def __iter__(self) -> Iterator[Item]:
        self._complete()
        return iter(tuple(self._items.values()))

    def _complete(self) -> None:
        with self._lock:  # threads wait for the first until all objects are there
            if not self._is_complete:
                package = import_module(self._package)
                modules = [f"{self._package}.{module.name}" for module in iter_modules(package.__path__)]
                for module in modules:
                    import_module(module)
                order = {module: place for place, module in enumerate(modules)}  # whatever was imported before
                ranked = sorted(self._items.items(), key=lambda pair: order.get(pair[1].__module__, len(order)))
                self._items = dict(ranked)
                self._is_complete = True
