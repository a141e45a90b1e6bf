"""What is wrong with a store, and what to do about it. Nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rmtsim.copies import copies
from rmtsim.coverage import Coverage, Runs, Series
from rmtsim.errors import InputError
from rmtsim.files import StoreError
from rmtsim.recompute import recompute, stored_point
from rmtsim.schema import ENSEMBLE, KEY
from rmtsim.shards import ForeignError, OpenShard, Shard
from rmtsim.store import Store
from rmtsim.tables import commit_number, shard_name

_POINT = ["point_id", "model", "loss", "n_classes", "dim", "n_samples", "width", *ENSEMBLE]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes
    ----------
    kind
        ``torn``, ``foreign``, ``duplicated``, ``missing``, ``leftover`` or ``wrong``.
    what, advice
        Half a sentence each: what is wrong where, and what to do about it.
    """

    kind: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}; {self.advice}"


@dataclass
class Report:
    """What was looked at, and what was found."""

    shards: int = 0
    rows: int = 0
    recomputed: int = 0
    rounded: int = 0  #: of those recomputed: equal to rounding only, as another BLAS made them
    skipped: int = 0  #: draws that a GPU made, and there is none here
    findings: list[Finding] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """Return the report as plain data."""
        return {"sound": not self.findings, **asdict(self)}


def verify(store: Store, draws: int = 0) -> Report:
    """Read every byte of a store, and look for rows that are torn, foreign, duplicated or missing.

    Parameters
    ----------
    store
        The store.
    draws
        So many stored draws, chosen at random, are made again and compared; if any stand twice, of those.
    """
    report, specs, names = Report(), [], None
    try:
        specs = store.specs()
        names = {str(spec["name"]) for spec in specs}
    except StoreError as error:
        report.findings.append(_told("foreign", error))
    report.findings += _strays(store)
    sound: list[Shard] = []
    replaced: dict[str, str] = {}
    for shard in store.listed():
        try:
            with shard.open() as opened:
                found = list(_inside(shard, opened, names))
                replaced |= dict.fromkeys(opened.replaces, shard.name)
        except StoreError as error:
            report.findings.append(_told("foreign" if isinstance(error, ForeignError) else "torn", error))
        else:
            report.findings += found
            sound.append(shard)
    for shard in sound:
        if shard.name in replaced:
            what = f"{shard} was replaced by {replaced[shard.name]}, and its compaction killed"
            report.findings.append(Finding("leftover", what, "its rows do not count, and the next writer removes it"))
    counting = [shard for shard in sound if shard.name not in replaced]
    there, repeated, models = Coverage(), Coverage(), dict[str, str]()
    for shard in counting:
        with shard.open() as opened:
            report.rows += opened.num_rows
            for keys in opened.pieces({*KEY, "model"}):
                copy = there.add(keys)
                repeated.add(keys.filter(copy))
                pairs = keys.group_by(["point_id", "model"]).aggregate([]).to_pylist()
                models |= {row["point_id"]: row["model"] for row in pairs}
    report.shards = len(counting)
    report.findings += _duplicated(store, counting, repeated)
    report.findings += _missing(there, models, specs)
    if draws and there:  # of those that stand twice, if any: which is right?
        _recompute(report, counting, repeated or there, draws)
    return report


def _told(kind: str, error: StoreError) -> Finding:
    what, _, advice = str(error).removeprefix("store: ").rpartition("; ")
    return Finding(kind, what, advice)


def _strays(store: Store) -> Iterator[Finding]:
    """Files that are no shards and no specs."""
    for folder, suffix in (("draws", ".parquet"), ("sweeps", ".json")):
        for name in store.files.names(folder):
            where = store.files.where(f"{folder}/{name}")
            if name.startswith(".") and name.endswith(".tmp"):
                advice = "if none writes now, nothing is lost, and the next writer removes it"
                yield Finding("leftover", f"{where} is what a writer had begun when it was killed", advice)
            elif name.startswith(".") or not name.endswith(suffix):
                yield Finding("foreign", f"{where} is no file of a store", "move it elsewhere")


