"""The verbs of figures: `figure` draws one from a store; `reproduce` computes and draws figures, and prints numbers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from rmtsim.arrays.machine import processor
from rmtsim.arrays.threads import cores
from rmtsim.cli.exit_codes import DONE, FAILED, joint_exit_code
from rmtsim.cli.printing import line_width, print_json, print_message, print_text
from rmtsim.cli.running import RunOptions, announce_change, check_options, outcome_code, run_source
from rmtsim.cli.sources import FigureRuns
from rmtsim.cli.store_verbs import open_existing
from rmtsim.cli.theory_progress import show_theory_progress
from rmtsim.errors import InputError, RunError
from rmtsim.files.output_files import write_output
from rmtsim.store import Store
from rmtsim.sweeps.experiment import Experiment
from rmtsim.sweeps.selection import Selection
from rmtsim.text.output import presentable
from rmtsim.text.sizes import format_seconds
from rmtsim.text.tables import records, text_table
from rmtsim.text.words import number_of

if TYPE_CHECKING:
    from rmtsim.figures import Figure
    from rmtsim.figures.costs import Cost
    from rmtsim.figures.gallery import Result
    from rmtsim.sweeps.spec import Spec

__all__ = ["figure", "reproduce"]

#: What is done when the theory at the measured sizes is there.
_THEN = "drawing the figure"


def figure(arguments: argparse.Namespace) -> int:
    """Draw a figure from a store, or list all."""
    from rmtsim.figures import matplotlib_setup, registry

    if arguments.measured is not None:
        return _measured(arguments)
    if arguments.by_step:
        raise InputError("--by-step: goes with --measured only; leave it out")
    wanted = {"NAME": arguments.name, "--store": arguments.store, "--out": arguments.out}
    if arguments.list:
        return _list(arguments, [name for name, value in wanted.items() if value is not None])
    if arguments.json:
        raise InputError("--json: goes with --list only; leave it out")
    if missing := [name for name, value in wanted.items() if value is None]:
        raise InputError(f"figure: {', '.join(missing)} missing; give NAME --store DIR --out FILE, or --list alone")
    shown = registry.get_figure(arguments.name)
    matplotlib_setup.check_picture_file(arguments.out)
    _check_data(arguments.data, [shown])
    selection, experiment = (
        Selection.of(arguments.where, arguments.sweep, arguments.seed),
        shown.experiment(arguments.full, arguments.data),
    )
    if experiment is not None:
        if selection.options:
            given = ", ".join(selection.options)
            raise InputError(f"{given}: {arguments.name} shows the tables of an experiment, all of them; leave it out")
        rows = experiment.read(open_existing(arguments.store))
    else:
        rows = shown.select(selection.read(open_existing(arguments.store), print_message))
    matplotlib_setup.load_matplotlib()  # where it is not there, that is said before minutes of computing
    with registry.own_code(shown):
        values = {} if experiment is not None else shown.slow_values(rows)
    with show_theory_progress(values, _THEN):
        drawn = registry.draw(arguments.name, rows)
    matplotlib_setup.save(drawn, arguments.out)
    print_message(f"{arguments.out}: drawn")
    return DONE


def _measured(arguments: argparse.Namespace) -> int:
    """Draw measurements of heads."""
    from rmtsim.figures import matplotlib_setup, registry
    from rmtsim.paper.head.numbers import from_files, rows_of

    name = arguments.name
    if not name or not registry.get_figure(name).measured:
        known = " or ".join(figure.name for figure in registry.all_figures().values() if figure.measured)
        raise InputError(f"--measured: goes with the figure {known}, not with {name or 'none'}; leave it out")
    others = {"--store": arguments.store, "--data": arguments.data, "--full": arguments.full, "--list": arguments.list}
    given = [option for option, value in others.items() if value] + ["--json"] * arguments.json
    if given := [*given, *Selection.of(arguments.where, arguments.sweep, arguments.seed).options]:
        raise InputError(f"{', '.join(given)}: does not go with --measured; leave it out")
    if arguments.out is None:
        raise InputError("--out: missing; give a file to write, .png, .pdf or .svg")
    matplotlib_setup.check_picture_file(arguments.out)
    rows = rows_of(from_files(arguments.measured, by_step=arguments.by_step))
    matplotlib_setup.save(registry.draw(name, rows), arguments.out)
    print_message(f"{arguments.out}: drawn")
    return DONE


def _list(arguments: argparse.Namespace, given: Sequence[str]) -> int:
    """Print all figures."""
    from rmtsim.figures import costs, registry

    if given:
        raise InputError(f"--list: names every figure; leave {', '.join(given)} out")
    table = registry.listing()
    if arguments.json:
        print_json(records(table))
        return DONE
    time = costs.cores_in_words(costs.stored_costs().values()) or "time"
    columns = {"name": "figure", "source": "source", "cost": time, "full_cost": "--full", "command": "command"}
    grid = [list(columns.values()), *table[list(columns)].to_numpy().tolist()]
    print_text("\n".join(text_table(grid, width=line_width(), spare=[(4,), (3,)])), lines=True)
    return DONE


def _check_data(data: str | None, figures: Sequence[Figure]) -> None:
    if data is not None and not any(figure.data for figure in figures):
        raise InputError("--data: none of these figures takes data; leave it out")


def reproduce(arguments: argparse.Namespace) -> int:
    """Compute what the figures show, draw them and print their numbers; return 1 if a figure was left out."""
    from rmtsim.figures import costs, gallery, matplotlib_setup, registry
    from rmtsim.stats.fit import fit as fit_rates
    from rmtsim.stats.render import render

    names = arguments.figures or registry.DEFAULT
    everything = registry.ALL in names
    figures = registry.select_figures(names, arguments.full)
    _check_data(arguments.data, figures)
    check_options(RunOptions.of(arguments))
    matplotlib_setup.load_matplotlib()  # where it is not there, that is said before minutes of computing
    out = Path(arguments.out)
    if out.is_file():
        raise InputError(f"--out: {arguments.out} is a file; give a directory, where everything goes")
    reproduction = _Reproduction(out, Store(out / "store"), arguments, everything)
    works = [reproduction.work(figure) for figure in figures]
    for summary in (summary for work in works for summary in work.summaries):
        print_message(summary)
    results = []
    for work in works:
        results.append(reproduction.make(work))
        if reproduction.stopped:
            return joint_exit_code(reproduction.codes)
    if reproduction.claimed:
        report = fit_rates(reproduction.store.read(points=reproduction.claimed))
        write_output(out / "verdicts.json", json.dumps(report.document(), indent=1) + "\n")
        text = f"{report.text()}\n\n{render(report.compared)}\n"
        write_output(out / "verdicts.txt", presentable(text, lines=True))
        print_text(report.text(), lines=True)
    if everything:
        order = list(registry.all_figures())
        results.sort(key=lambda result: order.index(result.figure.name))
        out.mkdir(parents=True, exist_ok=True)
        write_output(out / costs.FILE, costs.write_costs(gallery.measured_costs(results, arguments.full)))
        write_output(out / "gallery.md", presentable(gallery.gallery(results, arguments.full), lines=True))
        print_message(f"{out / 'gallery.md'}: written")
    return joint_exit_code(reproduction.codes)


@dataclass(frozen=True)
class _Work:
    """What one figure needs."""

    figure: Figure
    specs: Sequence[Spec] = ()
    summaries: Sequence[str] = ()  # what the sweeps would do
    experiment: Experiment | None = None
    problem: str = ""


@dataclass
class _Reproduction:
    """A run of `reproduce`: where it goes, and what it has come to."""

    out: Path
    store: Store
    arguments: argparse.Namespace
    everything: bool  # then what cannot be made is left out, and there is a gallery
    codes: list[int] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)  # points that the verdicts are on
    stopped: bool = False
    begun: float = field(default_factory=perf_counter)

    @property
    def options(self) -> RunOptions:
        """How to run."""
        return RunOptions.of(self.arguments)

    def work(self, figure: Figure) -> _Work:
        """Return what a figure needs, found before anything is computed, so that bad input is refused first."""
        from rmtsim.sweeps import plan as plans
        from rmtsim.sweeps.spec import load

        full, data, memory = self.arguments.full, self.arguments.data, self.arguments.memory
        try:
            specs = [load(spec) for spec in figure.sweeps(full)]
            summaries = [
                plans.summary(spec, plans.plan(spec, self.store, memory, self.arguments.workers)) for spec in specs
            ]
            experiment = figure.experiment(full, data)
            if experiment is not None:
                check_options(self.options, FigureRuns(figure, full, data))
            return _Work(figure, specs, summaries, experiment)
        except InputError as error:
            if not self.everything:
                raise
            return _Work(figure, problem=str(error))

    def make(self, work: _Work) -> Result:
        """Compute and draw one figure and print its numbers; or say why it is left out."""
        from rmtsim.figures.gallery import Result

        if not work.problem:
            try:
                return self._make(work)
            except _FailedTablesError as error:  # the others go on
                work = _Work(work.figure, problem=str(error))
            except (InputError, RunError, MemoryError) as error:
                if not self.everything:
                    raise
                work = _Work(work.figure, problem=str(error) or "not enough memory")
        print_message(f"{work.figure.name}: left out: {work.problem.removeprefix(f'{work.figure.name}: ')}")
        self.codes.append(FAILED)
        return Result(work.figure, problem=work.problem)

    def _make(self, work: _Work) -> Result:
        from rmtsim.figures import gallery, matplotlib_setup, registry

        start, figure = perf_counter(), work.figure
        rows, made = self._rows(work)
        if self.stopped:
            return gallery.Result(figure, problem="stopped")
        with registry.own_code(figure):
            rows = figure.select(rows)
            values = {} if work.experiment is not None else figure.slow_values(rows)
        with show_theory_progress(values, _THEN), registry.own_code(figure):
            numbers = figure.numbers(rows)
            drawn = registry.plot(figure, numbers)
            text = "" if figure.claims else figure.text(numbers)
            headline = figure.headline(numbers) if self.everything else ""
        for suffix in ("png", "pdf"):
            matplotlib_setup.save(drawn, self.out / f"{figure.name}.{suffix}")
        seconds = perf_counter() - start
        print_message(f"{self.out / figure.name}.png, .pdf: drawn, {format_seconds(seconds)} in all")
        if text:
            write_output(self.out / f"{figure.name}.txt", presentable(f"{text}\n", lines=True))
            print_text(text, lines=True)
        cost = self._cost(seconds) if made is _Made.ALL else None
        full_numbers = self._at_full_size(work)
        return gallery.Result(figure, headline, seconds, made is not _Made.NONE, cost, full_numbers=full_numbers)

    def _cost(self, seconds: float) -> Cost:
        """Return the cost of a figure that took so long."""
        from rmtsim.figures.costs import Cost

        used = min(self.arguments.workers or cores(), cores())
        return Cost(seconds, used, processor(), date.today().isoformat())

    def _at_full_size(self, work: _Work) -> str:
        """Draw what the store has with ``--full`` too, for the gallery; return its numbers."""
        from rmtsim.figures import matplotlib_setup, registry

        figure = work.figure
        if not self.everything or self.arguments.full or work.experiment is None or not figure.has_full_size:
            return ""
        experiment = figure.experiment(full=True)
        if experiment is None or experiment.missing(self.store):
            return ""
        with registry.own_code(figure):
            numbers = figure.numbers(figure.select(experiment.read(self.store)))
            drawn, headline = registry.plot(figure, numbers), figure.headline(numbers)
        matplotlib_setup.save(drawn, self.out / f"{figure.name}_full.png")
        return headline

    def _rows(self, work: _Work) -> tuple[pd.DataFrame, _Made]:
        """Return what a figure shows, computed as far as it is missing, and how much of it was."""
        if work.experiment is not None:
            return self._tables(work.figure, work.experiment)
        ids, new_draws = {point.id for spec in work.specs for point in spec.points()}, 0
        # Sweeps may share draws, each with layers of its own, so that counts do not tell.
        fresh = self.everything and (not self.store.exists() or self.store.read(points=ids).empty)
        for spec in work.specs:
            new_draws += self._run(spec).new_draws
            if self.stopped:
                return pd.DataFrame(), _Made.SOME
        if work.figure.claims:
            self.claimed |= ids
        made = _Made.ALL if fresh and new_draws else _Made.SOME if new_draws else _Made.NONE
        return self.store.read(points=ids), made

    def _tables(self, figure: Figure, experiment: Experiment) -> tuple[pd.DataFrame, _Made]:
        outcome = self._run(FigureRuns(figure, self.arguments.full, self.arguments.data))
        if self.stopped:
            return pd.DataFrame(), _Made.SOME
        if outcome.failures:
            count = f"{len(outcome.failures)} of its {number_of(outcome.total, 'table')} failed"
            raise _FailedTablesError(f"{count}: {outcome.failures[0].reason}")
        new = outcome.new_tables
        return experiment.read(self.store), _Made.ALL if new == outcome.total else _Made.SOME if new else _Made.NONE

    def _run(self, source: Any) -> Any:
        """Run a sweep or the tables of a figure in the time that is left; return its outcome."""
        options = replace(self.options, time_limit=max(0.0, self.options.time_limit - (perf_counter() - self.begun)))
        announce_change(source, self.store)
        outcome = run_source(source, self.store, options)
        self.codes.append(outcome_code(outcome))
        self.stopped = bool(outcome.stopped)
        return outcome


class _FailedTablesError(RunError):
    """Some of the tables that a figure shows could not be made."""


class _Made(Enum):
    """How much of what a figure shows was computed in this run."""

    NONE, SOME, ALL = range(3)
