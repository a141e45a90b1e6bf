"""Parts of messages: a number of things, the draws in some ranges, a row of the store."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rmtsim.text.sizes import format_count

#: At most this many ranges are listed in a message.
_SHOWN = 5

#: At most this many characters of a value are shown.
_LONGEST = 200

#: How alike a name must be to a mistyped one; "f8" and "fig8" are by 0.67.
_ALIKE = 0.6

#: Other names of backends, losses, variances and laws.
_OTHER_NAMES = {
    "gpu": "cupy",
    "cuda": "cupy",
    "cpu": "numpy",
    "crossentropy": "ce",
    "cross_entropy": "ce",
    "cross-entropy": "ce",
    "squared": "mse",
    "l2": "mse",
    "kaiming": "he",
    "glorot": "xavier",
    "normal": "gaussian",
}

#: Names of the sizes of a point by their symbols.
SIZES = {"C": "n_classes", "d": "dim", "N": "n_samples", "m": "width", "d/N": "aspect_ratio"}


def abridge(value: Any) -> str:
    """Return a value as Python writes it, cut after 200 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def did_you_mean(given: Any, known: Iterable[str]) -> str:
    """Return the name that a mistyped one is closest to, as " (did you mean fig8?)"; nothing where none is close.

    The symbol of a size, such as C, means its name; gpu means the backend that uses one. Hyphens before options do not
    count.

    Examples
    --------
    >>> did_you_mean("--stroe", ["--store", "--seed"]), did_you_mean("gpu", ["numpy", "cupy"])
    (' (did you mean --store?)', ' (did you mean cupy?)')
    >>> did_you_mean("--draws", ["--address"])
    ''
    """
    names = {name.lower().lstrip("-"): name for name in known}
    if isinstance(given, str) and (meant := {**SIZES, **_OTHER_NAMES}.get(given)) in names.values():
        return f" (did you mean {meant}?)"
    typed = given.lower().lstrip("-") if isinstance(given, str) else ""
    close = difflib.get_close_matches(typed, names, 1, _ALIKE) if typed else []
    return f" (did you mean {names[close[0]]}?)" if close else ""


def number_of(count: int, noun: str) -> str:
    """Return a number and what it counts, in the plural where need be: "1 shard", "2 shards"."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{format_count(count)} {noun if count == 1 else plural}"


def list_ranges(noun: str, ranges: Sequence[range]) -> str:
    """Return the numbers in some ranges as text: "draw 3"; "draws 4 to 7, 9"."""
    shown = [str(r.start) if len(r) == 1 else f"{r.start} to {r.stop - 1}" for r in ranges[:_SHOWN]]
    more = f" and {number_of(len(ranges) - _SHOWN, 'range')} more" if len(ranges) > _SHOWN else ""
    return f"{noun}{'' if sum(map(len, ranges)) == 1 else 's'} {', '.join(shown)}{more}"


def name_row(row: Mapping[Any, Any], point: str) -> str:
    """Return the key of a row of a point, which is given in words; that of its draw where the row has no layer."""
    layer = f", layer {row['layer']}" if "layer" in row else ""
    return f"draw {row['draw']} of {point}, seed {row['seed']}{layer}"
