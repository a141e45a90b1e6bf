"""What verbs say and print."""

from __future__ import annotations

import math
import sys
from typing import Any

import pandas as pd

_WHOLE = {"n_classes", "dim", "n_samples", "width", "diag_power", "offdiag_power"}


def say(message: str) -> None:
    """Tell the user something on stderr."""
    print(f"{message}\n", file=sys.stderr, flush=True, end="")  # one write: threads tell of tables, too


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain data, with whole numbers as such and null for what is missing or infinite: JSON has neither."""

    def plain(key: str, value: Any) -> Any:
        if pd.isna(value) or value in (math.inf, -math.inf):
            return None
        return int(value) if key in _WHOLE else value

    return [{str(key): plain(str(key), value) for key, value in row.items()} for row in table.to_dict("records")]
