"""The parts of pages that are generated from the code: ``python -m docs.generate`` writes them anew.

Such a part stands between two comments, ``<!-- generated: NAME -->`` and ``<!-- end -->``, which neither a forge nor
the site shows. All around it is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from docs.generate import columns, command_line, figures, python_names, specs

#: The folder of the pages.
DOCS = Path(__file__).parents[1]

#: What generates each part, as Markdown.
PARTS: dict[str, Callable[[], str]] = {
    "verbs in short": command_line.in_short,
    "verbs": command_line.verbs,
    "exit codes": command_line.exit_codes,
    "keys of sweeps": specs.keys_of_sweeps,
    "keys of training runs": specs.keys_of_trainings,
    "built-in sweeps": specs.built_in_sweeps,
    "built-in training runs": specs.built_in_trainings,
    "columns of draws": columns.of_draws,
    "quantities of tables": columns.of_tables,
    "figures": figures.listing,
    "python names": python_names.listing,
    "python": python_names.reference,
}

_PART = re.compile(r"(?<=<!-- generated: )(.+?) -->\n.*?(?=<!-- end -->)", re.DOTALL)


def renewed(text: str) -> str:
    """Return the text of a page with every generated part written anew.

    Raises
    ------
    KeyError
        If a part has a name that nothing generates.
    """
    return _PART.sub(lambda part: f"{part[1]} -->\n\n{PARTS[part[1]]().strip()}\n\n", text)


def generated_pages() -> list[Path]:
    """Return the pages that have generated parts."""
    return [page for page in sorted(DOCS.rglob("*.md")) if _PART.search(page.read_text("utf-8"))]
