"""The registry of figures: those of the paper, found in `rmtsim.paper`, those of installed packages, and a user's."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from rmtsim.errors import InputError, RunError
from rmtsim.figures.costs import cost_of, in_words
from rmtsim.figures.figure import Figure
from rmtsim.figures.matplotlib_setup import load_matplotlib
from rmtsim.text.words import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: Figures that `rmtsim reproduce` makes when it is given no name.
DEFAULT = ("fig8", "fig9")

#: The name that stands for all figures.
ALL = "all"

#: Packages whose modules hold figures.
_PACKAGES = ("rmtsim.paper",)

#: The group of entry points by which installed packages name modules that register figures.
ENTRY_POINTS = "rmtsim.figures"

#: Modules whose names end so draw, and hold no figures: figures are listed without matplotlib.
_DRAWING = ("_drawing",)

_log = logging.getLogger(__name__)

_registered: dict[str, Figure] = {}

_Kind = TypeVar("_Kind", bound=type[Figure])


def register(kind: _Kind) -> _Kind:
    """Add a figure to the registry; a class decorator.

    Parameters
    ----------
    kind
        A class derived from `rmtsim.figures.Figure`. One of the same name and module takes the place of the former.

    Returns
    -------
    type
        The class.

    Raises
    ------
    InputError
        If its name is taken, or its attributes are not whole.

    Examples
    --------
    The registry looks at the attributes before it takes a figure:

    >>> from rmtsim.figures import Figure, register
    >>> @register
    ... class Nameless(Figure):
    ...     name = title = source = sentence = ""
    ...     def numbers(self, rows): ...
    ...     def plot(self, numbers): ...
    Traceback (most recent call last):
    rmtsim.errors.InputError: figure Nameless: name is ''; give some text
    """
    figure = kind()
    figure.check()
    there = _registered.get(figure.name)
    if figure.name == ALL or (there is not None and type(there).__module__ != kind.__module__):
        raise InputError(f"figure: the name {figure.name!r} is taken; give another")
    _registered[figure.name] = figure
    return kind


def all_figures() -> dict[str, Figure]:
    """Return all figures by their names, in the order of their places."""
    for package in _PACKAGES:
        _import_modules(package)
    _import_entry_points()
    ordered = sorted(_registered.values(), key=lambda figure: figure.place)
    return {figure.name: figure for figure in ordered}


@cache
def _import_modules(package: str) -> None:
    """Import the modules and packages of a package, so that their figures are registered."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if not module.name.endswith(_DRAWING):
            importlib.import_module(module.name)


@cache
def _import_entry_points() -> None:
    """Import the modules that installed packages name; one that fails is named, and all its figures are left out."""
    put_aside: dict[str, Figure] = {}  # of packages that fail, and of those that they had imported
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.value):
        before = dict(_registered)
        try:
            point.load()
        except Exception as error:
            _log.debug("%s", point, exc_info=True)
            put_aside |= {name: figure for name, figure in _registered.items() if name not in before}
            _registered.clear()
            _registered.update(before)
            package = point.dist.name if point.dist else "unknown"
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            _log.warning(
                "figure: %s of the installed package %s is left out, for it cannot be imported (%s); correct it, or "
                "uninstall the package",
                point.value,
                package,
                reason,
            )
        else:
            _registered.update({name: figure for name, figure in put_aside.items() if _is_of(figure, point.module)})


def _is_of(figure: Figure, module: str) -> bool:
    """Whether a figure's class stands in a module or below it."""
    return f"{type(figure).__module__}.".startswith(f"{module}.")


def get_figure(name: str) -> Figure:
    """Return a figure by its name; raise InputError if there is none."""
    known = all_figures()
    if name not in known:
        _refuse_sweep("figure", name, known)
        raise InputError(f"figure: {name!r} is not known{did_you_mean(name, known)}; choose one of {', '.join(known)}")
    return known[name]


def select_figures(names: Sequence[str], full: bool = False) -> list[Figure]:
    """Return the figures that these names stand for, each once.

    Parameters
    ----------
    names
        Figures; groups, which stand for all of theirs; or ``"all"``, for all in the order of their cost.
    full
        Whether the cost is that with ``--full``.

    Raises
    ------
    InputError
        If a name is none of these.
    """
    known = all_figures()
    found: dict[str, Figure] = {}
    for name in names:
        if name == ALL:
            continue
        of_name = [figure for figure in known.values() if name == (figure.group or figure.name)]
        of_name = of_name or [figure for figure in known.values() if name == figure.name]
        if not of_name:
            _refuse_sweep("FIGURE", name, known)
            groups = dict.fromkeys(figure.group or figure.name for figure in known.values())
            meant = did_you_mean(name, [*groups, *known])
            raise InputError(f"FIGURE: {name!r} is not known{meant}; choose one of {ALL}, {', '.join(groups)}")
        found |= {figure.name: figure for figure in of_name}
    if ALL in names:
        return sorted(known.values(), key=lambda figure: cost_of(figure, full).seconds)
    return list(found.values())


def _refuse_sweep(where: str, name: str, known: Mapping[str, Figure]) -> None:
    """Raise InputError if a name is that of a sweep whose draws some figures show."""
    if shown := [figure.name for figure in known.values() if name in (*figure.specs, *figure.full_specs)]:
        raise InputError(f"{where}: {name} is a sweep; give the figure that shows its draws: {', '.join(shown)}")


def listing() -> pd.DataFrame:
    """Return of every figure its ``name``, ``title``, ``source``, costs in seconds and in words, and ``command``."""
    return pd.DataFrame(
        {
            "name": figure.name,
            "title": figure.title,
            "source": figure.source,
            "seconds": cost_of(figure).seconds,
            "full_seconds": cost_of(figure, full=True).seconds,
            "cost": in_words(cost_of(figure)),
            "full_cost": in_words(cost_of(figure, full=True)),
            "command": figure.command(),
        }
        for figure in all_figures().values()
    )


def draw(name: str, rows: pd.DataFrame) -> Drawing:
    """Draw a figure from draws with the store's columns, or from its experiment's tables.

    Raises
    ------
    InputError
        If there is no such figure, or the rows lack what it shows.
    RunError
        If the figure's own code fails.
    """
    figure = get_figure(name)
    with own_code(figure):
        return plot(figure, figure.numbers(figure.select(rows)))


def plot(figure: Figure, numbers: pd.DataFrame) -> Drawing:
    """Draw a figure's numbers, without matplotlib stumbling over a user's settings where it is imported first now."""
    load_matplotlib()
    return figure.plot(numbers)


@contextmanager
def own_code(figure: Figure) -> Iterator[None]:
    """Raise RunError, which names the place, where the code of a figure fails: the other figures can still be made."""
    try:
        yield
    except (InputError, RunError, MemoryError, ModuleNotFoundError):
        raise
    except Exception as error:
        _log.debug("%s", figure.name, exc_info=True)
        frames = traceback.extract_tb(error.__traceback__)
        file = inspect.getsourcefile(type(figure))
        place = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise RunError(f"{figure.name}: its own code failed at {place.filename}:{place.lineno} ({reason})") from error
