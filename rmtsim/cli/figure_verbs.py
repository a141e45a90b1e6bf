"""The verbs of figures: `figure` draws one from a store, `reproduce` computes, draws and tells those it is given."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import pandas as pd

from rmtsim.cli.exit_codes import DONE, FAILED, joint_exit_code
from rmtsim.cli.printing import print_json, print_message, print_text
from rmtsim.cli.selection import Selection
from rmtsim.cli.store_verbs import existing
from rmtsim.cli.sweep_verbs import outcome_code, run_sweep
from rmtsim.cli.theory_progress import theory_of
from rmtsim.errors import InputError, RunError, StoppedError
from rmtsim.files.output_files import write_output
from rmtsim.store import Store
from rmtsim.store.experiment_tables import spec_of, write_spec
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.output import presentable, records

if TYPE_CHECKING:
    from rmtsim.figures.catalogue import Entry
    from rmtsim.figures.gallery import Result
    from rmtsim.sweeps.spec import Spec

__all__ = ["figure", "reproduce"]


def figure(arguments: argparse.Namespace) -> int:
    """Draw a figure from a store, or list all."""
    from rmtsim.figures import catalogue
    from rmtsim.figures import registry as figures

    wanted = {"NAME": arguments.name, "--store": arguments.store, "--out": arguments.out}
    if arguments.list:
        return _list(arguments, [name for name, value in wanted.items() if value is not None])
    if arguments.json:
        raise InputError("--json: goes with --list only; leave it out")
    if missing := [name for name, value in wanted.items() if value is None]:
        raise InputError(f"figure: {', '.join(missing)} missing; give NAME --store DIR --out FILE, or --list alone")
    figures.check(arguments.name, arguments.out)
    [entry] = [entry for entry in catalogue.entries() if entry.name == arguments.name]
    _check_data(arguments.data, [entry])
    selection, experiment = Selection.of(arguments), entry.experiment(arguments.full, arguments.data)
    if experiment is not None:
        if selection.options:
            given = ", ".join(selection.options)
            raise InputError(f"{given}: {arguments.name} shows the tables of an experiment, all of them; leave it out")
        rows = experiment.read(existing(arguments.store))
    else:
        rows = figures.select(arguments.name, selection.read(existing(arguments.store)))
    with nullcontext() if experiment is not None else theory_of(rows):
        drawn = figures.draw(arguments.name, rows)
    figures.save(drawn, arguments.out)
    print_message(f"{arguments.out}: drawn")
    return DONE


def _list(arguments: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the catalogue."""
    from rmtsim.figures import catalogue

    if given:
        raise InputError(f"--list: names every figure; leave {', '.join(given)} out")
    table = catalogue.listing()
    if arguments.json:
        print_json(records(table))
        return DONE
    columns = {"name": "figure", "source": "source", "cost": "2 cores", "full_cost": "--full", "command": "command"}
    grid = [list(columns.values()), *table[list(columns)].to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    for row in grid:
        print_text("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return DONE


def _check_data(data: str | None, entries: Sequence[Entry]) -> None:
    if data is not None and not any(entry.data for entry in entries):
        raise InputError("--data: none of these figures takes data; leave it out")


def reproduce(arguments: argparse.Namespace) -> int:
    """Compute what the figures show, draw and tell them; return the exit code, 1 if a figure was left out."""
    from rmtsim.figures import catalogue, gallery
    from rmtsim.stats import verdicts

    names = arguments.figures or catalogue.DEFAULT
    everything = catalogue.ALL in names
    entries = catalogue.chosen(names, arguments.full)
    _check_data(arguments.data, entries)
    out = Path(arguments.out)
    reproduction = _Reproduction(out, Store(out / "store"), arguments, everything)
    works = [reproduction.work(entry) for entry in entries]
    for summary in (summary for work in works for summary in work.summaries):
        print_message(summary)
    results = []
    for work in works:
        results.append(reproduction.make(work))
        if reproduction.stopped:
            return joint_exit_code(reproduction.codes)
    if reproduction.claimed:
        report = verdicts.report(reproduction.store.read(points=reproduction.claimed))
        write_output(out / "verdicts.json", json.dumps(report.document(), indent=1) + "\n")
        text = f"{report.text()}\n\n{verdicts.render(report.points)}\n"
        write_output(out / "verdicts.txt", presentable(text, lines=True))
        print_text(report.text(), lines=True)
    if everything:
        order = {name: place for place, name in enumerate(catalogue.WORDS)}
        results.sort(key=lambda result: order[result.entry.name])
        out.mkdir(parents=True, exist_ok=True)
        write_output(out / "gallery.md", presentable(gallery.gallery(results, arguments.full), lines=True))
        print_message(f"{out / 'gallery.md'}: written")
    return joint_exit_code(reproduction.codes)


@dataclass(frozen=True)
class _Work:
    """What one figure needs."""

    entry: Entry
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

    def work(self, entry: Entry) -> _Work:
        """Find what a figure needs before anything is computed, so that bad input is told first."""
        from rmtsim.sweeps import plan as plans
        from rmtsim.sweeps.spec import load

        full, data, memory = self.arguments.full, self.arguments.data, self.arguments.memory
        try:
            specs = [load(spec) for spec in entry.sweeps(full)]
            summaries = [
                plans.summary(spec, plans.plan(spec, self.store, memory, self.arguments.workers)) for spec in specs
            ]
            return _Work(entry, specs, summaries, entry.experiment(full, data))
        except InputError as error:
            if not self.everything:
                raise
            return _Work(entry, problem=str(error))

    def make(self, work: _Work) -> Result:
        """Compute, draw and tell one figure; or say why it is left out."""
        from rmtsim.figures.gallery import Result

        if not work.problem:
            try:
                return self._make(work)
            except (InputError, RunError, MemoryError) as error:
                if not self.everything or isinstance(error, StoppedError):
                    raise
                work = _Work(work.entry, problem=str(error) or "not enough memory")
        print_message(f"{work.entry.name}: left out: {work.problem}")
        self.codes.append(FAILED)
        return Result(work.entry, problem=work.problem)

    def _make(self, work: _Work) -> Result:
        from rmtsim.figures import gallery
        from rmtsim.figures import registry as figures
        from rmtsim.figures.catalogue import duration

        start, name, how = perf_counter(), work.entry.name, work.entry.figure
        rows, computed = self._rows(work)
        if self.stopped:
            return gallery.Result(work.entry, problem="stopped")
        with nullcontext() if work.experiment is not None else theory_of(rows):
            drawn = how.plot(how.select(rows))
            text = None if how.report is None else how.report(rows)
        for suffix in ("png", "pdf"):
            figures.save(drawn, self.out / f"{name}.{suffix}")
        numbers = gallery.numbers(how, rows, text) if self.everything else ""
        seconds = perf_counter() - start
        print_message(f"{self.out / name}.png, .pdf: drawn, {duration(seconds)} in all")
        if text is not None:
            write_output(self.out / f"{name}.txt", presentable(f"{text}\n", lines=True))
            print_text(text, lines=True)
        return gallery.Result(work.entry, numbers, seconds, computed, full_numbers=self._at_full_size(work))

    def _at_full_size(self, work: _Work) -> str:
        """Draw what the store has at the paper's size too, for the gallery; return its numbers."""
        from rmtsim.figures import gallery
        from rmtsim.figures import registry as figures

        entry, how = work.entry, work.entry.figure
        if not self.everything or self.arguments.full or entry.full_seconds is None or entry.data:
            return ""
        experiment = entry.experiment(full=True)
        if experiment is None or experiment.missing(self.store):
            return ""
        rows = experiment.read(self.store)
        figures.save(how.plot(how.select(rows)), self.out / f"{entry.name}_full.png")
        return gallery.numbers(how, rows)

    def _rows(self, work: _Work) -> tuple[pd.DataFrame, bool]:
        """Return what a figure shows, computed as far as it is missing, and whether any was."""
        workers, memory = self.arguments.workers, self.arguments.memory
        if work.experiment is not None:
            return _tables(work, self.store, self.arguments)
        computed = False
        for spec in work.specs:
            outcome = run_sweep(spec, self.store, address="local", backend="auto", workers=workers, memory=memory)
            self.codes.append(outcome_code(outcome))
            computed |= outcome.new_draws > 0
            if outcome.stopped:
                self.stopped = True
                return pd.DataFrame(), computed
        ids = {point.id for spec in work.specs for point in spec.points()}
        if work.entry.figure.report is None:
            self.claimed |= ids
        return self.store.read(points=ids), computed


def _tables(work: _Work, store: Store, arguments: argparse.Namespace) -> tuple[pd.DataFrame, bool]:
    """Compute what an experiment lacks; return all its tables, and whether any was missing."""
    from rmtsim.sweeps.interrupts import interrupts

    name, experiment, done = work.entry.name, work.experiment, count(1)
    assert experiment is not None
    missing = len(experiment.missing(store))
    to_do = f"{missing} of {len(experiment.tasks)} tables to compute" if missing else "nothing to do"
    print_message(f"{name}: {to_do}")
    data = {"data": arguments.data} if work.entry.data else {}
    document = {"spec": {"figure": name, "full": arguments.full, **data}, "tables": experiment.paths()}

    def tell(task: Task) -> None:
        print_message(f"{name}: {task.label} done, {next(done)} of {missing}")

    if missing or document != spec_of(store, experiment.name):
        with store.writer(experiment.folders) as writer, interrupts() as asked:
            write_spec(writer, experiment.name, document)
            experiment.make(writer, arguments.workers, tell, asked)
    return experiment.read(store), missing > 0
