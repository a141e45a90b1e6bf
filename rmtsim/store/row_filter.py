"""Rows of draws that have given values in given columns."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmtsim.errors import InputError
from rmtsim.model.choices import LAYERS, LOSSES, MODELS
from rmtsim.sampling.schema import SCHEMA
from rmtsim.text.checks import check_choice, is_several
from rmtsim.text.words import abridge

#: The columns whose values come from short lists, so that a name that is not on them is a typing error.
_CHOICES: dict[str, tuple[str, ...]] = {"model": MODELS, "loss": LOSSES, "layer": LAYERS}


def rows_with(table: pa.Table, wanted: Mapping[str, list[Any]]) -> pa.Table:
    """Return the rows of a table that have, in each column of ``wanted``, one of its values; None stands for null."""
    for column, values in wanted.items():
        table = table.filter(pc.is_in(table[column], pa.array(values, SCHEMA.field(column).type)))
    return table


def as_wanted(columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values wanted in each column, as lists.

    Raises
    ------
    InputError
        If there is no such column, or a value is not of its type.
    """
    for column in columns:
        if column not in SCHEMA.names:
            raise InputError(f"draws: there is no column {abridge(column)}; the columns are {', '.join(SCHEMA.names)}")
    return {name: [_checked(name, value) for value in _as_list(values)] for name, values in columns.items()}


def _as_list(values: Any) -> list[Any]:
    return list(values) if is_several(values) else [values]


def _checked(column: str, value: Any) -> Any:
    if column in _CHOICES:
        return check_choice(column, value, _CHOICES[column])
    if value is None:
        return None
    kind = SCHEMA.field(column).type
    if pa.types.is_string(kind):
        if isinstance(value, str):
            return value
        raise InputError(f"{column}: {abridge(value)} is not valid; give a text or a list of texts")
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{column}: {abridge(value)} is not valid; give a number or a list of numbers")
    if not pa.types.is_integer(kind):
        return float(value)
    whole = operator.index(value) if isinstance(value, Integral) else float(value)
    if whole % 1 or not abs(whole) <= np.iinfo(kind.to_pandas_dtype()).max:
        raise InputError(f"{column}: {abridge(value)} is not valid; give a whole number or a list of them")
    return int(whole)
