"""Tables as the content of files."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pandas as pd

from rmtsim.text.tables import records

__all__ = ["encoded"]


def encoded(table: pd.DataFrame, file: str | Path) -> bytes | str:
    """Return a table as the content of a file, whose name ends in .parquet, .csv or .json."""
    suffix = Path(file).suffix
    if suffix == ".parquet":
        buffer = BytesIO()
        table.to_parquet(buffer, index=False)
        return buffer.getvalue()
    return table.to_csv(index=False) if suffix == ".csv" else json.dumps(records(table), indent=1) + "\n"
