"""A watch on the sweeps of a store, from the store alone: what is done, how fast it goes, and what is left."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rmtsim.errors import InputError
from rmtsim.model.choices import STATES
from rmtsim.store import Store
from rmtsim.store.failures import StoreError, transient
from rmtsim.sweeps.progress import SPEED_OVER
from rmtsim.sweeps.stored_points import StoredPoints
from rmtsim.text.sizes import format_count, format_seconds
from rmtsim.text.tables import records
from rmtsim.text.words import number_of


@dataclass(frozen=True)
class Chosen:
    """Points that are chosen by their model, number of classes and state; by default all.

    Attributes
    ----------
    models, classes, states
        What points may have; empty where all may be.
    """

    models: Collection[str] = ()
    classes: Collection[int] = ()
    states: Collection[str] = ()

    def __bool__(self) -> bool:
        return bool(self.models or self.classes or self.states)

    def points(self, table: pd.DataFrame, where: str) -> pd.DataFrame:
        """Return the rows of a table of points that have the model and classes, whatever their state.

        Raises
        ------
        InputError
            If there are none, but others.
        """
        for option, column, wanted in (("--model", "model", self.models), ("--classes", "n_classes", self.classes)):
            if wanted and len(table):
                chosen = table[table[column].isin([*wanted])]
                if chosen.empty:
                    there = ", ".join(map(str, sorted(table[column].unique())))
                    given = ", ".join(map(str, wanted))
                    raise InputError(f"{option} {given}: {where} has no such points; those that it has: {there}")
                table = chosen
        return table

    def in_state(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table of points that have the state."""
        return table[table["state"].isin([*self.states])] if self.states and len(table) else table


class Spent(NamedTuple):
    """What points took and will take, in core-seconds."""

    seconds: float  #: of the draws whose time the store has
    untimed_draws: int  #: number of the other draws
    left: float | None  #: of the draws to come; None where the store has no time of any draw

    @classmethod
    def of(cls, points: pd.DataFrame) -> Spent:
        """Return it for a table of `StoredPoints`, a point of several sweeps once."""
        once = _once(points)
        left = float(once["core_seconds_left"].sum(skipna=False))
        untimed = int(once["untimed_draws"].sum())
        return cls(float(once["core_seconds"].sum()), untimed, left if math.isfinite(left) else None)


def core_hours(points: pd.DataFrame) -> str:
    """Return in words what points of a table of `StoredPoints` took and will take."""
    spent = Spent.of(points)
    if spent.left is None:
        return "what draws take is not known"
    without = f" (and {number_of(spent.untimed_draws, 'draw')} whose time is not known)" if spent.untimed_draws else ""
    unknown = spent.untimed_draws and not spent.seconds
    text = "time spent not known" if unknown else f"{format_hours(spent.seconds)} spent{without}"
    return f"{text}, about {format_hours(spent.left)} left" if spent.left else text


@dataclass(frozen=True)
class Look:
    """What a look at a store shows of the chosen points.

    Attributes
    ----------
    time
        When it was, in seconds since 1970.
    points
        The chosen points as a table of `StoredPoints`, those with most work left first.
    finished
        Whether no point of the model and classes wants more draws.
    draws_per_s
        Draws per second over the last minute, or since the watch began; None at the first look.
    seconds_to_go
        Seconds to the end at the speed of that time; None where none is known.
    over
        The seconds of that time.
    """

    time: float
    points: pd.DataFrame
    finished: bool
    draws_per_s: float | None
    seconds_to_go: float | None
    over: float

    @property
    def counts(self) -> dict[str, int]:
        """Number of points in each state."""
        found = self.points["state"].value_counts()
        return {state: int(found.get(state, 0)) for state in STATES}

    @property
    def draws(self) -> int:
        """Draws that count."""
        return int(_once(self.points)["draws"].sum())

    @property
    def open_points(self) -> pd.DataFrame:
        """The points that want more draws, those with most work left first."""
        return self.points[self.points["state"].isin(["partial", "new"])]

    @property
    def share_done(self) -> str:
        """How many points want no more draws, and how many others there are, in words."""
        counts = self.counts
        others = "".join(f", {counts[state]} {state}" for state in ("partial", "new") if counts[state])
        limited = f" ({counts['limited']} limited)" if counts["limited"] else ""
        return f"{counts['done'] + counts['limited']} of {number_of(len(self.points), 'point')} done{limited}{others}"

    @property
    def pace(self) -> str:
        """The draws, and how many a second, in words."""
        speed = "" if self.draws_per_s is None else f", {_speed(self.draws_per_s)} draws/s"
        return f"{number_of(self.draws, 'draw')}{speed}"

    @property
    def end(self) -> str:
        """When it will end, in words."""
        if not len(self.open_points):
            return "no point wants more draws"
        if self.draws_per_s is None:
            return "the next look shows how fast it goes"
        if self.seconds_to_go is None:
            return f"no new draws {self._since}" if not self.draws_per_s else "when it ends is not known yet"
        return f"about {format_seconds(self.seconds_to_go)} to go, until {_clock(self.time + self.seconds_to_go)}"

    @property
    def _since(self) -> str:
        """The time of the speed, in words."""
        if self.over >= SPEED_OVER:
            return "in the last minute" if self.over < 2 * SPEED_OVER else f"in the last {format_seconds(self.over)}"
        return f"in the {format_seconds(self.over)} since the watch began"

    def __str__(self) -> str:
        """Return it in a line."""
        return "; ".join((self.share_done, self.pace, core_hours(self.points), self.end))

    def document(self, at_most: int = 10) -> dict[str, Any]:
        """Return it as plain data, with at most ``at_most`` of the points that want more draws."""
        spent = Spent.of(self.points)
        left = spent.left
        return {
            "time": _iso(self.time),
            "points": len(self.points),
            **self.counts,
            "draws": self.draws,
            "draws_per_s": None if self.draws_per_s is None else round(self.draws_per_s, 3),
            "core_hours": round(spent.seconds / 3600, 6),
            "core_hours_left": None if left is None else round(left / 3600, 6),
            "untimed_draws": spent.untimed_draws,
            "eta_s": None if self.seconds_to_go is None else round(self.seconds_to_go, 1),
            "ends": None if self.seconds_to_go is None else _iso(self.time + self.seconds_to_go),
            "finished": self.finished,
            "open": records(self.open_points.head(at_most)),
        }


