"""Measurements of heads that `rmtsim measure --json` printed into files."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.files.path_names import check_path
from rmtsim.files.regular_files import open_regular
from rmtsim.heads.nulls import Norms, Null
from rmtsim.heads.results import FORMAT, Measurement
from rmtsim.model.choices import NULLS
from rmtsim.text.json_text import MOST_BYTES, PlainDataError, parse_json
from rmtsim.text.words import abridge

#: Keys of whole numbers, of other numbers, of texts, and of values that nothing here is made of.
_WHOLE = ("n_classes", "dim", "block_dim", "batch", "batches", "rows")
_NUMBERS = (
    "scale",
    "perplexity",
    "std_error_perplexity",
    "effective_classes",
    "std_error_effective_classes",
    "entropy_of_mean",
    "logit_variance",
    "std_error_logit_variance",
    "feature_mean_square",
    "pairs_bound",
)
_TEXTS = ("order", "dtype", "weights", "features")
_AS_THEY_ARE = ("bias", "seed", "pairs_certain")

#: Columns that tables have at least.
_TABLES = {"by_batch": (), "pairs": (), "blocks": ("class_i", "class_j", "sqfro"), "groups": ()}
_OF_CLASSES = ("class", "frequency", "diag_sqfro", "std_error_diag")

_NORMS = tuple(field.name for field in dataclasses.fields(Norms))
_SPREADS = ("spread_diag", "spread_offdiag", "spread_ratio", "spread_outside")

#: Norms in a table of classes may differ by this from those of all blocks: both are rounded sums in float32.
_CLOSE = 1e-3


def read_measurement(path: str | os.PathLike[str], what: str = "measured") -> Measurement:
    """Return the measurement in a file that `rmtsim measure --json` printed.

    Parameters
    ----------
    path
        The file. A table of classes that was written with it, by ``--classes-out``, is read too: from the folder of
        this file, or from where it was written.
    what
        What the user gave it as, for messages.

    Raises
    ------
    InputError
        If it cannot be read, is not such a document, is that of a later version, or lacks its table of classes.
    """
    found = _Document(path, what)
    given: dict[str, Any] = {name: found.whole(name) for name in _WHOLE}
    given |= {name: found.number(name) for name in _NUMBERS}
    given |= {name: found.text(name) for name in _TEXTS}
    given |= {name: found.value(name) for name in _AS_THEY_ARE}
    given |= {name: found.table(name, columns) for name, columns in _TABLES.items()}
    given["norms"] = Norms(**{name: found.number(name) for name in _NORMS})
    given["null_list"] = tuple(map(found.null, found.several("nulls")))
    given["notes"] = tuple(map(str, found.several("notes")))
    given["classes"] = found.classes(given["n_classes"], given["norms"].diag_sqfro)
    return Measurement(**given)


class _Document:
    """A document of a file, whose values are checked as they are asked for."""

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        check_path(path, what, "give another file")
        self._path, self._what = Path(path), what
        try:
            with open_regular(path) as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            self.refuse(f"it cannot be read: {error.strerror or error}")
        try:
            document = parse_json(content)
        except PlainDataError as error:
            self.refuse(str(error))
        if not isinstance(document, dict):
            self.refuse("it holds no object")
        self._document: dict[str, Any] = document
        given = document.get("format", FORMAT)  # the first ones had none
        if given != FORMAT:
            self.refuse(f"its format is {abridge(given)}, of another version of rmtsim, and this one has {FORMAT}")

    def refuse(self, why: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(
            f"{self._what}: {self._path} cannot be used ({why}); give what `rmtsim measure --json` printed"
        )

    def value(self, name: str) -> Any:
        """Return a value."""
        if name not in self._document:
            if name == "blocks":  # the first ones had none
                return None
            self.refuse(f"it has no {name}")
        return self._document[name]

    def number(self, name: str, of: Mapping[str, Any] | None = None) -> float:
        """Return a number, NaN for null."""
        value = self.value(name) if of is None else of.get(name)
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(f"its {name} is {abridge(value)}, no number")
        if value < 0 and name in (*_NORMS, *_SPREADS):
            self.refuse(f"its {name} is {abridge(value)}, and none is below 0")
        return float(value)

    def whole(self, name: str) -> int:
        """Return a whole number from 1."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.refuse(f"its {name} is {abridge(value)}, no whole number from 1")
        return value

    def text(self, name: str) -> str:
        """Return a text."""
        value = self.value(name)
        if not isinstance(value, str):
            self.refuse(f"its {name} is {abridge(value)}, no text")
        return value

    def several(self, name: str) -> list[Any]:
        """Return a list."""
        value = self.value(name)
        if not isinstance(value, list):
            self.refuse(f"its {name} is no list")
        return value

    def table(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame | None:
        """Return a table, or None for null."""
        if self.value(name) is None:
            return None
        rows = self.several(name)
        if not all(isinstance(row, dict) for row in rows):
            self.refuse(f"its {name} is no table")
        table = pd.DataFrame(rows)
        for column in columns:
            if column not in table or not pd.api.types.is_numeric_dtype(table[column]):
                self.refuse(f"its {name} has no numbers {column}")
            if (table[column] < 0).any():
                self.refuse(f"its {name} has a {column} below 0")
        if name == "blocks":
            pairs = len(table.drop_duplicates(["class_i", "class_j"]))
            if not len(table) == pairs == table["class_i"].nunique() ** 2:
                self.refuse("its blocks are not those of every pair of its classes, each once")
        return table

    def null(self, given: Any) -> Null:
        """Return a null."""
        if not isinstance(given, dict) or given.get("name") not in NULLS:
            self.refuse(f"one of its nulls is none of {', '.join(NULLS)}")
        spread = tuple(self.number(name, given) for name in _SPREADS)
        norms = Norms(**{name: self.number(name, given) for name in _NORMS})
        known = None if any(map(math.isnan, spread)) else spread
        return Null(given["name"], norms, known, str(given.get("note", "")))  # type: ignore[arg-type]

    def classes(self, n_classes: int, diag: float) -> pd.DataFrame | None:
        """Return the table of classes that was written with it, or None."""
        written = self._document.get("classes_out")
        if written is None:
            return None
        places = [self._path.parent / Path(str(written)).name, Path(str(written))]
        place = next((place for place in places if place.is_file()), None)
        if place is None:
            self.refuse(f"its table of classes, {written}, is neither beside it nor where it was written")
        try:
            table = _table_of_classes(place)
        except KeyError:
            self.refuse(f"{place} has not the columns {', '.join(_OF_CLASSES)} of a table of classes")
        except Exception as error:  # a damaged footer can make pyarrow raise anything
            self.refuse(f"its table of classes, {place}, cannot be read: {str(error).partition(chr(10))[0]}")
        if (table[[*_OF_CLASSES]] < 0).any(axis=None):
            self.refuse(f"{place} has a number below 0, which a table of classes has not")
        mean = float(table["diag_sqfro"].mean())
        if len(table) != n_classes or not (mean == diag or abs(mean - diag) <= _CLOSE * abs(diag)):
            self.refuse(f"{place} is the table of classes of another measurement")
        return table


def _table_of_classes(path: Path) -> pd.DataFrame:
    """Return the table of a file that ``--classes-out`` wrote; raise KeyError where it lacks a column."""
    with open_regular(path) as file:
        if path.suffix == ".parquet":
            table = pd.read_parquet(file)
        elif path.suffix == ".csv":  # a class may be called "NA"
            table = pd.read_csv(file, keep_default_na=False, na_values={name: [""] for name in _OF_CLASSES})
        else:
            table = pd.DataFrame(parse_json(file.read(MOST_BYTES + 1)))
    return table.astype({name: "int64" if name == "class" else "float64" for name in _OF_CLASSES})
