"""The reference of specs, made from their declarations: ``docs/reference/spec.md`` and a short form for ``--help``.

``python -m rmtsim.sweeps.spec_reference docs/reference/spec.md`` writes the page anew.
"""

from __future__ import annotations

import sys
import textwrap
from itertools import groupby
from pathlib import Path

from rmtsim.sweeps.declaration import Key, keys_of
from rmtsim.sweeps.spec import Spec
from rmtsim.sweeps.training_spec import TrainingSpec

_HEAD = """\
# Specs

*This page is generated from the declarations in `rmtsim/sweeps/spec.py` and `rmtsim/sweeps/training_spec.py`; write it
anew with `python -m rmtsim.sweeps.spec_reference docs/reference/spec.md`.*

A spec is a TOML file that `rmtsim plan` and `rmtsim run` take. It is a spec of a sweep or, with a table `[training]`,
of training runs. Keys that are not listed here are refused, as are values of another type, empty lists, and lists that
name a value twice: one sentence names the key and says what would be valid, the exit code is 2, and nothing is written.

From Python, a spec of a sweep is also a dictionary of the same keys, or an object `rmtsim.sweeps.spec.Spec`, whose
arguments are these keys without the table `[grid]`.
"""

_SWEEP = """\
## Specs of sweeps

The points of a sweep are all combinations of the values in `[grid]`.
[`sweeps/example.toml`](../../sweeps/example.toml) is a spec to copy, with a comment for every key.
"""

_TRAINING = """\
## Specs of training runs

Every combination of the values in `[grid]` and of the losses is a problem, trained `draws` times.
[`sweeps/training.toml`](../../sweeps/training.toml) is a spec to copy.
"""


def page() -> str:
    """Return the reference page, in Markdown."""
    return "\n".join([_HEAD, _SWEEP, *_tables(keys_of(Spec)), _TRAINING, *_tables(keys_of(TrainingSpec))])


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


def _tables(keys: list[Key]) -> list[str]:
    """Return a Markdown table for each table of a document, those above all tables first."""
    parts = []
    for table in dict.fromkeys(key.table for key in keys):
        rows = [_row(key) for key in keys if key.table == table]
        title = f"### `[{table}]`\n\n" if table else ""
        parts.append("\n".join([f"{title}| key | values | default | meaning |", "|---|---|---|---|", *rows, ""]))
    return parts


def _row(key: Key) -> str:
    default = "*must be given*" if key.required else f"`{key.default}`" if _is_value(key.default) else key.default
    return f"| `{key.name}` | {key.values} | {default} | {key.meaning} |"


def _is_value(default: str) -> bool:
    """Whether a default is one value, and not a description of several."""
    return " or " not in default and default[:1] in '"[0123456789tf'


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
