"""The core-seconds that draws took, as the metadata of their shard keep them. No row depends on them.

Shards that lack them, as those of earlier versions, stay as they are: what their draws took is unknown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rmtsim.text.json_text import MOST_BYTES

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
        if len(text) > MOST_BYTES:
            return cls()
        try:
            document = json.loads(text)  # `parse_json` looks at each of a hundred thousand values several times
        except (ValueError, RecursionError):
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


class Packed(NamedTuple):
    """What the draws of some points took, in arrays: the points by their places in a `CoreTimeSum`."""

    places: npt.NDArray[np.int64]
    draws: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]


class CoreTimeSum:
    """What the draws of each point took, summed over shards; a shard can be taken out again.

    It is kept in arrays, since there may be a hundred thousand points in each shard.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._draws = np.zeros(0, dtype=np.int64)
        self._seconds = np.zeros(0)

    def add(self, taken: Mapping[str, Taken]) -> Packed:
        """Add what a shard's draws took; return it, for `remove`."""
        places = [self._places.setdefault(point, len(self._places)) for point in taken]
        if len(self._places) > len(self._draws):  # room for twice as many, so that it is seldom copied
            more = 2 * len(self._places) - len(self._draws)
            self._draws, self._seconds = np.pad(self._draws, (0, more)), np.pad(self._seconds, (0, more))
        packed = Packed(
            np.array(places, dtype=np.int64),
            np.array([of.draws for of in taken.values()], dtype=np.int64),
            np.array([of.seconds for of in taken.values()], dtype=float),
        )
        self._draws[packed.places] += packed.draws
        self._seconds[packed.places] += packed.seconds
        return packed

    def remove(self, packed: Packed) -> None:
        """Take out what `add` returned."""
        self._draws[packed.places] -= packed.draws
        left = self._seconds[packed.places] - packed.seconds
        self._seconds[packed.places] = np.where(self._draws[packed.places] > 0, left, 0.0)  # but for rounding

    def of(self, points: Iterable[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the draws of points whose time is known, and their core-seconds."""
        places = np.array([self._places.get(point, -1) for point in points], dtype=np.int64)
        known = places >= 0
        draws, seconds = np.zeros(len(places), dtype=np.int64), np.zeros(len(places))
        draws[known], seconds[known] = self._draws[places[known]], self._seconds[places[known]]
        return draws, seconds


def _is_taken(value: Any) -> bool:
    match value:
        case [int(draws), int(seconds) | float(seconds)]:
            return 0 < draws < 2**63 and 0 <= seconds < math.inf
    return False