def _inside(shard: Shard, opened: OpenShard, specs: set[str] | None) -> Iterator[Finding]:
    """Read a shard to its last byte, which looks at its checksums, and hold it against its name and its sweep."""
    for piece in opened.pieces():
        for row in piece.group_by(_POINT).aggregate([]).to_pylist():
            yield from _point_is(shard, row)
    number = commit_number(shard.name)
    if number and shard.name != shard_name(number, opened.read(KEY), shard.compacted):
        advice = "find out where it comes from, or remove it and run its spec again"
        yield Finding("foreign", f"{shard} holds other draws than its name tells", advice)
    try:
        name = json.loads(opened.metadata.get("spec", "{}")).get("name")
    except ValueError:
        name = None
    if name is not None and specs is not None and name not in specs:
        advice = "move it elsewhere; if its rows are meant to be here, use `rmtsim merge` on the store that it is from"
        yield Finding("foreign", f"{shard} is of the sweep {name}, which was not run into this store", advice)


def _point_is(shard: Shard, row: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        right = stored_point(row).id == row["point_id"]
    except InputError:
        right = False
    if not right:
        advice = "remove it and run its spec again"
        yield Finding("foreign", f"{shard} holds a point {row['point_id']} that its sizes do not make", advice)


def _duplicated(store: Store, shards: Sequence[Shard], repeated: Coverage) -> Iterator[Finding]:
    """Say for each set of shards how many rows they share."""
    found: dict[tuple[tuple[int, ...], bool], int] = {}
    for rows in copies(shards, repeated):
        for _, same in rows.groupby(KEY):
            which = (tuple(sorted(set(same["shard"].tolist()))), bool(same["equal"].all()))
            found[which] = found.get(which, 0) + 1
    for (places, equal), count in sorted(found.items()):
        names = " and ".join(shards[place].name for place in places)
        rows_stand = f"{count} row{' stands' if count == 1 else 's stand'}"
        where = f"{rows_stand} twice, in {names} of {store.files.where('draws')}"
        if equal:
            yield Finding("duplicated", f"{where}, with equal values", f"`rmtsim compact --store {store.quoted}`")
        else:
            advice = "`rmtsim verify --recompute 100` tells which is wrong: remove that shard, and run its spec again"
            yield Finding("duplicated", f"{where}, with different values", advice)


def _missing(there: Coverage, models: Mapping[str, str], specs: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Gaps in the draws of a point, and draws without some of the layers that others have."""
    drawn: dict[tuple[str, int], Runs] = {}
    layers: dict[tuple[str, int], set[str]] = {}
    for (point, seed, layer), runs in there.items():
        layers.setdefault((point, seed), set()).add(layer)
        for run in runs:
            drawn.setdefault((point, seed), Runs()).add(run)
    for (point, seed), draws in sorted(drawn.items()):
        where, end = f"point {point}, seed {seed}", max(run.stop for run in draws)
        if gaps := draws.gaps(range(end)):
            yield Finding("missing", f"{where}: {_listed(gaps)} of draws 0 to {end - 1}", _AGAIN)
        asked = [set(spec.get("layers", ())) for spec in specs if spec.get("model") == models[point]]
        everywhere = set.intersection(*asked) if asked else set()  # a sweep may watch fewer layers than another
        for layer in sorted(layers[point, seed] | everywhere):
            has = there.get(Series(point, seed, layer), Runs())
            last = end if layer in everywhere else max(run.stop for run in has)
            lacking = [gap for run in draws.within(range(last)) for gap in has.gaps(run)]
            if lacking:
                yield Finding("missing", f"{where}: layer {layer} in {_listed(lacking)}", _AGAIN)


_AGAIN = "run its spec again, which makes them, or go on where the sweep was stopped"


def _listed(ranges: Sequence[range]) -> str:
    shown = [str(r.start) if len(r) == 1 else f"{r.start} to {r.stop - 1}" for r in ranges[:5]]
    more = f" and {len(ranges) - 5} more stretches" if len(ranges) > 5 else ""
    return f"draw{'' if shown == [str(ranges[0].start)] and not more else 's'} {', '.join(shown)}{more}"


def _recompute(report: Report, shards: Sequence[Shard], there: Coverage, draws: int) -> None:
    for comparison in recompute(shards, there, draws):
        report.recomputed += comparison.verdict != "skipped"
        report.rounded += comparison.verdict == "rounded"
        report.skipped += comparison.verdict == "skipped"
        if comparison.verdict == "wrong":
            what = f"{comparison.shard}: {comparison.draw} has other values than the same draw made now"
            report.findings.append(Finding("wrong", what, "remove it and run its spec again"))
