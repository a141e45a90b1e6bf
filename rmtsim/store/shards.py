"""Shards: the Parquet files of a store, their metadata, and the formats that are read.

A shard's rows are sorted by point, seed, draw and layer. Its name has a digest of its bytes, which is checked before
the content is used; its pages have checksums, which are checked whenever they are read. Shards of earlier formats have
no digest: every row group of them is read, whatever the statistics say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rmtsim.errors import short_of_threads
from rmtsim.model.ensemble import LAWS, LECUN
from rmtsim.sampling.schema import KEY, SCHEMA
from rmtsim.store import core_time
from rmtsim.store.core_time import CoreTime
from rmtsim.store.failures import FAILURES, StoreError, TornError, UnreadableError, advice, refusal
from rmtsim.store.shard_checks import check_bytes, check_content, check_draws, check_format, check_name
from rmtsim.store.shard_names import ShardName, parse_name
from rmtsim.store.storage import Files
from rmtsim.text.json_text import parse_json

#: Columns that shards of a format may lack, with the value that their rows then have.
_GAUSSIAN = {name: getattr(LECUN, name) for name in LAWS}
_LACKS: dict[str, dict[str, Any]] = {
    "2": {"weights_per_draw": 1, **asdict(LECUN)},
    **{earlier: {"weights_per_draw": 1, **_GAUSSIAN} for earlier in ("3", "4", "5")},
    "6": _GAUSSIAN,
}

#: Most rows that are read by one thread alone: sharing them out would take longer.
_FEW = 10_000


_CORE_TIME = f"rmtsim.{core_time.KEY}".encode()


@dataclass(frozen=True)
class Shard:
    """A shard of a store.

    Attributes
    ----------
    files, name
        The files of the store, and the name: the shard is ``draws/NAME``.
    checked
        Shards whose content was checked against their names, which is not repeated while they do not change.
    """

    files: Files
    name: str
    checked: set[tuple[str, object]] = field(default_factory=set, compare=False, repr=False)

    def __str__(self) -> str:
        return self.files.where(self.path)

    def __fspath__(self) -> str:
        return str(self)

    @property
    def path(self) -> str:
        """Its path in the store."""
        return f"draws/{self.name}"

    @property
    def order(self) -> tuple[int, str]:
        """Sort key: commits in order, after shards of older formats by name."""
        return self._parts.number if self._parts else 0, self.name

    @cached_property
    def _parts(self) -> ShardName | None:
        return parse_name(self.name)

    @property
    def compacted(self) -> bool:
        """Whether compaction made it."""
        return bool(self._parts and self._parts.compacted)

    @property
    def digest(self) -> str:
        """Digest of its bytes, from its name; "" for shards of earlier formats, which have none."""
        return self._parts.digest if self._parts else ""

    def open(self) -> OpenShard:
        """Open it for reading, as a context manager; raises StoreError if it is not readable here."""
        return OpenShard(self)


class OpenShard:
    """A shard that is being read.

    Attributes
    ----------
    shard
        The shard.
    metadata
        Its metadata, without the prefix ``rmtsim.`` of the keys, and without `core_time`, which may be long.
    """

    metadata: dict[str, str]

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        with self._readable(opening=True):
            self._source = shard.files.open(shard.path)
        try:
            with self._readable(opening=True):
                state = shard.files.state(shard.path)
                known = state is not None and (shard.name, state) in shard.checked
                if not known:
                    check_bytes(str(shard), shard.digest, self._source)
            with self._readable():
                self._file = pq.ParquetFile(self._source, page_checksum_verification=True)
                schema = self._file.schema_arrow
                self._place = schema.names.index("point_id") if "point_id" in schema.names else -1
                found = schema.metadata or {}
                self.metadata = {
                    key.decode().removeprefix("rmtsim."): value.decode(errors="replace")
                    for key, value in found.items()
                    if key.startswith(b"rmtsim.") and key != _CORE_TIME
                }
            check_format(str(shard), self.metadata)
            check_name(str(shard), shard.name, self.metadata)
            may_lack = _LACKS.get(self.format, {})
            absent = [name for name in SCHEMA.names if name not in schema.names]
            self._lacking = {name: may_lack[name] for name in absent if name in may_lack}
            if lost := [name for name in absent if name not in may_lack]:
                raise StoreError(f"store: {shard} has no column {lost[0]}; remove it and run its spec again")
            if not known:
                check_draws(str(shard), shard.name, lambda: self.read(KEY))
                shard.checked.add((shard.name, state))
        except BaseException:
            self._source.close()
            raise

    def __enter__(self) -> OpenShard:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    @property
    def num_rows(self) -> int:
        """Number of its rows."""
        return int(self._file.metadata.num_rows)

    @property
    def format(self) -> str:
        """Version of its layout."""
        return str(self.metadata["format"])

    @property
    def complete(self) -> bool:
        """Whether it has every column, so that other readers see them too."""
        return not self._lacking

    @property
    def origin(self) -> dict[str, str]:
        """The part of the metadata that describes its rows, and so holds for them in any shard."""
        own = ("commit", "format", "replaces")
        return {f"rmtsim.{key}": value for key, value in self.metadata.items() if key not in own}

    @property
    def core_time(self) -> CoreTime:
        """What its draws took, as far as it is known."""
        found = self._file.schema_arrow.metadata or {}
        return CoreTime.parse(found.get(_CORE_TIME, b"{}").decode(errors="replace"))

    @property
    def replaces(self) -> list[str]:
        """Names of the shards that it replaces: they do not count any more, whether they still exist or not."""
        with self._readable():
            names = parse_json(self.metadata.get("replaces", "[]"))
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("what it replaces is not a list of names")
        return [str(name) for name in names]

    @property
    def sweep(self) -> str | None:
        """Name of the spec that its rows were made for."""
        return _name_of(self.metadata.get("spec", "{}"))

    def read(self, columns: Collection[str] = SCHEMA.names, points: Collection[str] | None = None) -> pa.Table:
        """Read columns, in the order of the schema, of all its rows or those of some points, without metadata."""
        parts = list(self.pieces(columns, points))
        return pa.concat_tables(parts) if parts else _schema_of(frozenset(columns)).empty_table()

    def pieces(
        self, columns: Collection[str] = SCHEMA.names, points: Collection[str] | None = None, *, sift: bool = True
    ) -> Iterator[pa.Table]:
        """Like `read`, a row group at a time; groups that reliable statistics rule out are not read.

        Without ``sift`` a group may bring rows of other points, for a caller that sifts many small ones together.
        """
        schema = _schema_of(frozenset(columns))
        wanted = None if points is None else _sorted(frozenset(points))
        stored = [name for name in schema.names if name not in self._lacking]
        reads = stored if wanted is None or "point_id" in stored else ["point_id", *stored]
        for group in range(self._file.num_row_groups):
            if wanted is not None and not self._may_hold(group, wanted.names):
                continue
            with self._readable():
                table = self._file.read_row_group(group, columns=reads, use_threads=self.num_rows > _FEW)
                if not self.shard.digest:
                    check_content(table)
                if wanted is not None and sift:
                    table = rows_of(table, frozenset(points or ()))
                for name in set(schema.names) & self._lacking.keys():
                    value = pa.scalar(self._lacking[name], schema.field(name).type)
                    table = table.append_column(name, pa.repeat(value, table.num_rows))
                table = table.replace_schema_metadata(None)
                if not table.schema.equals(schema):
                    table = table.select(schema.names).cast(schema)
            yield table

    def _may_hold(self, group: int, points: list[str]) -> bool:
        if not self.shard.digest:  # a bit of the statistics may have flipped
            return True
        statistics = self._file.metadata.row_group(group).column(self._place).statistics
        if statistics is None or not statistics.has_min_max:
            return True
        next_one = bisect_left(points, statistics.min)
        return next_one < len(points) and points[next_one] <= statistics.max

    @contextmanager
    def _readable(self, *, opening: bool = False) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise VanishedError(self.shard) from error
        except MemoryError as error:
            raise UnreadableError(f"store: {self.shard} cannot be read (not enough memory); try again") from error
        except (*FAILURES, ArithmeticError, LookupError, TypeError, ValueError) as error:
            refused = isinstance(error, OSError) and error.errno
            if opening or refused or short_of_threads(error):  # the system's word, not that of its content
                raise UnreadableError(
                    f"store: {self.shard} cannot be read ({refusal(error)}); {advice(error)}"
                ) from error
            if self.shard.digest and isinstance(error, NotImplementedError):  # its bytes were found right
                what = f"{self.shard} is sound, and cannot be read ({refusal(error)})"
                raise UnreadableError(f"store: {what}; use another version of pyarrow") from error
            raise TornError(
                f"store: {self.shard} cannot be read ({refusal(error)}); remove it and run its spec again"
            ) from error


class VanishedError(StoreError):
    """A shard that was listed does not exist any more, as after compaction."""

    def __init__(self, shard: Shard) -> None:
        super().__init__(f"store: {shard} was removed while it was to be read; try again")
        self.shard = shard


def rows_of(table: pa.Table, points: frozenset[str] | None) -> pa.Table:
    """Return the rows of some points; without any named, all."""
    return table if points is None else table.filter(pc.is_in(table["point_id"], _sorted(points).array))


class _Points(NamedTuple):
    names: list[str]  # in order
    array: pa.Array


@lru_cache(maxsize=4)
def _sorted(points: frozenset[str]) -> _Points:
    names = sorted(points)
    return _Points(names, pa.array(names, pa.string()))


@lru_cache(maxsize=16)  # shards of a sweep have the same spec, which takes longer to read than a small shard
def _name_of(spec: str) -> str | None:
    """Return the name of a spec, which is JSON; None where it has none."""
    with suppress(ValueError):
        document = parse_json(spec)
        if isinstance(document, dict) and isinstance(document.get("name"), str):
            return str(document["name"])
    return None


@lru_cache(maxsize=64)
def _schema_of(columns: frozenset[str]) -> pa.Schema:
    return pa.schema([SCHEMA.field(name) for name in SCHEMA.names if name in columns])


def replaced_by(shards: Iterable[Shard], known: dict[str, list[str]] | None = None) -> dict[str, str]:
    """Return the names of shards that others replace, each with the name of the shard that replaces it.

    ``known`` keeps what the shards replace, by their names, for the next time.
    """
    known = {} if known is None else known
    found: dict[str, str] = {}
    for shard in shards:
        if shard.compacted:
            if shard.name not in known:
                with shard.open() as opened:
                    known[shard.name] = opened.replaces
            found |= dict.fromkeys(known[shard.name], shard.name)
    return found
