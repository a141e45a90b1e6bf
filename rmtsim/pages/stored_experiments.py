"""The experiments of a store, as far as a report tells them: what was run, what is done, who made it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from rmtsim.errors import InputError
from rmtsim.figures import Figure, all_figures
from rmtsim.store import Store, StoreError
from rmtsim.store.experiment_tables import Count, count_tables, experiment_names, is_table, spec_of
from rmtsim.store.failures import transient
from rmtsim.store.findings import Finding, finding_of
from rmtsim.store.table_files import TableFile


class TableOrigin(NamedTuple):
    """How tables were made."""

    version: str
    blas: str


@dataclass(frozen=True)
class StoredExperiment:
    """An experiment.

    Attributes
    ----------
    name
        Name of its folder.
    spec
        What was run, as plain data; None where that is not stored.
    count
        How many tables it makes, and how many are there.
    origins
        The number of tables of each origin.
    """

    name: str
    spec: dict[str, Any] | None
    count: Count
    origins: Counter[TableOrigin]

    @property
    def figure(self) -> tuple[Figure, bool, str | None] | None:
        """The figure that shows it, whether with ``--full``, and its data; None where it is of training runs."""
        match self.spec:
            case {"figure": str(name), "full": bool(full), **rest} if name in all_figures():
                data = rest.get("data")
                return all_figures()[name], full, data if isinstance(data, str) else None
        return None

    @property
    def is_done(self) -> bool:
        """Whether all its tables are there."""
        return self.count.tables is not None and self.count.done == self.count.tables


def stored_experiments(store: Store) -> tuple[list[StoredExperiment], list[Finding]]:
    """Return the experiments of a store, and what is damaged in them; damaged tables do not count as done."""
    found, findings = [], []
    for name in experiment_names(store):
        spec, count = None, Count(None, None, None)
        try:
            if document := spec_of(store, name):
                spec, count = document["spec"], count_tables(store, document)
        except StoreError as error:
            findings.append(_finding(error))
        origins: Counter[TableOrigin] = Counter()
        for path in (f"experiments/{name}/{file}" for file in store.files.names(f"experiments/{name}")):
            if not is_table(path.rpartition("/")[2]):
                continue
            try:
                made = TableFile(store.files, path).metadata
            except StoreError as error:
                findings.append(_finding(error))
                if count.done:
                    count = count._replace(done=count.done - 1)
            else:
                origins[TableOrigin(made.get("version", "unknown"), made.get("blas", "unknown"))] += 1
        if spec is not None or origins or findings:
            found.append(StoredExperiment(name, spec, count, origins))
    return found, findings


def _finding(error: StoreError) -> Finding:
    """Return the finding for an error; raise it where a server does not answer, of which nothing is to be concluded."""
    if transient(error):
        raise error
    return finding_of(error)


def figure_experiment(figure: Figure, full: bool, data: str | None) -> Any:
    """Return the experiment of a figure; raise InputError where its data are not there any more."""
    experiment = figure.experiment(full, data if figure.data else None)
    if experiment is None:
        raise InputError(f"{figure.name}: it shows draws, and no tables")
    return experiment
