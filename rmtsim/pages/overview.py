"""The beginning of a report: the numbers that matter most, and what a reader is to know before any of them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from rmtsim.model.choices import STATES
from rmtsim.pages.contents import Contents
from rmtsim.pages.elements import Markup, element
from rmtsim.pages.pictures import Picture
from rmtsim.stats.fit import Fit
from rmtsim.sweeps.watch import Spent, format_hours
from rmtsim.text.sizes import format_count
from rmtsim.text.words import number_of

#: The verdicts beside *agrees*, as they are counted.
_OTHERS = {"differs": "differ", "not decided": "not decided", "exact": "exact", "not tested": "not tested"}


def at_a_glance(contents: Contents, fit: Fit | None, pictures: Sequence[Picture]) -> Markup:
    """Return the numbers that matter most, each with what it is of."""
    tiles = [*_of_points(contents.points), *_of_draws(contents, fit)]
    if contents.experiments:
        done = sum(experiment.is_done for experiment in contents.experiments)
        tiles.append(("Experiments done", f"{done} of {len(contents.experiments)}", "see their tables below"))
    if drawn := sum(bool(picture.drawings) for picture in pictures):
        tiles.append(("Figures", str(drawn), "each with its numbers"))
    held = [
        element("div", element("dt", name), element("dd", value, class_="value"), element("dd", more, class_="more"))
        for name, value, more in tiles
    ]
    return element("dl", held, class_="glance")


def _of_points(points: pd.DataFrame) -> list[tuple[str, str, str]]:
    if points.empty:
        return []
    counts, spent = points["state"].value_counts(), Spent.of(points)
    others = ", ".join(f"{counts[state]} {state}" for state in STATES if state != "done" and counts.get(state))
    left = "what is left is not known" if spent.left is None else f"about {format_hours(spent.left)} left"
    untimed = f"; {number_of(spent.untimed_draws, 'draw')} of unknown time" if spent.untimed_draws else ""
    known = format_hours(spent.seconds) if spent.seconds else "not known"
    return [
        (
            "Points done",
            f"{format_count(int(counts.get('done', 0)))} of {format_count(len(points))}",
            others or "all of them",
        ),
        ("Time spent", known, ("nothing left" if spent.left == 0 else left) + untimed),
    ]


def _of_draws(contents: Contents, fit: Fit | None) -> list[tuple[str, str, str]]:
    tiles = []
    if contents.rows:
        shards = f"one for each draw and layer, in {number_of(contents.shards, 'shard')}"
        tiles.append(("Rows of draws", format_count(contents.rows), shards))
    if fit is None:
        return tiles
    claims, values = (table["verdict"].value_counts() for table in (fit.claims, fit.compared))
    others = ", ".join(f"{claims[one]} {words}" for one, words in _OTHERS.items() if claims.get(one))
    tiles.append(("Claims that agree", str(claims.get("agrees", 0)), others or "no other"))
    if tested := int(values.sum() - values.get("exact", 0) - values.get("not tested", 0)):
        agree = f"{values.get('agrees', 0)} of {tested}"
        tiles.append(("Values that agree", agree, "with the theory at their own size"))
    return tiles


def notices(contents: Contents, fit: Fit | None) -> Markup:
    """Return what a reader is to know before any number."""
    bad, open_ = [], []
    if contents.findings:
        count = number_of(len(contents.findings), "finding")
        bad.append(f"Something of this store is damaged or missing: {count}, named below.")
    if fit is not None and (differs := int((fit.claims["verdict"] == "differs").sum())):
        bad.append(f"{number_of(differs, 'claim')} of the theorems differ{'s' * (differs == 1)} from the draws.")
    if len(contents.points):
        open_ += _open_points(contents.points)
    if unfinished := [one.name for one in contents.experiments if not one.is_done]:
        open_.append(f"Experiments that are not complete: {', '.join(unfinished)}.")
    if contents.unnamed.draws:
        draws, points = number_of(contents.unnamed.draws, "draw"), number_of(contents.unnamed.points, "point")
        open_.append(f"No spec in the store asks for {draws} of {points}; verdicts and figures take them too.")
    said = [*(element("li", text, class_="bad") for text in bad), *(element("li", text) for text in open_)]
    return element("ul", said, class_="notices") if said else Markup()


def _open_points(points: pd.DataFrame) -> list[str]:
    counts, said = points["state"].value_counts(), []
    if wanting := int(counts.get("partial", 0) + counts.get("new", 0)):
        want = "wants" if wanting == 1 else "want"
        who = number_of(wanting, "point")
        said.append(f"The store is unfinished: {who} {want} more draws, and numbers will change.")
    if limited := int(counts.get("limited", 0)):
        said.append(f"{number_of(limited, 'point')} used up max_draws above the target: see what limits them.")
    if heavy := int((points["heavy_tail"] != "").sum()):
        have = "has" if heavy == 1 else "have"
        said.append(f"{number_of(heavy, 'point')} {have} too heavy a tail for a mean to be trusted: faint in figures.")
    return said
