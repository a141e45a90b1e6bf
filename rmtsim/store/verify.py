"""Verification of a store: findings on what is wrong, with advice. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from rmtsim.errors import InputError
from rmtsim.sampling.schema import ENSEMBLE, KEY
from rmtsim.store.commits import Commits, read_commits
from rmtsim.store.coverage import Coverage, RangeSet, Request, Series
from rmtsim.store.failures import ForeignError, StoreError
from rmtsim.store.findings import Finding, finding_of, missing_commits
from rmtsim.store.gathering import ROWS as GATHERED
from rmtsim.store.presence import who_writes
from rmtsim.store.recompute import recompute, stored_point
from rmtsim.store.shard_names import commit_number
from rmtsim.store.shards import OpenShard, Shard, VanishedError
from rmtsim.store.store import Store
from rmtsim.store.verify_repeated_rows import duplicated
from rmtsim.store.verify_strays import notes_on_strays, strange_files
from rmtsim.store.verify_tables import Makers, recompute_tables, verify_tables
from rmtsim.text.words import list_ranges, number_of

#: Returns the draws that the document of a sweep's spec asks for at least; raises InputError if it is no such spec.
RequestsOf: TypeAlias = Callable[[Mapping[str, Any]], Sequence[Request]]

#: What to do about draws that are still to be made.
_AGAIN = "the same `rmtsim run` fills them"

_POINT = ["point_id", "model", "loss", "n_classes", "dim", "n_samples", "width", *ENSEMBLE]


#: Most rows, and most tables, that count as few.
_FEW = 256


@dataclass
class Report:
    """The extent of a verification, and its findings."""

    shards: int = 0
    rows: int = 0
    recomputed: int = 0  #: number of recomputed draws
    rounded: int = 0  #: number of these that are equal up to rounding only, as another BLAS or version made them
    skipped: int = 0  #: number of draws that a GPU made and that are not recomputed, as there is none here
    points: int = 0  #: number of points that stored specs ask for
    satisfied: int = 0  #: number of these with min_draws draws of all layers
    tables: int = 0  #: number of tables of experiments
    tables_recomputed: int = 0  #: number of recomputed tables
    tables_rounded: int = 0  #: number of these that are equal up to rounding only, as another BLAS or version made them
    tables_skipped: int = 0  #: number of tables that cannot be compared here
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  #: not faults of the store, but they disturb other readers

    @property
    def damage(self) -> list[Finding]:
        """Findings that are damage."""
        return [finding for finding in self.findings if finding.kind not in ("unfinished", "leftover")]

    def document(self) -> dict[str, object]:
        """Return the report as plain data."""
        return {"sound": not self.damage, **asdict(self)}


def verify(store: Store, draws: int = 0, makers: Makers | None = None, requests_of: RequestsOf | None = None) -> Report:
    """Read every byte of a store, and look for rows that are torn, foreign, repeated or missing.

    Shards that someone removed are noticed by their commit's number (`rmtsim.store.commits`), until the next writer
    records that they are gone, and its sweep makes their draws again. Not noticed are missing shards of formats 2 and
    3, which have no number, and the very last commits of a writer that was killed.

    Parameters
    ----------
    store
        The store.
    draws
        Number of stored draws, chosen at random, that are recomputed and compared; of repeated draws, if there are any.
    makers
        Functions that make tables of experiments, by their paths; ``draws`` of them are recomputed, too.
    requests_of
        Returns the draws that a stored spec asks for at least, such as `rmtsim.sweeps.spec.requests_of`; by default
        specs ask for none.
    """
    while True:
        try:
            report = _verify(store, draws, makers or {}, requests_of or _no_requests)
        except VanishedError:  # compaction has put others in its place meanwhile
            continue
        _note_writer(report, store)
        return report


def _no_requests(_document: Mapping[str, Any]) -> Sequence[Request]:
    return ()


def _verify(store: Store, draws: int, makers: Makers, requests_of: RequestsOf) -> Report:
    report, specs, names = Report(), [], None
    last = _commits(store).last  # first, as a writer may go on
    listed = [Shard(store.files, shard.name) for shard in store.listed()]  # whatever was looked at before
    try:
        specs = store.specs()  # after the shards: a spec is written before its rows
        names = {str(spec["name"]) for spec in specs}
    except StoreError as error:
        report.findings.append(finding_of(error))
    report.findings += strange_files(store)
    report.notes += notes_on_strays(store)
    report.tables, found_in_tables = verify_tables(store)
    report.findings += found_in_tables
    sound, replaced, foreign, rows = _opened(store, listed, names, report)
    for shard in sound:
        if shard.name in replaced:
            what = f"{shard} was replaced by {replaced[shard.name]}, and its compaction killed"
            report.findings.append(Finding("leftover", what, "its rows do not count, and the next writer removes it"))
    try:
        gone = read_commits(store.files).gone  # last, as compaction may go on
    except StoreError as error:
        report.findings.append(finding_of(error))
    else:
        own = [commit_number(shard.name) for shard in listed if shard.name not in foreign]
        there_or_replaced = {*replaced, *(shard.name for shard in listed)}
        report.findings += missing_commits(Commits(max([last, *own]), gone).absent(there_or_replaced))
    counting = [shard for shard in sound if shard.name not in replaced]
    if len(counting) < len(sound):  # rows of shards that were replaced do not count
        rows = _Rows()
        for shard in counting:
            with shard.open() as opened:
                rows.add([opened.read(KEY)])
    there, repeated = rows.all()
    report.rows = rows.number
    report.shards = len(counting)
    report.findings += duplicated(store, counting, repeated, draws)
    requests = dict(_requests(report, store, specs, requests_of))
    report.findings += _unfinished(there, requests)
    report.findings += _below_least(report, there, requests)
    if draws and there:  # of those that stand twice, if any: which is right?
        _recompute(report, counting, repeated or there, draws)
    _recompute_tables(report, store, makers, draws)
    return report


class _Opened(NamedTuple):
    """Shards that can be read, those that others replace with their names, and the names of those of other stores.

    ``rows`` are those of all that can be read.
    """

    sound: list[Shard]
    replaced: dict[str, str]
    foreign: set[str]
    rows: _Rows


def _opened(store: Store, listed: Sequence[Shard], names: set[str] | None, report: Report) -> _Opened:
    """Open every shard; report those that cannot be read, and what is strange inside."""
    opened_ones = _Opened([], {}, set(), _Rows())
    for shard in listed:
        try:
            with shard.open() as opened:
                keys = list[pa.Table]()
                found = list(_inside(shard, opened, names, keys))
                opened_ones.replaced.update(dict.fromkeys(opened.replaces, shard.name))
        except StoreError as error:
            if isinstance(error, VanishedError) and shard.name not in store.files.names("draws"):
                raise
            report.findings.append(finding_of(error))
            if isinstance(error, ForeignError):
                opened_ones.foreign.add(shard.name)
        else:
            if found:
                opened_ones.foreign.add(shard.name)
            report.findings += found
            opened_ones.sound.append(shard)
            opened_ones.rows.add(keys)
    return opened_ones


def _note_writer(report: Report, store: Store) -> None:
    """Note a writer at work, and take the advice to run again from unfinished findings."""
    unfinished = [finding for finding in report.findings if finding.kind == "unfinished"]
    if unfinished and (writer := who_writes(store.files)):
        report.notes.append(f"{store.location} is being written by {writer}; it goes on by itself")
        for finding in unfinished:
            report.findings[report.findings.index(finding)] = replace(finding, advice="a writer is at work")


def _commits(store: Store) -> Commits:
    try:
        return read_commits(store.files)
    except StoreError:  # it is reported later
        return Commits()


class _Rows:
    """The rows that count: how many they are, which draws they have, and which of these they repeat."""

    def __init__(self) -> None:
        self.number = 0
        self._there, self._repeated = Coverage(), Coverage()
        self._waiting: list[pa.Table] = []  # those of small shards are looked at together
        self._held = 0

    def add(self, keys: Iterable[pa.Table]) -> None:
        """Add the keys of a shard's rows."""
        for table in keys:
            self._waiting.append(table)
            self._held += table.num_rows
        if self._held > GATHERED or len(self._waiting) > _FEW:
            self.all()

    def all(self) -> tuple[Coverage, Coverage]:
        """Return the draws that are there, and those that are repeated."""
        if self._waiting:
            keys = pa.concat_tables(self._waiting)
            self._repeated.add(keys.filter(pa.array(self._there.add(keys))))
            self.number += keys.num_rows
            self._waiting, self._held = [], 0
        return self._there, self._repeated


