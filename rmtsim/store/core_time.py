"""The core-seconds that draws took, as the metadata of their shard keep them. No row depends on them.

Shards that lack them, as those of earlier versions, stay as they are: what their draws took is unknown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from rmtsim.text.json_text import PlainDataError, parse_json

#: The key in a shard's metadata, after ``rmtsim.``.
KEY = "core_seconds"


class Taken(NamedTuple):
    """What some draws of a point took: how many they are, and their core-seconds."""

    draws: int
    seconds: float


class CoreTime(dict[str, Taken]):
    """What the draws of each point took, by the point's identity, as far as it is known."""

    @classmethod
    def parse(cls, text: str) -> CoreTime:
        """Return what a shard's metadata say; nothing is known where they are not as they should be."""
        try:
            document = parse_json(text)
        except PlainDataError:
            return cls()
        if not isinstance(document, dict) or not all(map(_is_taken, document.values())):
            return cls()
        return cls({point: Taken(draws, float(seconds)) for point, (draws, seconds) in document.items()})

    def add(self, point_id: str, taken: Taken) -> None:
        """Add what further draws of a point took."""
        before = self.get(point_id, Taken(0, 0.0))
        self[point_id] = Taken(before.draws + taken.draws, before.seconds + taken.seconds)

    def add_all(self, others: Iterable[Mapping[str, Taken]]) -> CoreTime:
        """Add what other draws took; return the sum."""
        for other in others:
            for point_id, taken in other.items():
                self.add(point_id, taken)
        return self

    def take(self, rows: pa.Table) -> CoreTime:
        """Remove the share of the draws of some rows, and return it: draws of a point count alike."""
        counts = rows.group_by("point_id").aggregate([("draw", "count_distinct")])
        found = CoreTime()
        for point_id, count in zip(
            *(counts[name].to_pylist() for name in ("point_id", "draw_count_distinct")), strict=True
        ):
            held = self.get(point_id, Taken(0, 0.0))
            if (draws := min(count, held.draws)) > 0:
                share = Taken(draws, held.seconds * draws / held.draws)
                found[point_id] = share
                self[point_id] = Taken(held.draws - draws, held.seconds - share.seconds)
        return found

    def metadata(self) -> dict[str, str]:
        """Return it as metadata of a shard: none where nothing is known."""
        document = {point: [taken.draws, round(taken.seconds, 3)] for point, taken in sorted(self.items())}
        return {f"rmtsim.{KEY}": json.dumps(document, separators=(",", ":"))} if self else {}


def _is_taken(value: Any) -> bool:
    match value:
        case [int(draws), int(seconds) | float(seconds)]:
            return draws > 0 and 0 <= seconds < math.inf
    return False
