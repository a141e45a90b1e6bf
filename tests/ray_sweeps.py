"""Sweeps that workers of Ray run, and the rows that they are to have."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from harness.specs import SMALL
from rmtsim.store import Store
from rmtsim.sweeps.runner import run
from rmtsim.sweeps.spec import from_document

#: A sweep that is over soon, and one that much can happen to; of the latter, two points are limited.
SHORT = SMALL.format(target_rse=0.6, max_draws=24)
LONG = SMALL.format(target_rse=0.15, max_draws=108)


def sweep(folder: Path, text: str = SHORT) -> pd.DataFrame:
    """Lay down the spec; return the rows that an undisturbed run makes of it."""
    (folder / "spec.toml").write_text(text)
    return undisturbed(text)


@cache
def undisturbed(spec: str) -> pd.DataFrame:
    with TemporaryDirectory() as folder:
        run(from_document(tomllib.loads(spec)), Store(folder), workers=2, backend="numpy")
        return Store(folder).read().drop(columns="backend")