def _inside(shard: Shard, opened: OpenShard, specs: set[str] | None, keys: list[pa.Table]) -> Iterator[Finding]:
    """Read a shard to its last row, which checks its checksums, and compare it with its sweep; append its keys."""
    for piece in opened.pieces():
        for row in _points_of(piece):
            yield from _check_point(shard, row)
        keys.append(piece.select(KEY))
    name = opened.sweep
    if name is not None and specs is not None and name not in specs:
        what = f"{shard} is of the sweep {name}, which was not run into this store"
        advice = "its rows are sound, and `rmtsim merge` of the store that they are from brings the spec too"
        yield Finding("foreign", what, advice)


def _points_of(rows: pa.Table) -> list[dict[str, Any]]:
    """Return the points of rows, each once."""
    rows = rows.select(_POINT)
    if rows.num_rows > _FEW:
        rows = rows.group_by(_POINT).aggregate([])  # which takes longer than a few rows do by themselves
    return [*{tuple(row.values()): row for row in rows.to_pylist()}.values()]


def _check_point(shard: Shard, row: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        right = stored_point(row).id == row["point_id"]
    except (ArithmeticError, TypeError, ValueError):
        right = False
    if not right:
        advice = "remove it and run its spec again"
        yield Finding("foreign", f"{shard} holds a point {row['point_id']} that its sizes do not make", advice)


def _requests(
    report: Report, store: Store, specs: Sequence[Mapping[str, Any]], requests_of: RequestsOf
) -> Iterator[tuple[str, Sequence[Request]]]:
    """Yield the name of each stored spec, and what it asks for; documents that are no specs become findings."""
    for document in specs:
        name = str(document["name"])
        try:
            yield name, requests_of(document)
        except InputError as error:
            what = f"{store.files.where(f'sweeps/{name}.json')} is not a valid spec ({error})"
            report.findings.append(Finding("torn", what, "remove it and run its spec again"))


def _below_least(report: Report, there: Coverage, requests: Mapping[str, Sequence[Request]]) -> Iterator[Finding]:
    """Count the points that specs ask for; yield for each spec how many of its have fewer than min_draws draws."""
    satisfied: dict[tuple[str, int], bool] = {}
    for name, points in requests.items():
        lacking = 0
        for point in points:
            enough = point.is_met(there)
            lacking += not enough
            key = point.point_id, point.seed
            satisfied[key] = satisfied.get(key, True) and enough
        if lacking:
            has = "has" if lacking == 1 else "have"
            which = number_of(lacking, "point") if len(points) == 1 else f"{lacking} of the {len(points)} points"
            what = f"{which} of {name} {has} fewer than {number_of(points[0].min_draws, 'draw')}"
            yield Finding("unfinished", what, _AGAIN)
    report.points, report.satisfied = len(satisfied), sum(satisfied.values())


def _unfinished(there: Coverage, requests: Mapping[str, Sequence[Request]]) -> Iterator[Finding]:
    """Yield gaps in the draws of a point, and draws without some of the layers that others or all specs have."""
    asked: dict[tuple[str, int], set[str]] = {}
    for request in (request for points in requests.values() for request in points):
        key, layers = (request.point_id, request.seed), set(request.layers)
        asked[key] = asked[key] & layers if key in asked else layers  # a sweep may measure fewer layers than another
    drawn: dict[tuple[str, int], RangeSet] = {}
    layers_of: dict[tuple[str, int], set[str]] = {}
    for (point, seed, layer), runs in there.items():
        layers_of.setdefault((point, seed), set()).add(layer)
        for run in runs:
            drawn.setdefault((point, seed), RangeSet()).add(run)
    for (point, seed), draws in sorted(drawn.items()):
        where, end = f"point {point}, seed {seed}", max(run.stop for run in draws)
        if gaps := draws.gaps(range(end)):
            what = f"{where}: {list_ranges('draw', gaps)} of 0 to {end - 1} not there yet"
            yield Finding("unfinished", what, _AGAIN)
        everywhere = asked.get((point, seed), set())
        for layer in sorted(layers_of[point, seed] | everywhere):
            has = there.get(Series(point, seed, layer), RangeSet())
            last = end if layer in everywhere else max(run.stop for run in has)
            lacking = [gap for run in draws.within(range(last)) for gap in has.gaps(run)]
            if lacking:
                what = f"{where}: layer {layer} in {list_ranges('draw', lacking)} not there yet"
                yield Finding("unfinished", what, _AGAIN)


def _recompute(report: Report, shards: Sequence[Shard], there: Coverage, draws: int) -> None:
    for comparison in recompute(shards, there, draws):
        report.recomputed += comparison.verdict != "skipped"
        report.rounded += comparison.verdict == "rounded"
        report.skipped += comparison.verdict == "skipped"
        if comparison.verdict == "wrong":
            what = f"{comparison.shard}: {comparison.draw} has other values than the same draw made now"
            report.findings.append(Finding("wrong", what, "remove it and run its spec again"))


def _recompute_tables(report: Report, store: Store, makers: Makers, count: int) -> None:
    for path, verdict in recompute_tables(store, makers, count):
        report.tables_recomputed += verdict != "skipped"
        report.tables_rounded += verdict == "rounded"
        report.tables_skipped += verdict == "skipped"
        if verdict == "wrong":
            what = f"{store.files.where(path)} has other values than the same table made now"
            report.findings.append(Finding("wrong", what, "remove it and run its experiment again"))
