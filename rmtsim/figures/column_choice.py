"""What is plotted of a summary: which columns, which rows, and the series of each panel."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.figures.column_series import (
    CURVE_POINTS,
    MEASURED,
    NUMBERS,
    SIZES,
    TEXTS,
    Series,
    color_column,
    named,
    series_of,
)
from rmtsim.model.choices import RegimeName
from rmtsim.stats.conditions import Condition
from rmtsim.stats.slow_values import SlowValues, slow_values
from rmtsim.text.checks import check_choice, is_several
from rmtsim.text.words import number_of

#: Most panels of a drawing.
MOST_PANELS = 12


@dataclass(frozen=True)
class ColumnChoice:
    """Columns of a summary that are plotted, and the rows that are.

    Attributes
    ----------
    x, y
        The columns along the axes.
    by, panel
        The columns that decide on colours and on panels; None without them.
    condition
        What holds for the rows; None: all are taken.
    linear
        Of x and y, the axes that are linear.
    """

    x: str
    y: str
    by: str | None = None
    panel: str | None = None
    condition: Condition | None = None
    linear: tuple[str, ...] = ()

    @classmethod
    def of(cls, x: Any, y: Any, by: Any = None, panel: Any = None, where: Any = None, linear: Any = ()) -> ColumnChoice:
        """Return the choice that a user made; raise InputError where it is not valid."""
        every = (*NUMBERS, *TEXTS)
        check_choice("x", x, every)
        if y in TEXTS:
            raise InputError(f"y: {y} holds text; give a column of numbers, such as ratio")
        check_choice("y", y, NUMBERS)
        for name, value, others in (("by", by, (x,)), ("panel", panel, (x, by))):
            if value is not None and check_choice(name, value, every) in others:
                raise InputError(f"{name}: {value} is shown already; give another column, or leave it out")
        axes = tuple(check_choice("linear", axis, ("x", "y")) for axis in (linear if is_several(linear) else [linear]))
        condition = None if where is None else Condition(where, NUMBERS, TEXTS, "where")
        return cls(x, y, by, panel, condition, axes)

    def select(self, means: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a summary that the condition holds for, and that have both columns.

        Raises
        ------
        InputError
            If there are none.
        """
        chosen = means if self.condition is None else means[self.condition.rows(means)]
        if chosen.empty:
            raise InputError(
                f"where: it holds for none of {number_of(len(means), 'row')} of the summary; give another condition"
            )
        known = chosen.dropna(subset=[self.x, self.y])
        if known.empty:
            name, column = ("x", self.x) if chosen[self.x].isna().all() else ("y", self.y)
            single = column == "ratio" and (chosen["draws"] == 1).any() and chosen["diag_sqfro"].notna().any()
            why = " (a ratio needs two draws)" if single else ""
            raise InputError(f"{name}: no selected row has a {column}{why}; give another column, or select others")
        return known.reset_index(drop=True)

    def colored(self, means: pd.DataFrame) -> ColumnChoice:
        """Return the choice with a column for the colours, where none was given and series differ in one."""
        return self if self.by else replace(self, by=color_column(means, self.x, self.panel))

    def panels(self, means: pd.DataFrame) -> dict[str, list[Series]]:
        """Return the series of each panel by its title, which is empty where there is one panel for all.

        Raises
        ------
        InputError
            If there are more panels or series than can be told apart, or a column has no values.
        """
        for name, column in (("by", self.by), ("panel", self.panel)):
            if column is not None and means[column].isna().all():
                raise InputError(f"{name}: no selected row has a {column}; give another column, or select others")
        series = series_of(means, self.x, self.by, self.panel)
        if self.panel is None:
            return {"": series}
        values = sorted(means[self.panel].dropna().unique())
        if len(values) > MOST_PANELS:
            raise InputError(
                f"panel: {self.panel} has {len(values)} values, and there is room for {MOST_PANELS}; select some by "
                "where, or give another column"
            )
        return {named(self.panel, value): _of_panel(series, self.panel, value) for value in values}

    def regimes(self, wanted: Collection[RegimeName] = ("finite", "large_c")) -> list[RegimeName]:
        """Return those of the wanted regimes whose theory says something of y along x."""
        if self.y not in MEASURED or self.x not in SIZES or self.x in TEXTS:
            return []
        return [regime for regime in wanted if regime == "finite" or self.x == "n_classes"]

    def slow_values(self, panels: Mapping[str, Sequence[Series]], regimes: Collection[RegimeName]) -> SlowValues:
        """Return the values of the theory for the series of `panels` that take long."""
        found: SlowValues = {}
        curve_points = CURVE_POINTS if self.x == "n_classes" else 0
        for one in (one for series in panels.values() for one in series if "finite" in regimes):
            for value, layers in slow_values(one.rows, with_limits=False, curve_points=curve_points).items():
                found.setdefault(value, set()).update(layers)
        return found


def _of_panel(series: list[Series], panel: str, value: Any) -> list[Series]:
    parts = [Series(one.rows[one.rows[panel] == value], one.value, one.label, one.place) for one in series]
    return [part for part in parts if len(part.rows)]
