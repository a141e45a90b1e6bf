"""Examples in docstrings, which are tests: modules of rmtsim that have none are not collected.

To import and search all of them would take as long as to collect all other tests, in each process.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1] / "rmtsim"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave a module out where no prompt stands in it."""
    if collection_path.suffix == ".py" and collection_path.is_relative_to(_PACKAGE):
        return None if ">>>" in collection_path.read_text("utf-8") else True
    return None
