"""The catalogue of figures: where each stands in the paper, the sentence that it tests, and what it costs."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.registry import FIGURES, NamedFigure
from rmtsim.sweeps.experiment import Experiment
from rmtsim.text.sizes import format_seconds

#: What `rmtsim reproduce` draws when it is given no name.
DEFAULT = ("fig8", "fig9")

#: The name that stands for all figures.
ALL = "all"

#: The words of the catalogue, in its order.
WORDS: dict[str, dict[str, Any]] = tomllib.loads(
    (resources.files("rmtsim.figures") / "catalogue.toml").read_text("utf-8")
)


@dataclass(frozen=True)
class Entry:
    """A figure of the catalogue.

    Parameters
    ----------
    name
        Its name in `rmtsim.figures.registry`.
    title
        What is seen.
    source
        Where it stands in the paper or in the slides.
    sentence
        What it tests, word for word: Markdown, with restored formulas between dollars.
    seconds
        Time to compute and draw it on 2 cores.
    group
        What `rmtsim reproduce` also calls it; its own name by default.
    specs, full_specs
        Built-in sweeps that it shows; the latter at the paper's size, where they differ.
    full_seconds, full_memory
        Cost at the paper's size, where it differs; ``inf`` where it was never measured.
    data
        What the user must bring, in words.
    """

    name: str
    title: str
    source: str
    sentence: str
    seconds: float
    group: str = ""
    specs: Sequence[str] = ()
    full_specs: Sequence[str] = ()
    full_seconds: float | None = None
    full_memory: str = ""
    data: str = ""

    @property
    def figure(self) -> NamedFigure:
        """How it is made."""
        return FIGURES[self.name]

    def sweeps(self, full: bool = False) -> Sequence[str]:
        """Names of the specs whose draws it shows."""
        return self.full_specs or self.specs if full else self.specs

    def experiment(self, full: bool = False, data: str | None = None) -> Experiment | None:
        """Return the experiment whose table it shows; None if it shows draws.

        Raises
        ------
        InputError
            If it needs data, and there is none.
        """
        make = self.figure.experiment
        if make is None:
            return None
        if not self.data:
            return make(full)
        if data is None:
            raise InputError(f"{self.name}: needs {self.data}; give --data FOLDER")
        return make(full, data)

    def cost(self, full: bool = False) -> float:
        """Seconds on 2 cores."""
        return self.seconds if self.full_seconds is None or not full else self.full_seconds

    def cost_in_words(self, full: bool = False) -> str:
        """Time on 2 cores, with the memory where it is notable."""
        memory = f", {self.full_memory}" if full and self.full_memory else ""
        return duration(self.cost(full)) + memory

    def command(self, full: bool = False) -> str:
        """Return what makes it, in a shell."""
        return f"rmtsim reproduce {self.name}" + (" --full" if full else "") + (" --data FOLDER" if self.data else "")


def entries() -> list[Entry]:
    """Return the catalogue, in the paper's order."""
    return [Entry(name, **words) for name, words in WORDS.items() if name in FIGURES]


def chosen(names: Sequence[str], full: bool = False) -> list[Entry]:
    """Return the figures that these names stand for, each once.

    Parameters
    ----------
    names
        Figures; groups, which stand for all of theirs; or ``"all"``, for all in the order of their cost.
    full
        Whether the cost is that at the paper's size.

    Raises
    ------
    InputError
        If a name is none of these.
    """
    catalogue = entries()
    found: dict[str, Entry] = {}
    for name in names:
        if name == ALL:
            continue
        of_name = [entry for entry in catalogue if name == (entry.group or entry.name)]
        of_name = of_name or [entry for entry in catalogue if name == entry.name]
        if not of_name:
            groups = dict.fromkeys(entry.group or entry.name for entry in catalogue)
            raise InputError(f"FIGURE: {name!r} is not known; choose from {ALL}, {', '.join(groups)}")
        found |= {entry.name: entry for entry in of_name}
    return sorted(catalogue, key=lambda entry: entry.cost(full)) if ALL in names else list(found.values())


def listing() -> pd.DataFrame:
    """Tell of every figure its ``name``, ``title``, ``source``, costs in seconds and in words, and ``command``."""
    return pd.DataFrame(
        {
            "name": entry.name,
            "title": entry.title,
            "source": entry.source,
            "seconds": entry.cost(),
            "full_seconds": entry.cost(full=True),
            "cost": entry.cost_in_words(),
            "full_cost": entry.cost_in_words(full=True),
            "command": entry.command(),
        }
        for entry in entries()
    )


def duration(seconds: float) -> str:
    """Return a time in words: 45 s, 3 min 25 s, 2 h 5 min; infinity is a time that nobody measured."""
    return "not measured" if math.isinf(seconds) else format_seconds(seconds)
