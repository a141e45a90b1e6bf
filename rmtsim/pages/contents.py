"""What a store holds, as far as a report tells it: read in two passes, without what is damaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from rmtsim.errors import InputError
from rmtsim.pages.stored_experiments import StoredExperiment, stored_experiments
from rmtsim.stats.summary import summarize
from rmtsim.store import Store
from rmtsim.store.ahead import open_ahead
from rmtsim.store.coverage import rows_by_point
from rmtsim.store.findings import Finding
from rmtsim.store.shards import OpenShard
from rmtsim.store.sound_store import SoundStore
from rmtsim.store.store import as_frame
from rmtsim.sweeps.selection import Selection, SweepDraws
from rmtsim.sweeps.spec import Spec, is_sweep
from rmtsim.sweeps.stored_points import StoredPoints, Unnamed

#: Most rows of draws that are kept for the pictures; of more, those of a picture are read again.
_KEPT = 250_000


class Origin(NamedTuple):
    """How rows were made: by which version and kernels, on what, in which arithmetic."""

    version: str
    backend: str
    dtype: str
    blas: str
    numpy: str
    machine: str


@dataclass(frozen=True)
class Contents:
    """What a store holds.

    Attributes
    ----------
    store, selection
        The store without what is damaged, and which of its draws are taken.
    specs
        Its specs of sweeps, those of the selection.
    points
        The points of these sweeps as a table of `rmtsim.sweeps.stored_points.StoredPoints`.
    unnamed
        Its draws that no spec asks for.
    summary
        Means of the selected draws, as `rmtsim.summarize` returns; None where there are no draws.
    origins
        The number of rows of each origin, and that of tables.
    shards, rows
        How much was read.
    experiments
        Its experiments; none where draws are selected.
    findings
        What is damaged or missing.
    """

    store: Store
    selection: Selection
    specs: list[Spec]
    points: pd.DataFrame
    unnamed: Unnamed
    summary: pd.DataFrame | None
    origins: Counter[Origin]
    shards: int
    rows: int
    experiments: list[StoredExperiment]
    findings: list[Finding]
    _kept: pd.DataFrame | None = field(default=None, repr=False)
    _of_sweep: SweepDraws | None = field(default=None, repr=False)

    def draws(self, points: Collection[str]) -> pd.DataFrame:
        """Read the selected draws of some points."""
        if self._kept is not None:
            return self._kept[self._kept["point_id"].isin(points)].reset_index(drop=True)
        return self.selection.rows(self.store.read(points=points), self._of_sweep)


def read_contents(store: Store, selection: Selection) -> Contents:
    """Read what a store holds.

    Raises
    ------
    InputError
        If it holds nothing, or no selected draws; or draws of a sweep were made in another way than its spec says.
    StoreError
        If a server does not answer, or rows stand in it twice.
    """
    sound = SoundStore(store, is_sweep)
    of_sweep = sound.reading(lambda: selection.of_sweep(sound))
    seen = sound.reading(lambda: _Reading(sound))
    sound.note_missing(seen.replaced)
    stored = StoredPoints(sound)
    sound.reading(stored.refresh)
    specs, points, unnamed = [spec for spec, _ in stored.sweeps], stored.table(), stored.unnamed()
    experiments, in_tables = ([], []) if selection.options else stored_experiments(sound)
    summary, kept = _summary(sound, selection, of_sweep, seen)
    findings = [*sound.findings, *in_tables]
    if selection.options:
        if summary is None:
            raise selection.nothing(store)
        specs, points = _selected(selection, of_sweep, specs, points, summary)
        unnamed = Unnamed(0, 0)
    elif summary is None and not specs and not experiments and not findings:
        raise InputError(
            f"{selection.dashes}store: {store.location} holds neither draws nor tables; run a sweep into it first"
        )
    size = {"shards": seen.shards, "rows": sum(seen.points.values())}
    return Contents(
        sound, selection, specs, points, unnamed, summary, seen.origins, **size, experiments=experiments,
        findings=findings, _kept=kept, _of_sweep=of_sweep,
    )  # fmt: skip


class _Reading:
    """A pass over all shards: how their rows were made, how many each point has, and the rows if they are few."""

    def __init__(self, store: Store) -> None:
        self.origins: Counter[Origin] = Counter()
        self.points: Counter[str] = Counter()
        self.replaced: dict[str, str] = {}
        self.tables: list[pa.Table] | None = []
        shards = store.shards()
        self.shards = len(shards)
        for shard, opened in open_ahead(shards):
            if shard.compacted:
                self.replaced |= dict.fromkeys(opened.replaces, shard.name)
            for piece in opened.pieces():
                self._take(piece, opened)

    def _take(self, piece: pa.Table, opened: OpenShard) -> None:
        made = [opened.metadata.get(key, "unknown") for key in ("blas", "numpy", "machine")]
        for row in piece.group_by(["backend", "dtype"]).aggregate([([], "count_all")]).to_pylist():
            version = opened.metadata.get("version", "unknown")
            self.origins[Origin(version, row["backend"], row["dtype"], *made)] += row["count_all"]
        for point, count in rows_by_point(piece):
            self.points[point] += count
        if self.tables is not None:
            self.tables.append(piece)
            if sum(self.points.values()) > _KEPT:
                self.tables = None


def _summary(
    store: Store, selection: Selection, of_sweep: SweepDraws | None, seen: _Reading
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Return the means of the selected draws, and these draws where they are few enough to be kept."""
    if not seen.points:
        return None, None
    if seen.tables is not None:
        kept = selection.rows(as_frame(pa.concat_tables(seen.tables)), of_sweep)
        return (summarize(kept) if len(kept) else None), kept
    return selection.means(store, of_sweep), None


def _selected(
    selection: Selection,
    of_sweep: SweepDraws | None,
    specs: list[Spec],
    points: pd.DataFrame,
    summary: pd.DataFrame,
) -> tuple[list[Spec], pd.DataFrame]:
    """Return the sweeps and the points of them that have selected draws."""
    if points.empty:
        return specs, points
    of_name: Any = True if selection.sweep is None else points["sweep"] == selection.sweep
    of_seed: Any = True if selection.seed is None else points["seed"] == selection.seed
    drawn = points["point_id"].isin(summary["point_id"])
    if of_sweep is not None and selection.condition is None:
        drawn |= points["point_id"].isin(list(of_sweep.ends))  # those without draws, too
    chosen = points[drawn & of_name & of_seed].reset_index(drop=True)
    return [spec for spec in specs if spec.name in set(chosen["sweep"])], chosen
