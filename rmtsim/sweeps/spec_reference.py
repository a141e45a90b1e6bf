"""The keys of a spec of a sweep, from their declarations, in the short form that ``--help`` prints."""

from __future__ import annotations

import textwrap
from itertools import groupby

from rmtsim.sweeps.declaration import keys_of
from rmtsim.sweeps.spec import Spec


def short_help(width: int = 100) -> str:
    """Return the keys of a sweep's spec with the values that they take, for ``--help``."""
    lines = ["keys of a spec (a TOML file; * marks those that it must have):"]
    for table, keys in groupby(keys_of(Spec), lambda key: key.table):
        lines += [f"  [{table}]"] if table else []
        for key in keys:
            text = key.values.replace("`", "") + (f" (default: {key.default})" if key.default else "")
            name = f"  {'  ' * bool(table)}{key.name}{'*' * key.required}"
            lines += textwrap.wrap(f"{name:<22}{text}", width, subsequent_indent=" " * 22, break_long_words=False)
    lines.append("with a table [training] it is a spec of training runs: docs/reference/spec.md has their keys")
    return "\n".join(lines)
