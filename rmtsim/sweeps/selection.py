"""Selection of draws of a store by an expression on their columns, by a sweep, or by a seed."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.sampling.schema import ENSEMBLE_NAMES, ENSEMBLE_NUMBERS
from rmtsim.stats.conditions import Condition
from rmtsim.stats.summary import in_order, summarize
from rmtsim.store import Store
from rmtsim.store.whole_points import whole_points
from rmtsim.sweeps.spec import Spec, from_document

#: Columns of numbers and of text that an expression may name: those that identify a row's point, layer and seed.
_NUMBERS = ("n_classes", "dim", "n_samples", "width", "aspect_ratio", *ENSEMBLE_NUMBERS, "seed")
_TEXTS = ("model", "loss", "layer", *ENSEMBLE_NAMES, "point_id")


def condition_on_draws(text: str, name: str = "--where") -> Condition:
    """Return the condition of a ``--where`` on draws; ``name`` is what it was given by, for messages."""
    return Condition(text, _NUMBERS, _TEXTS, name)


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

    def of_sweep(self, store: Store) -> tuple[set[str], int] | None:
        """Return points and seed of the sweep; None without one.

        Raises
        ------
        InputError
            If the store has no sweep of that name.
        """
        if self.sweep is None:
            return None
        spec = _stored_spec(store, self.sweep, f"{self.dashes}sweep")
        return {point.id for point in spec.points()}, spec.sampling.seed

    def rows(self, table: pd.DataFrame, of_sweep: tuple[set[str], int] | None = None) -> pd.DataFrame:
        """Return the selected rows of a table; ``of_sweep`` has points and seed of the sweep."""
        if of_sweep is not None:
            points, seed = of_sweep
            table = table[table["point_id"].isin(points) & (table["seed"] == seed)]
        if self.seed is not None:
            table = table[table["seed"] == self.seed]
        if self.condition is not None:
            table = table[self.condition.rows(table)]
        return table.reset_index(drop=True)

    def read(self, store: Store) -> pd.DataFrame:
        """Read the selected draws.

        Raises
        ------
        InputError
            If there are none.
        """
        of_sweep = self.of_sweep(store)
        rows = self.rows(store.read(points=None if of_sweep is None else of_sweep[0]), of_sweep)
        if rows.empty:
            raise self.nothing(store)
        return rows

    def summary(self, store: Store) -> pd.DataFrame:
        """Return `rmtsim.summarize` of the selected draws, which are not all held in memory.

        Raises
        ------
        InputError
            If there are none.
        """
        of_sweep = self.of_sweep(store)
        parts = [summarize(rows) for rows in (self.rows(part, of_sweep) for part in whole_points(store)) if len(rows)]
        if not parts:
            raise self.nothing(store)
        return in_order(pd.concat(parts, ignore_index=True))

    def nothing(self, store: Store) -> InputError:
        """Return the error for an empty selection."""
        if not self.options:
            return InputError(f"{self.dashes}store: {store.location} holds no draws; run a sweep into it first")
        given = " and ".join(self.options)
        return InputError(
            f"{given}: {store.location} has no such draws; give other values, or leave out {given}; "
            f"`rmtsim status --store {store.quoted}` shows what it has"
        )


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
