"""Union of stores, for example of sweeps on two clusters, by point, seed, draw and layer."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from rmtsim.errors import InputError
from rmtsim.sampling.schema import KEY
from rmtsim.store.ahead import open_ahead
from rmtsim.store.commits import Commits, read_commits
from rmtsim.store.core_time import CoreTime
from rmtsim.store.coverage import Coverage
from rmtsim.store.experiment_tables import FOLDER, copy_tables, lacking_tables, specs, tables, write_spec
from rmtsim.store.failures import TornError
from rmtsim.store.recompute import agreement, same_bits
from rmtsim.store.repeated_rows import repeated_rows
from rmtsim.store.shard_files import ROWS, encoded, sort
from rmtsim.store.shard_names import commit_number
from rmtsim.store.shards import Shard, replaced_by
from rmtsim.store.storage import LocalFiles
from rmtsim.store.store import Store
from rmtsim.store.writer import Writer
from rmtsim.text.words import list_ranges, name_row

_log = logging.getLogger(__name__)

#: Columns that say how values were made, in which the draws of a point and seed agree; in some only those of a layer.
_MEANING, _OF_LAYER = ["backend", "dtype", "classes", "weights_per_draw"], ("classes", "weights_per_draw")

#: Most characters of a spec's name.
_NAME = 64

#: Raises InputError if the document of a sweep's spec is no such spec.
SpecCheck: TypeAlias = Callable[[Mapping[str, Any]], object]

#: Returns the specs of a store.
_SpecsOf: TypeAlias = Callable[[Store], list[dict[str, Any]]]


class Merged(NamedTuple):
    """The outcome of a merge."""

    rows: int  #: number of rows that the store lacked
    known: int  #: number of rows that it had, or that an earlier source brought
    specs: int  #: number of specs that it lacked
    rounded: int  #: number of rows that it had with values equal up to rounding, made by another BLAS or version
    tables: int = 0  #: number of tables of experiments that it lacked


def merge(sources: Sequence[str | os.PathLike[str]], into: Store, check_spec: SpecCheck | None = None) -> Merged:
    """Add to a store what it lacks of others, which stay as they are. A repeat adds nothing and touches no file.

    Parameters
    ----------
    sources
        Locations of the other stores.
    into
        The store.
    check_spec
        Checks each spec of a sweep, such as `rmtsim.sweeps.spec.requests_of`; by default none is checked.

    Raises
    ------
    InputError
        If a source is not a store, or its rows contradict rows of the same key; nothing is then written.
    StoreError
        If a store cannot be read or written; what was there is safe, and the same merge goes on.
    """
    stores = [*{_place(store): store for store in map(Store, sources)}.values()]  # one that is named twice is one
    for store in stores:
        if _place(store) == _place(into):
            raise InputError(f"SOURCE: {store.location} is the store itself; give other stores")
        absence = store.absence()
        if absence or not (store.shards() or store.specs() or tables(store)):
            raise InputError(
                f"SOURCE: {absence or f'{store.location} holds no draws'}; give stores that `rmtsim run` wrote"
            )
    sweeps_of = partial(_sweeps, check_spec=check_spec)
    held, known = into.shards(), tables(into)
    found = _check(stores, into, held, sweeps_of)
    for store in stores:
        _warn_of_absent_commits(store)
    lacking, experiments = lacking_tables(stores, into), _new_specs(stores, into, _experiments)
    found = found._replace(tables=len(lacking))
    if not (found.rows or found.specs or lacking or experiments):
        return found
    folders = {path.rpartition("/")[0] for path in lacking} | {f"{FOLDER}/{name}" for _, name, _ in experiments}
    if found.rows or found.specs:
        folders |= {"sweeps", "draws"}
    with into.writer(tuple(sorted(folders))) as writer:
        if into.shards() != held or tables(into) != known:  # another writer was before us
            lacking = lacking_tables(stores, into)
            found = _check(stores, into, into.shards(), sweeps_of)._replace(tables=len(lacking))
        experiments = _new_specs(stores, into, _experiments)
        for document, name, origin in experiments:
            write_spec(writer, name, {key: value for key, value in document.items() if key != "name"})
            _warn_if_renamed(document, name, origin, into)
        copy_tables(lacking, writer)
        if found.rows or found.specs:
            _add_draws(stores, into, writer, sweeps_of)
    return found._replace(specs=found.specs + len(experiments))


def _add_draws(stores: Sequence[Store], into: Store, writer: Writer, sweeps_of: _SpecsOf) -> None:
    """Add the specs and rows of sweeps that a store lacks; the specs come first, so that no rows are without theirs."""
    for document, name, origin in _new_specs(stores, into, sweeps_of):
        writer.save_spec(name, {**document, "name": name})
        _warn_if_renamed(document, name, origin, into)
    seen, joined = Coverage(), _Joined(writer)
    for keys in into.tables(KEY):
        seen.add(keys)
    for store in stores:
        with closing(open_ahead(store.shards())) as ahead:
            for _, opened in ahead:
                core_time = opened.core_time
                for piece in opened.pieces():
                    fresh = piece.filter(pa.array(~seen.add(piece)))
                    if fresh.num_rows:
                        joined.add(opened.origin, fresh, core_time.take(fresh))
    joined.commit()


class _Joined:
    """Rows to be committed: those of one origin become one shard, however many shards they come from."""

    def __init__(self, writer: Writer) -> None:
        self._writer, self._rows = writer, 0
        self._parts: dict[tuple[tuple[str, str], ...], tuple[list[pa.Table], CoreTime]] = {}

    def add(self, origin: Mapping[str, str], rows: pa.Table, taken: CoreTime) -> None:
        """Add rows with the metadata on their origin, and what their draws took."""
        parts, sum_taken = self._parts.setdefault(tuple(origin.items()), ([], CoreTime()))
        parts.append(encoded(rows))
        sum_taken.add_all([taken])
        self._rows += rows.num_rows
        if self._rows >= ROWS:
            self.commit()

    def commit(self) -> None:
        """Commit what was added."""
        for origin, (parts, taken) in self._parts.items():
            together = sort(pa.concat_tables(parts).unify_dictionaries())
            self._writer.commit(together.replace_schema_metadata({**dict(origin), **taken.metadata()}))
        self._parts, self._rows = {}, 0


def _warn_of_absent_commits(store: Store) -> None:
    """Log which commits of a source were removed, so that nobody takes the union for complete."""
    listed = store.listed()
    with suppress(TornError):  # verify reports a damaged record
        commits = read_commits(store.files)
        last = max([commits.last, *(commit_number(shard.name) for shard in listed)])
        absent = Commits(last, commits.gone).absent([*replaced_by(listed), *(shard.name for shard in listed)])
        if absent:
            _log.warning(
                "SOURCE: %s lacks %s, whose shards someone removed; their rows are not merged",
                store.location,
                list_ranges("commit", absent),
            )


def _warn_if_renamed(document: dict[str, Any], name: str, origin: Store, into: Store) -> None:
    if name != document["name"]:
        _log.warning(
            "SOURCE: the spec %s of %s is another than that of %s, and is kept as %s",
            document["name"],
            origin.location,
            into.location,
            name,
        )


def _place(store: Store) -> object:
    """Return a value that is equal for two names of the same place."""
    if isinstance(store.files, LocalFiles):
        return store.files.root.resolve()
    base, _, options = store.files.address.reveal().partition("?")
    return base.rstrip("/"), frozenset(options.split("&"))


def _check(stores: Sequence[Store], into: Store, held: Sequence[Shard], sweeps_of: _SpecsOf) -> Merged:
    """Compare all rows and specs; raise InputError if any contradict each other."""
    new_specs = len(_new_specs(stores, into, sweeps_of))
    shards = [(into, shard) for shard in held] + [(store, shard) for store in stores for shard in store.shards()]
    seen, repeated = Coverage(), Coverage()
    meanings: dict[tuple[Any, ...], tuple[str, str]] = {}
    blas, fresh, known = [], 0, 0
    for store, shard in shards:
        with shard.open() as opened:
            blas.append(opened.metadata.get("blas", "unknown"))
            for piece in opened.pieces({*KEY, *_MEANING}):
                _check_meaning(piece, store, meanings)
                copy = seen.add(piece)
                repeated.add(piece.filter(pa.array(copy)))
                if store is not into:
                    known += int(np.count_nonzero(copy))
                    fresh += int(np.count_nonzero(~copy))
    rounded = 0
    for rows in repeated_rows([shard for _, shard in shards], repeated):
        rounded += _check_values(rows[~rows["equal"]], [store for store, _ in shards], blas)
    return Merged(fresh, known, new_specs, rounded)


def _sweeps(store: Store, check_spec: SpecCheck | None) -> list[dict[str, Any]]:
    """Return the specs of a store; raise StoreError if one is not valid, so that it does not spread."""
    documents = store.specs()
    for document in documents:
        try:
            if check_spec is not None:
                check_spec(document)
        except InputError as error:
            where = store.files.where(f"sweeps/{document['name']}.json")
            raise TornError(
                f"store: {where} is not a valid spec ({error}); remove it and run its spec again"
            ) from error
    return documents


def _experiments(store: Store) -> list[dict[str, Any]]:
    """Return the experiments that were run into a store; their tables stay in the folders that they are in."""
    return [{"name": name, **document} for name, document in specs(store).items()]


def _new_specs(stores: Sequence[Store], into: Store, specs_of: _SpecsOf) -> list[tuple[dict[str, Any], str, Store]]:
    """Return the specs that a store lacks, each with the name to keep it under and the store that it comes from.

    A name that the store has for another spec gets the first free number: NAME-2, NAME-3, and so on.
    """
    known = {document["name"]: document for document in specs_of(into)}
    new = []
    for store in stores:
        for document in specs_of(store):
            name, number = document["name"], 1
            if name in known and any({**other, "name": name} == document for other in known.values()):
                continue
            while name in known:
                number += 1
                ending = f"-{number}"
                name = f"{document['name'][: _NAME - len(ending)]}{ending}"
            known[name] = document
            new.append((document, name, store))
    return new


def _check_meaning(piece: pa.Table, store: Store, meanings: dict[tuple[Any, ...], tuple[str, str]]) -> None:
    """Compare how the rows of each point and seed were made with how earlier rows were."""
    columns = ["point_id", "seed", "layer", *_MEANING]
    for row in piece.group_by(columns).aggregate([]).to_pylist():
        for column in columns[3:]:
            key = (row["point_id"], row["seed"], column, row["layer"] if column in _OF_LAYER else None)
            value, where = meanings.setdefault(key, (str(row[column]), store.location))
            if value == str(row[column]):
                continue
            draws = f"{store.location} has draws of {store.point_in_words(row['point_id'])}, seed {row['seed']}"
            if where == store.location:
                raise InputError(
                    f"SOURCE: {draws}, with {column} {value} and with {row[column]}; give stores that hold one of them"
                )
            raise InputError(
                f"SOURCE: {draws}, with {column} {row[column]}, and {where} with {value}; merge stores that agree in "
                "it, or into another store"
            )


def _check_values(rows: pd.DataFrame, stores: Sequence[Store], blas: Sequence[str]) -> int:
    """Refuse different values of the same key; return how many differ by rounding alone."""
    if rows.empty:
        return 0
    starts = (~rows.duplicated(KEY)).to_numpy()
    first = rows.iloc[np.flatnonzero(starts)[np.cumsum(starts) - 1]].set_index(rows.index)  # of the same key
    equal, near = agreement(rows, first)
    pairs = zip(rows["shard"], first["shard"], strict=True)
    rounding = near & np.array([not same_bits(blas[one], blas[other]) for one, other in pairs])
    wrong = ~(equal | rounding)
    if wrong.any():
        held_by = [(stores[one], stores[other]) for one, other in zip(rows["shard"], first["shard"], strict=True)]
        inside = wrong & np.array([one is other for one, other in held_by])  # of one store: no merge is to blame
        place = int(np.flatnonzero(inside if inside.any() else wrong)[0])
        row, (here, there) = rows.iloc[place], held_by[place]
        if here is there:
            raise here.repeated_row_error(row.to_dict(), equal=False)
        held = name_row(row.to_dict(), here.point_in_words(row["point_id"]))
        raise InputError(
            f"SOURCE: {held}, has other values in {here.location} than in {there.location}; `rmtsim verify --store "
            f"{here.quoted} --recompute 100` may show which are wrong; merge elsewhere meanwhile"
        )
    return int(np.count_nonzero(~equal))
