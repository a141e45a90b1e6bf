"""Findings on rows that several shards hold: whether they agree, and whether they were made in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmtsim.sampling.schema import KEY
from rmtsim.store.coverage import Coverage
from rmtsim.store.findings import Finding
from rmtsim.store.repeated_rows import repeated_rows
from rmtsim.store.shards import Shard
from rmtsim.store.store import Store
from rmtsim.text.words import number_of

#: Columns that say how the values of a row were made.
_WAYS = ["backend", "dtype", "classes", "weights_per_draw"]


def duplicated(store: Store, shards: Sequence[Shard], repeated: Coverage, made_again: int) -> Iterator[Finding]:
    """Yield a finding for each set of shards that share rows; ``made_again`` of these draws are recomputed besides."""
    found: dict[tuple[tuple[int, ...], bool, tuple[str, ...]], int] = {}
    for rows in repeated_rows(shards, repeated):
        for _, same in rows.groupby(KEY):
            made = dict(zip(same["shard"].tolist(), same[_WAYS].astype(str).agg(" ".join, axis=1), strict=True))
            which = (tuple(sorted(made)), bool(same["equal"].all()), tuple(made[place] for place in sorted(made)))
            found[which] = found.get(which, 0) + 1
    for (places, equal, ways), count in sorted(found.items()):
        names = " and ".join(shards[place].name for place in places)
        stand = "stands" if count == 1 else "stand"
        where = f"{number_of(count, 'row')} {stand} twice, in {names} of {store.files.where('draws')}"
        if equal:
            yield Finding("duplicated", f"{where}, with equal values", f"`rmtsim compact --store {store.quoted}`")
            continue
        if len(set(ways)) > 1:
            each = " and ".join(f"{shards[place].name} by {way}" for place, way in zip(places, ways, strict=True))
            advice = "each may be right in its own way: keep one of them, and move the others to a store of their own"
            yield Finding("duplicated", f"{where}, made in different ways, {each} ({', '.join(_WAYS)})", advice)
            continue
        again = f"`rmtsim verify --store {store.quoted} --recompute {max(100, 2 * made_again)}`"
        advice = f"{again} shows which is wrong: remove that shard, and run its spec again"
        if made_again:
            advice = f"remove a shard that is called wrong, and run its spec again; if none is, {again} looks at more"
        yield Finding("duplicated", f"{where}, with different values", advice)