class StoreWatch:
    """Looks at the chosen points of a store, again and again.

    Parameters
    ----------
    store, chosen
        The store, and which of its points to look at.
    clock
        The time in seconds since 1970.
    """

    def __init__(self, store: Store, chosen: Chosen, clock: Callable[[], float] = time.time) -> None:
        self._store, self._chosen, self._clock = store, chosen, clock
        self.stored = StoredPoints(store)
        self._past: deque[tuple[float, npt.NDArray[np.int64]]] = deque()
        self._reading = 0

    def look(self) -> Look:
        """Take in what is new in the store, and return what it shows.

        Raises
        ------
        InputError, StoreError
            As `StoredPoints.refresh` and `Chosen.points`.
        """
        self.stored.refresh()
        table, now = self.stored.table(), self._clock()
        if table.empty:
            raise InputError(f"--store: {self._store.location} holds no sweep to watch; run one into it first")
        if self._reading != self.stored.readings:  # other points, or other draws
            self._past.clear()
            self._reading = self.stored.readings
        self._past.append((now, table["draws"].to_numpy()))
        while len(self._past) > 2 and now - self._past[1][0] >= SPEED_OVER:
            self._past.popleft()
        before, draws_before = self._past[0]
        of_all = self._chosen.points(table.assign(gained=table["draws"] - draws_before), self._store.location)
        points = self._chosen.in_state(of_all)
        seconds, gained = now - before, _once(points)["gained"]
        per_second = float(gained.sum()) / seconds if seconds > 0 else None
        return Look(
            now,
            points.drop(columns="gained").sort_values("core_seconds_left", ascending=False, kind="stable"),
            not of_all["state"].isin(["partial", "new"]).any(),
            per_second,
            _to_go(_once(points), seconds) if per_second else None,
            seconds,
        )

    def looks(self, every: float, sleep: Callable[[float], None], say: Callable[[str], None]) -> Iterator[Look]:
        """Yield looks, ``every`` seconds, up to the one that shows that no more draws are wanted.

        A look that a server does not answer is left out, but the first, and told by ``say``.
        """
        look = self.look()
        yield look
        while not look.finished:
            sleep(every)
            try:
                look = self.look()
            except StoreError as error:
                if not transient(error):
                    raise
                say(f"{error}; looking again in {format_seconds(every)}")
            else:
                yield look


def format_hours(seconds: float) -> str:
    """Return core-seconds in core-hours, or as core-seconds where they are less than 36, in three digits."""
    if seconds < 36:
        return f"{seconds:.3g} core-seconds"
    hours = seconds / 3600
    return f"{hours:.3g} core-hours" if hours < 1000 else f"{format_count(hours)} core-hours"


def _once(points: pd.DataFrame) -> pd.DataFrame:
    """Return points with each once, where several sweeps have it: as the sweep sees it that wants most of it."""
    wanted = points.sort_values(["draws_left", "draws"], ascending=False, kind="stable")
    return wanted.drop_duplicates(["point_id", "seed"])


def _to_go(points: pd.DataFrame, seconds: float) -> float | None:
    """Return the seconds that the draws to come take at the speed of the last ``seconds``, by the work in them."""
    price = points["core_seconds_per_draw"]
    if not np.isfinite(price).all():  # the store has no times
        price = points["flops_per_draw"]
    done, left = float((points["gained"] * price).sum()), float((points["draws_left"] * price).sum())
    return left * seconds / done if left and done > 0 else None


def _speed(value: float) -> str:
    return f"{value:.1f}" if value < 1000 else format_count(value)


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _clock(seconds: float) -> str:
    """Return the local time at which something will be, with the day."""
    return time.strftime("%a %d %b, %H:%M", time.localtime(min(seconds, 2.0**40)))
