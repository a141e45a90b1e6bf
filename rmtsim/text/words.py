"""Words of messages: how many of what, which draws, which row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmtsim.text.sizes import format_count

#: At most this many ranges are listed in a message.
_SHOWN = 5

#: At most this many characters of a value are shown.
_LONGEST = 200


def abridged(value: Any) -> str:
    """Return a value as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def counted(count: int, noun: str) -> str:
    """Say how many: 1 shard, 2 shards."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{format_count(count)} {noun if count == 1 else plural}"


def numbered(noun: str, ranges: Sequence[range]) -> str:
    """Say which: draw 3; draws 4 to 7, 9."""
    shown = [str(r.start) if len(r) == 1 else f"{r.start} to {r.stop - 1}" for r in ranges[:_SHOWN]]
    more = f" and {counted(len(ranges) - _SHOWN, 'stretch')} more" if len(ranges) > _SHOWN else ""
    return f"{noun}{'' if sum(map(len, ranges)) == 1 else 's'} {', '.join(shown)}{more}"


def described(row: Mapping[Any, Any]) -> str:
    """Say which row, or where there is no layer which draw, by its key."""
    layer = f", layer {row['layer']}" if "layer" in row else ""
    return f"draw {row['draw']} of point {row['point_id']}, seed {row['seed']}{layer}"
