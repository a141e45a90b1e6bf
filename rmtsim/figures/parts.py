"""Tables of several kinds in one: the numbers of a figure that shows more than one table."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

#: The column that names the part.
PART = "part"


def join_parts(parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one table of all rows, with a column ``part`` that names the table of each; cells that it lacks are empty.

    Examples
    --------
    >>> import pandas as pd
    >>> means = pd.DataFrame({"n_classes": [2, 10], "mean": [1.5, 0.5]})
    >>> fits = pd.DataFrame({"exponent": [-0.7], "std_error": [0.1]})
    >>> joined = join_parts({"means": means, "fits": fits})
    >>> joined[["part", "n_classes", "exponent"]]
        part  n_classes  exponent
    0  means          2       NaN
    1  means         10       NaN
    2   fits       <NA>      -0.7
    >>> part(joined, "means")[["n_classes", "mean"]]
       n_classes  mean
    0          2   1.5
    1         10   0.5
    """
    frames = []
    for name, table in parts.items():
        whole = {column: "Int64" for column in table if pd.api.types.is_integer_dtype(table[column])}
        truth = {column: "boolean" for column in table if pd.api.types.is_bool_dtype(table[column])}
        frames.append(table.astype(whole | truth).assign(**{PART: name}))
    columns = list(dict.fromkeys([PART, *(column for frame in frames for column in frame)]))
    joined: pd.DataFrame = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    return joined.reindex(columns=columns)


def part(numbers: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of one part; whole numbers and truth values are plain again where none is missing."""
    rows = numbers[numbers[PART] == name].reset_index(drop=True)
    kinds: dict[str, type] = {"Int64": int, "boolean": bool}
    plain = {
        column: kinds[str(dtype)]
        for column, dtype in rows.dtypes.items()
        if str(dtype) in kinds and rows[column].notna().all()
    }
    return rows.astype(plain)
