"""A figure of the registry: where it stands in the paper, what it computes, its numbers, and how they are shown."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.stats.slow_values import ASKING, SlowValues, slow_values
from rmtsim.sweeps.experiment import Experiment
from rmtsim.text.tables import frame_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

__all__ = ["Figure"]


class Figure(ABC):
    """A figure, as one class in one module.

    The numbers are computed once, by `numbers`; the picture, the text and the headline are views of them. Figures are
    listed without matplotlib, so modules that draw are imported inside `plot`. A module of `rmtsim.paper` that draws
    has a name that ends in ``_drawing``, or stands in the package of its figure.

    Attributes
    ----------
    name
        Its name on the command line and in file names: letters, digits and underscores.
    title
        What is seen.
    source
        Where it stands in the paper or in the slides.
    sentence
        The sentence that it tests, word for word: Markdown, with formulas between dollars.
    group
        Another name for it and for other figures, which `rmtsim reproduce` takes; its own name by default.
    place
        Its place in the list of figures and in the gallery; figures without one come last.
    specs, full_specs
        Sweeps whose draws it shows, by the names of built-in specs or paths; ``full_specs`` are those of ``--full``,
        where they differ. A figure without specs shows the tables of an experiment, see `tables`.
    data
        What the user must bring with ``--data``, in words.
    claims
        Whether its draws bear on Theorems 1 and 2. `rmtsim reproduce` then prints the table of verdicts on all such
        draws in place of the figure's text.
    measured
        Whether it also shows measurements of the user's own, with `rmtsim figure NAME --measured FILE …`: the rows are
        then made of these, as those of figure `head` are.

    Examples
    --------
    A figure of draws, and what its numbers are at a small size:

    >>> import pandas as pd
    >>> import rmtsim
    >>> from rmtsim.figures import Figure
    >>> class Ratios(Figure):
    ...     name = "ratios"
    ...     title = "Off-diagonal over diagonal blocks against C"
    ...     source = "Theorem 1"
    ...     sentence = "The ratio decays to zero at the rate of $C^{-2}$."
    ...     specs = ("figure8",)
    ...
    ...     def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
    ...         return rmtsim.summarize(rows)[["n_classes", "draws", "ratio", "std_error_ratio"]]
    ...
    ...     def plot(self, numbers: pd.DataFrame):
    ...         from matplotlib.figure import Figure as Drawing
    ...
    ...         drawing = Drawing()
    ...         axes = drawing.subplots()
    ...         axes.errorbar(numbers["n_classes"], numbers["ratio"], numbers["std_error_ratio"])
    ...         return drawing
    >>> points = [rmtsim.Point("linear", "ce", C, dim=20, n_samples=40) for C in (2, 10)]
    >>> rows = pd.concat([rmtsim.simulate(point, draws=16) for point in points])
    >>> numbers = Ratios().numbers(rows)
    >>> print(Ratios().text(numbers[["n_classes", "draws"]]))
    n_classes draws
            2    16
           10    16

    ``rmtsim.figures.register(Ratios)`` then puts it beside the others: `rmtsim figure --list`, `rmtsim reproduce
    ratios` and the gallery have it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    sentence: ClassVar[str]
    group: ClassVar[str] = ""
    place: ClassVar[float] = math.inf
    specs: ClassVar[Sequence[str]] = ()
    full_specs: ClassVar[Sequence[str]] = ()
    data: ClassVar[str] = ""
    claims: ClassVar[bool] = False
    measured: ClassVar[bool] = False

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment whose tables it shows.

        Parameters
        ----------
        full
            Whether with ``--full``.
        data
            What the user gave with ``--data``; given if, and only if, the figure has `data`.
        """
        raise NotImplementedError(f"{self.name}: a figure has specs, or tables of its own")

    def select(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that it shows, of draws or of its tables.

        Parameters
        ----------
        rows
            Draws with the columns of the store, or the tables of its experiment.

        Raises
        ------
        InputError
            If they are not there.
        """
        return rows

    @abstractmethod
    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return all numbers that it shows, each once, with its standard error and verdict where it has one.

        Parameters
        ----------
        rows
            Those of `select`: of a figure with specs, draws with the columns of the store; else the tables of its
            experiment. Tables of several kinds are one, with a column ``part``.
        """

    def slow_values(self, rows: pd.DataFrame) -> SlowValues:
        """Return the values of the theory that take long and that `numbers` asks for, to be found on all cores.

        By default those at all sizes, where the rows tell these.

        Parameters
        ----------
        rows
            Those of `select`, of a figure with specs.
        """
        return slow_values(rows) if {*ASKING} <= {*rows.columns} else {}

    @abstractmethod
    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the numbers.

        Parameters
        ----------
        numbers
            What `numbers` returned.
        """

    def text(self, numbers: pd.DataFrame) -> str:
        """Put the numbers into words and tables of plain text.

        Parameters
        ----------
        numbers
            What `numbers` returned.
        """
        return "\n".join(frame_table(numbers))

    def headline(self, numbers: pd.DataFrame) -> str:
        """Put the numbers into a few lines of Markdown, for the gallery.

        Parameters
        ----------
        numbers
            What `numbers` returned.
        """
        return f"```text\n{self.text(numbers)}\n```"

    def experiment(self, full: bool = False, data: str | None = None) -> Experiment | None:
        """Return the experiment whose tables it shows; None if it shows draws.

        Raises
        ------
        InputError
            If it needs data, and there are none.
        """
        if self.specs:
            return None
        if not self.data:
            return self.tables(full)
        if data is None:
            raise InputError(f"{self.name}: needs {self.data}; give --data FOLDER")
        return self.tables(full, data)

    def sweeps(self, full: bool = False) -> Sequence[str]:
        """Return the names of the specs whose draws it shows."""
        return self.full_specs or self.specs if full else self.specs

    @property
    def has_full_size(self) -> bool:
        """Whether it computes something else with ``--full``."""
        if self.specs or self.data:
            return bool(self.full_specs)
        return self.tables(True).paths() != self.tables(False).paths()

    def command(self, full: bool = False) -> str:
        """Return the command that makes it."""
        return f"rmtsim reproduce {self.name}" + (" --full" if full else "") + (" --data FOLDER" if self.data else "")

    def check(self) -> None:
        """Raise InputError unless its attributes are whole."""
        for key in ("name", "title", "source", "sentence"):
            if not isinstance(value := getattr(self, key, None), str) or not value:
                raise InputError(f"figure {type(self).__name__}: {key} is {value!r}; give some text")
        if not re.fullmatch(r"\w+", self.name):
            raise InputError(f"figure: the name {self.name!r} is not valid; give letters, digits and underscores")
        if bool(self.specs) == (type(self).tables is not Figure.tables):
            raise InputError(f"figure {self.name}: give specs of sweeps whose draws it shows, or tables; one of both")
