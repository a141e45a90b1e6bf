"""The sections of a report: what was run, points, experiments, what is damaged, and how to run it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from rmtsim.errors import InputError
from rmtsim.model.choices import STATES
from rmtsim.model.ensemble import LECUN
from rmtsim.pages.contents import Contents
from rmtsim.pages.elements import Content, Markup, element
from rmtsim.pages.formulas import with_formulas
from rmtsim.pages.pictures import Picture
from rmtsim.pages.stored_experiments import StoredExperiment
from rmtsim.pages.tables import LONG, MOST_ROWS, NOTHING, folded, frame_table, table
from rmtsim.pages.vector_graphics import MOST_MARKS
from rmtsim.sweeps.documents import builtin
from rmtsim.sweeps.spec import Spec, builtin_specs, load
from rmtsim.sweeps.stored_points import out_of_reach
from rmtsim.sweeps.training_spec import builtin_trainings, load_any
from rmtsim.sweeps.watch import core_hours, format_hours
from rmtsim.text.sizes import about, format_count, format_share
from rmtsim.text.tables import records
from rmtsim.text.toml_text import toml_text
from rmtsim.text.words import number_of

#: Most rows of a table that is not folded.
_OPEN_ROWS = 12

#: Values of a size that are listed one by one.
_LISTED = 16

#: Rows from which on a table of numbers is not put on the page: those of a map, which the picture shows.
_MAP_ROWS = 20_000

_POINTER = (
    f"A mark shows its numbers where the pointer rests on it, in figures of at most {format_count(MOST_MARKS)} marks; "
    "the tables below have the numbers of all."
)


def what_was_run(contents: Contents) -> list[Content]:
    """Return the sweeps, and how their rows were made."""
    parts: list[Content] = []
    if contents.specs:
        head = ["sweep", "model", "loss", "layers", "C", "d", "d/N", "m", "ensemble", "seed", "target", "draws"]
        rows = [_spec_cells(spec) for spec in contents.specs]
        parts.append(table(head, rows, "Sweeps, as their specs stand in the store", few=[3, 4, 5, 6, 8]))
    if contents.origins:
        head = ["rmtsim", "backend", "dtype", "BLAS and its kernel, by the processor", "NumPy", "machine", "rows"]
        made = [
            [one.version, one.backend, one.dtype, one.blas, one.numpy, one.machine, format_count(count)]
            for one, count in sorted(contents.origins.items())
        ]
        note = (
            "As each shard says of its rows, in the whole store. A store keeps no dates. Draws that are made again are "
            "equal bit for bit with the same backend, dtype and BLAS kernel, and up to rounding with others."
        )
        parts.append(table(head, made, "How the rows of draws were made", [6], note, words=[3]))
    if any(experiment.origins for experiment in contents.experiments):
        rows_of_tables: list[list[Content]] = [
            [experiment.name, one.version, one.blas, format_count(count)]
            for experiment in contents.experiments
            for one, count in sorted(experiment.origins.items())
        ]
        head = ["experiment", "rmtsim", "BLAS and its kernel, by the processor", "tables"]
        parts.append(table(head, rows_of_tables, "How the tables of experiments were made", [3], words=[2]))
    return parts


def _spec_cells(spec: Spec) -> list[Content]:
    sampling = spec.sampling
    last = "" if sampling.weights_per_draw == 1 else f", weights_per_draw = {sampling.weights_per_draw}"
    return [
        element("a", spec.name, href=f"#spec-{spec.name}"),
        spec.model,
        spec.loss,
        ", ".join(spec.layers),
        _listed(spec.n_classes),
        _listed(spec.dim),
        _listed(spec.aspect_ratio),
        _listed(spec.width or ()) or NOTHING,
        "the paper's" if spec.ensemble == LECUN else str(spec.ensemble),
        str(sampling.seed),
        f"rse {format_share(sampling.target_rse)}",
        f"{format_count(sampling.min_draws)} to {format_count(sampling.max_draws)}, {sampling.dtype}{last}",
    ]


def _listed(values: Sequence[float]) -> str:
    """Return the values of a size, or the first and the last of many."""
    shown = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(shown) if len(shown) <= _LISTED else f"{', '.join(shown[:3])} … {shown[-1]} ({len(shown)} values)"


def figures(pictures: Sequence[Picture], whole: str) -> list[Content]:
    """Return the figures with their numbers; ``whole`` is how to have all of these."""
    parts: list[Content] = []
    if any('class="mark"' in drawing for picture in pictures for drawing in picture.drawings):
        parts.append(element("p", _POINTER, class_="quiet pointer"))
    for picture in pictures:
        about: list[Content] = [element("h3", picture.title, id=f"figure-{picture.name}")]
        if picture.source:
            about.append(element("p", picture.source, class_="quiet"))
        if picture.sentence:
            about.append(element("blockquote", with_formulas(picture.sentence)))
        if picture.problem:
            about.append(element("p", f"Not drawn: {picture.problem}."))
        if picture.drawings:
            several = "several" if picture.beside else None
            about.append(element("figure", picture.drawings, class_=several))
        if picture.note:
            about.append(element("p", _coded(picture.note), class_="note"))
        about += [_numbers(name, rows, whole) for name, rows in picture.tables.items()]
        if picture.text:
            about.append(folded("The numbers in words", element("pre", picture.text)))
        parts.append(element("article", about))
    return parts


def _numbers(name: str, rows: pd.DataFrame, whole: str) -> Markup:
    called = f"Numbers of the figure: {name}" if name else "Numbers of the figure"
    if len(rows) > _MAP_ROWS:
        return element("p", f"{called}: {format_count(len(rows))} values, which the picture shows.", class_="note")
    return folded(f"{called} ({number_of(len(rows), 'row')})", frame_table(rows, called, whole), long=len(rows) > LONG)


def points(contents: Contents) -> list[Content]:
    """Return the points of every sweep: their state, their precision, and what limits them."""
    parts: list[Content] = []
    for name, part in contents.points.groupby("sweep", sort=False):
        states = part["state"].value_counts()
        said = ", ".join(f"{format_count(states[state])} {state}" for state in STATES if states.get(state))
        draws = number_of(int(part["draws"].sum()), "draw")
        parts.append(element("h3", str(name)))
        parts.append(element("p", f"{number_of(len(part), 'point')}: {said}; {draws}; {core_hours(part)}."))
        shown = part if len(part) <= MOST_ROWS else _limiting_first(part).head(MOST_ROWS)
        note = ""
        if len(part) > MOST_ROWS:
            note = (
                f"{MOST_ROWS} of {format_count(len(part))} points, those that limit first; `rmtsim status --json` "
                "prints all."
            )
        whole = _point_table(f"Points of {name}", shown, note)
        parts.append(whole if len(part) <= _OPEN_ROWS else folded(f"Points of {name}", whole, long=len(part) > LONG))
    return parts


def _limiting_first(part: pd.DataFrame) -> pd.DataFrame:
    """Return points in the order of how much is to be known of them: open ones, then limited ones, then the rest."""
    order = part["state"].map({"partial": 0, "new": 0, "limited": 1}).fillna(2)
    ranked = part.assign(order=order).sort_values(
        ["order", "core_seconds_left", "rse"], ascending=[True, False, False], kind="stable"
    )
    return ranked.drop(columns="order")


def _point_table(caption: str, part: pd.DataFrame, note: str) -> Markup:
    sizes = {"n_classes": "C", "dim": "d", "n_samples": "N", "width": "m"}
    shown = {name: symbol for name, symbol in sizes.items() if part[name].notna().any()}
    head = [*shown.values(), "state", "draws", "rse", "target", "least precise", "core time", "left"]
    rows: list[list[Content]] = []
    limits = [_limit(row) for row in records(part)]
    for row, limit in zip(records(part), limits, strict=True):
        left = row["core_seconds_left"]
        cells: list[Content] = [
            *(str(row[name]) for name in shown),
            state(row["state"]),
            format_count(row["draws"]),
            NOTHING if row["rse"] is None else format_share(row["rse"]),
            format_share(row["target_rse"]),
            row["worst"] if row["rse"] is not None else NOTHING,
            format_hours(row["core_seconds"]) if row["core_seconds"] else NOTHING,
            "not known" if left is None else format_hours(left) if left else NOTHING,
        ]
        rows.append([*cells, limit] if any(limits) else cells)
    numbers = [*range(len(shown)), *(len(shown) + place for place in (1, 2, 3, 5, 6))]
    more = ["what limits it"] if any(limits) else []
    return table([*head, *more], rows, caption, numbers, note or None, words=[len(head)])


def state(name: str) -> Markup:
    """Return the state of a point or an experiment, in its color."""
    return element("span", name, class_=f"verdict {'good' if name == 'done' else 'open'}")


def _limit(row: Mapping[str, Any]) -> str:
    """Return what limits a point, and what is not to be trusted of it, in words."""
    said = []
    if row["state"] == "limited":
        why = row["doubt"] or f"needs {about(number_of(row['needs_draws'], 'draw'))}"
        said.append(f"max_draws = {format_count(row['max_draws'])} used up: {why}")
        said += filter(None, [out_of_reach(row)])
    elif row["state"] != "done":
        more = number_of(row["draws_left"], "draw") if row["draws_left"] else "some draws"
        said.append(f"unfinished: about {more} to come" + (f" ({row['doubt']})" if row["doubt"] else ""))
    return "; ".join([*said, *([row["warning"]] if row["warning"] else [])])


def experiments(contents: Contents) -> list[Content]:
    """Return what is there of the experiments."""
    head = ["experiment", "what", "state", "tables", "done", "begun"]
    rows: list[list[Content]] = []
    for one in contents.experiments:
        count = [NOTHING if number is None else format_count(number) for number in one.count]
        found = "done" if one.is_done else "not known" if one.count.tables is None else "partial"
        what: Content = "training runs" if one.spec else "no spec is stored"
        if one.figure:
            what = one.figure[0].title
            if one.is_done:
                what = element("a", what, href=f"#figure-experiment-{one.name}")
        rows.append([one.name, what, state(found), *count])
    return [table(head, rows, "Experiments", [3, 4, 5], words=[1])]


def damage(contents: Contents) -> list[Content]:
    """Return what is damaged or missing, and what was read."""
    store = contents.store
    read = f"{number_of(contents.shards, 'shard')} with {number_of(contents.rows, 'row')} of draws"
    if tables := sum(sum(one.origins.values()) for one in contents.experiments):
        read = f"{read} and " * bool(contents.shards) + f"{number_of(tables, 'table')} of experiments"
    if not contents.findings:
        said = f"{read} could be read, and nothing is missing by the record of commits."
        more = f" `rmtsim verify --store {store.quoted}` looks further, and with `--recompute` makes draws again."
        return [element("p", said, *_coded(more))]
    rows: list[list[Content]] = [[one.kind, one.what, one.advice] for one in contents.findings]
    head = ["kind", "what", "what to do"]
    said = f"The rest, {read}, could be read, and all that this page says is of these."
    return [
        element("p", element("strong", "What stands below is not in the numbers of this page. "), said),
        table(head, rows, "Damaged or missing", words=[1, 2]),
    ]


def reproduction(contents: Contents, out: str, options: Sequence[str]) -> list[Content]:
    """Return the commands that make the store's draws and tables, and this page, with the texts of the specs."""
    where = contents.store.quoted
    versions = sorted(
        {one.version for one in contents.origins} | {o.version for e in contents.experiments for o in e.origins}
    )
    parts: list[Content] = []
    if versions:
        said = (
            f"The rows were made by rmtsim {' and '.join(versions)}. Install that version, or a later one that reads "
        )
        said += "its stores, and give the specs below to it."
        parts.append(element("p", said))
    lines, specs = [], dict[str, str]()
    for spec in contents.specs:
        known = spec.name in builtin_specs() and load(spec.name) == spec
        lines.append(f"rmtsim run {shlex.quote(spec.name if known else f'{spec.name}.toml')} --store {where}")
        specs[spec.name] = builtin()[spec.name] if known else toml_text(spec.document())
    for experiment in contents.experiments:
        command, text = _of_experiment(experiment)
        if command:
            lines.append(f"rmtsim run {command} --store {where}")
        if text:
            specs[experiment.name] = text
    chosen = " ".join(map(shlex.quote, options))
    lines += [f"rmtsim verify --store {where} --recompute 100"] if contents.rows or contents.experiments else []
    if contents.summary is not None and "--no-theory" not in options:
        lines.append(f"rmtsim fit --store {where} {chosen}".rstrip())
    lines.append(f"rmtsim report --store {where} {chosen}".rstrip() + f" --out {shlex.quote(out)}")
    parts.append(element("pre", element("code", "\n".join(lines))))
    if any(f"{name}.toml" in line for name in specs for line in lines):
        parts.append(element("p", "A file NAME.toml has the text that stands below under its name."))
    for name, text in specs.items():
        parts.append(element("h3", f"{name}.toml", id=f"spec-{name}"))
        parts.append(element("pre", element("code", text)))
    return parts


def _of_experiment(experiment: StoredExperiment) -> tuple[str, str]:
    """Return what `rmtsim run` is given for an experiment, and the text of its spec where it has one."""
    if experiment.figure:
        figure, full, data = experiment.figure
        return (f"{figure.name}{' --full' if full else ''}" if data is None else ""), ""
    if experiment.spec is None or "figure" in experiment.spec:
        return "", ""
    name = str(experiment.spec.get("name", experiment.name))
    try:
        if name in builtin_trainings() and load_any(name).document() == experiment.spec:
            return shlex.quote(name), builtin()[name]
        return shlex.quote(f"{experiment.name}.toml"), toml_text(experiment.spec)
    except InputError:
        return "", ""


def _coded(text: str) -> list[Content]:
    """Return text with what stands between backquotes as code."""
    return [element("code", part) if place % 2 else part for place, part in enumerate(text.split("`"))]
