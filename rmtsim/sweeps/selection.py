"""Selection of draws of a store by an expression on their columns, by a sweep, or by a seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from rmtsim.errors import InputError
from rmtsim.sampling.schema import ENSEMBLE_NAMES, ENSEMBLE_NUMBERS
from rmtsim.stats.conditions import Condition
from rmtsim.stats.summary import in_order, summarize
from rmtsim.store import Store
from rmtsim.store.whole_points import whole_points
from rmtsim.sweeps.reading import read_states
from rmtsim.sweeps.spec import Spec, from_document
from rmtsim.text.words import number_of

#: Columns of numbers and of text that an expression may name: those that identify a row's point, layer and seed.
_NUMBERS = ("n_classes", "dim", "n_samples", "width", "aspect_ratio", *ENSEMBLE_NUMBERS, "seed")
_TEXTS = ("model", "loss", "layer", *ENSEMBLE_NAMES, "point_id")

#: Most values that a message lists.
_MOST_LISTED = 12


def condition_on_draws(text: str, name: str = "--where") -> Condition:
    """Return the condition of a ``--where`` on draws; ``name`` is what it was given by, for messages."""
    return Condition(text, _NUMBERS, _TEXTS, name)


@dataclass(frozen=True)
class SweepDraws:
    """Which draws of a store are those of a sweep: what `rmtsim status` counts, and not what others have beyond it.

    Attributes
    ----------
    ends
        For each of its points, the number of draws that it ended with; infinity where it has not ended.
    seed, layers
        The seed of its draws, and its layers.
    """

    ends: Mapping[str, float]
    seed: int
    layers: tuple[str, ...]

    def rows(self, table: pd.DataFrame) -> pd.Series[bool]:
        """Return which rows of a table are of the sweep."""
        ends = table["point_id"].map(self.ends).astype(float)  # NaN, before which no draw is, for other points
        wanted = table["draw"] < ends
        return wanted & (table["seed"] == self.seed) & table["layer"].isin(self.layers)


@dataclass(frozen=True)
class Selection:
    """A selection of draws: by a condition, the name of a sweep that the store keeps, and a seed; by default all.

    Attributes
    ----------
    condition, sweep, seed
        What selects; None where all are taken.
    dashes
        What stands before the names of these in messages: the dashes of an option, or nothing where Python gave them.
    """

    condition: Condition | None = None
    sweep: str | None = None
    seed: int | None = None
    dashes: str = "--"

    @classmethod
    def of(cls, where: str | None, sweep: str | None, seed: int | None, dashes: str = "--") -> Selection:
        """Return the selection that a user made; raise InputError if ``where`` is not an expression."""
        condition = None if where is None else condition_on_draws(where, f"{dashes}where")
        return cls(condition, sweep, seed, dashes)

    @property
    def options(self) -> list[str]:
        """The options that were given."""
        given = {"where": self.condition, "sweep": self.sweep, "seed": self.seed}
        return [f"{self.dashes}{option}" for option, value in given.items() if value is not None]

    def of_sweep(self, store: Store) -> SweepDraws | None:
        """Return which draws are those of the sweep, for which the store is read; None without one.

        Raises
        ------
        InputError
            If the store has no sweep of that name, or draws of it that were made in another way.
        """
        if self.sweep is None:
            return None
        spec = _stored_spec(store, self.sweep, f"{self.dashes}sweep")
        ends = {state.point.id: state.prefix if state.finished else math.inf for state in read_states(spec, store)}
        return SweepDraws(ends, spec.sampling.seed, spec.layers)

    def rows(self, table: pd.DataFrame, of_sweep: SweepDraws | None = None) -> pd.DataFrame:
        """Return the selected rows of a table; ``of_sweep`` says which are those of the sweep."""
        if of_sweep is not None:
            table = table[of_sweep.rows(table)]
        if self.seed is not None:
            table = table[table["seed"] == self.seed]
        if self.condition is not None:
            table = table[self.condition.rows(table)]
        return table.reset_index(drop=True)

    def read(self, store: Store, say: Callable[[str], None] | None = None) -> pd.DataFrame:
        """Read the selected draws.

        Parameters
        ----------
        store
            The store.
        say
            Called with a sentence where points have draws of several seeds.

        Raises
        ------
        InputError
            If there are none.
        """
        of_sweep, pooled = self.of_sweep(store), _Pooled()
        rows = self.rows(store.read(points=None if of_sweep is None else of_sweep.ends), of_sweep)
        if rows.empty:
            raise self.nothing(store)
        pooled.look(rows)
        pooled.tell(say, self.dashes)
        return rows

    def summary(self, store: Store, say: Callable[[str], None] | None = None) -> pd.DataFrame:
        """Return `rmtsim.summarize` of the selected draws, which are not all held in memory; see `read`."""
        found = self.means(store, self.of_sweep(store), say)
        if found is None:
            raise self.nothing(store)
        return found

    def means(
        self, store: Store, of_sweep: SweepDraws | None, say: Callable[[str], None] | None = None
    ) -> pd.DataFrame | None:
        """Return the same as `summary`, and None where no draw is selected; ``of_sweep`` as for `rows`."""
        pooled, parts = _Pooled(), list[pd.DataFrame]()
        for part in whole_points(store, None if of_sweep is None else of_sweep.ends):
            if len(rows := self.rows(part, of_sweep)):
                parts.append(summarize(rows))
                pooled.look(rows)
        pooled.tell(say, self.dashes)
        return in_order(pd.concat(parts, ignore_index=True)) if parts else None

    def nothing(self, store: Store) -> InputError:
        """Return the error for an empty selection."""
        if not self.options:
            return InputError(f"{self.dashes}store: {store.location} holds no draws; run a sweep into it first")
        given, instead = " and ".join(self.options), self._instead(store)
        return InputError(
            f"{given}: {store.location} has no such draws{instead}; give other values, or leave out {given}"
        )

    def _instead(self, store: Store) -> str:
        """Return what there is of each kind that is selected by, as "; it has draws of the seeds 1 and 2"."""
        named = [] if self.condition is None else self.condition.columns
        columns = [*dict.fromkeys(["point_id", "seed", "layer", *named])]
        distinct = [table.group_by(columns).aggregate([]) for table in store.tables(columns)]
        if not sum(map(len, distinct)):
            return "; it has no draws at all"
        table = pa.concat_tables(distinct).group_by(columns).aggregate([])
        there = []
        if self.sweep is not None:
            series = table.select(["point_id", "seed", "layer"]).to_pandas()
            sweeps = [str(document["name"]) for document in store.specs() if _has_draws(document, series)]
            there.append(_listed("the sweep", sweeps) if sweeps else "no sweep that it keeps")
        if self.seed is not None:
            there.append(_listed("the seed", table["seed"].to_pylist()))
        there += [_listed(name, table[name].drop_null().to_pylist(), plural="") for name in named]
        return f"; it has draws of {', and of '.join(there)}" if there else ""


class _Pooled:
    """Notes which points have draws of several seeds: independent ones, which are pooled into one estimate."""

    def __init__(self) -> None:
        self._points, self._seeds = 0, set[int]()

    def look(self, rows: pd.DataFrame) -> None:
        """Look at rows of whole points."""
        of_means = rows.groupby(["point_id", "layer"], sort=False)["seed"]
        if (several := of_means.transform("nunique") > 1).any():
            self._points += int(rows.loc[several, "point_id"].nunique())
            self._seeds.update(map(int, rows.loc[several, "seed"].unique()))

    def tell(self, say: Callable[[str], None] | None, dashes: str) -> None:
        """Say it, where there are any."""
        if say and self._points:
            *others, last = map(str, sorted(self._seeds))
            have = "has" if self._points == 1 else "have"
            say(
                f"{number_of(self._points, 'point')} {have} draws of the seeds {', '.join(others)} and {last}, which "
                f"are pooled; {dashes}seed or {dashes}sweep takes those of one"
            )


def _has_draws(document: Mapping[str, Any], series: pd.DataFrame) -> bool:
    """Return whether a table of point_id, seed and layer has draws of a sweep; False where its spec is not valid."""
    try:
        spec = from_document(document)
    except InputError:
        return False
    ends = {point.id: math.inf for point in spec.points()}
    return bool(SweepDraws(ends, spec.sampling.seed, spec.layers).rows(series.assign(draw=0)).any())


def _listed(kind: str, values: Iterable[Any], plural: str = "s") -> str:
    """Return a kind and its values, as "the seeds 1 and 2"; of many the first and the last."""
    texts = [str(value) for value in sorted(set(values))]
    if len(texts) > _MOST_LISTED:
        return f"{kind}{plural} {texts[0]}, {texts[1]}, …, {texts[-1]} ({len(texts)} in all)"
    if len(texts) > 1:
        return f"{kind}{plural} {', '.join(texts[:-1])} and {texts[-1]}"
    return f"{kind} {texts[0]}" if texts else f"no {kind}"


def _stored_spec(store: Store, name: str, option: str) -> Spec:
    documents = {str(document["name"]): document for document in store.specs()}
    if name not in documents:
        known = ", ".join(documents) or "none at all"
        raise InputError(f"{option}: {store.location} keeps no sweep {name!r}; those that it keeps: {known}")
    try:
        return from_document(documents[name])
    except InputError as error:
        where = store.files.where(f"sweeps/{name}.json")
        raise InputError(
            f"{option}: {where} is not a valid spec ({error}); run its spec again, or leave {option} out"
        ) from None
