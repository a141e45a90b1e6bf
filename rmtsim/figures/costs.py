"""What figures cost: times that were measured when a gallery was made, in the file `costs.json` beside this module.

`rmtsim reproduce all` writes such a file beside its gallery, with the times of the figures that it computed from
nothing. No time is typed; a figure that was never measured has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from rmtsim.figures.figure import Figure
from rmtsim.text.sizes import format_seconds

#: Name of the file.
FILE = "costs.json"

_SIZES = {False: "reduced", True: "full"}


@dataclass(frozen=True)
class Cost:
    """The time that a figure took to compute and draw.

    Parameters
    ----------
    seconds
        Wall-clock time; infinite where it was never measured.
    cores
        Cores that it had; 0 where it was never measured.
    processor
        What the cores are.
    date
        Day of the measurement, YYYY-MM-DD.
    note
        What else a reader should know.
    """

    seconds: float = math.inf
    cores: int = 0
    processor: str = ""
    date: str = ""
    note: str = ""

    @property
    def measured(self) -> bool:
        """Whether it was measured."""
        return math.isfinite(self.seconds)


#: Costs by the name of the figure and whether it was with ``--full``.
Costs = Mapping[tuple[str, bool], Cost]


@cache
def stored_costs() -> Costs:
    """Return the costs that come with the package."""
    return read_costs((resources.files("rmtsim.figures") / FILE).read_text("utf-8"))


def cost_of(figure: Figure, full: bool = False, costs: Costs | None = None) -> Cost:
    """Return the cost of a figure; that with ``--full`` is the same where nothing else is computed."""
    known = stored_costs() if costs is None else costs
    return known.get((figure.name, full and figure.has_full_size), Cost())


def in_words(cost: Cost) -> str:
    """Return a time in words: 45 s, 3 min 25 s, 2 h 5 min, or that it was not measured."""
    return format_seconds(cost.seconds) if cost.measured else "not measured"


def cores_in_words(costs: Iterable[Cost]) -> str:
    """Return "2 cores" where all costs were measured on 2 cores, and nothing where their cores differ.

    Examples
    --------
    >>> cores_in_words([Cost(3, 2), Cost(), Cost(5, 2)]), cores_in_words([Cost(3, 2), Cost(3, 8)])
    ('2 cores', '')
    """
    cores = {cost.cores for cost in costs if cost.measured}
    return f"{cores.pop()} cores" if len(cores) == 1 else ""


def read_costs(text: str) -> Costs:
    """Return the costs of a file's text."""
    document = json.loads(text)
    return {
        (name, full): Cost(**sizes[size])
        for name, sizes in document.items()
        for full, size in _SIZES.items()
        if size in sizes
    }


def write_costs(costs: Costs) -> str:
    """Return the text of a file of costs.

    Examples
    --------
    >>> costs = {("fig8", False): Cost(27, 2, "AMD EPYC", "2026-11-21")}
    >>> read_costs(write_costs(costs)) == costs
    True
    """
    document: dict[str, dict[str, Any]] = {}
    for (name, full), cost in sorted(costs.items()):
        fields = {"seconds": float(f"{cost.seconds:.3g}"), "cores": cost.cores, "processor": cost.processor}
        fields |= {"date": cost.date} | ({"note": cost.note} if cost.note else {})
        document.setdefault(name, {})[_SIZES[full]] = fields
    return json.dumps(document, indent=1) + "\n"
