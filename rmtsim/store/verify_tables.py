"""Findings on the tables of experiments in a store."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import pandas as pd

from rmtsim.arrays.threads import blas_kernel
from rmtsim.errors import InputError
from rmtsim.store.experiment_tables import FOLDER, SPEC, experiment_names, files_beside, is_table, spec_of, tables
from rmtsim.store.failures import StoreError
from rmtsim.store.findings import Finding, finding_of, foreign_file, unfinished_file
from rmtsim.store.saved_files import read_saved, saved_prefix
from rmtsim.store.store import Store
from rmtsim.store.strays import is_stray
from rmtsim.store.table_files import TableFile, as_stored
from rmtsim.text.words import number_of

#: Functions that make tables again, by the paths at which a store keeps them.
Makers: TypeAlias = Mapping[str, Callable[[], pd.DataFrame]]

#: Largest relative difference between numbers of one table that two kernels of BLAS made.
_ROUNDING = 1e-4


def verify_tables(store: Store) -> tuple[int, list[Finding]]:
    """Read every byte of all tables, and of the saved state of their tasks.

    Returns
    -------
    int
        The number of tables.
    list
        Findings: tables that are damaged, that are not those that their names say, or that a stored spec asks for and
        that are missing; files that do not belong to a store.
    """
    count = 0
    findings: list[Finding] = []
    for name in experiment_names(store):
        there = store.files.names(f"{FOLDER}/{name}")
        count += sum(map(is_table, there))
        findings += _files(store, name, there)
        for folder in store.files.folders(f"{FOLDER}/{name}"):
            if not is_stray(folder):
                where = store.files.where(f"{FOLDER}/{name}/{folder}")
                findings.append(
                    Finding("foreign", f"{where} is a folder, which no experiment has", "move it elsewhere")
                )
    for name in store.files.names(FOLDER):
        if not is_stray(name):
            findings.append(foreign_file(store.files.where(f"{FOLDER}/{name}")))
    for name in experiment_names(store):
        findings += _spec(store, name)
    return count, findings


def _files(store: Store, experiment: str, there: list[str]) -> Iterator[Finding]:
    """Yield findings on the files in the folder of an experiment."""
    prefixes = {saved_prefix(name) for name in there if is_table(name)}
    for name in there:
        path = f"{FOLDER}/{experiment}/{name}"
        where = store.files.where(path)
        try:
            if is_table(name):
                TableFile(store.files, path).frame()
            elif name.startswith("_") and name != SPEC:
                read_saved(store.files, path)
                if f"{name.rpartition('.')[0]}." in prefixes:
                    what = f"{where} was saved on the way to a table that is there"
                    yield Finding("leftover", what, "it does not count, and may be removed")
            elif name.startswith(".") and name.endswith(".tmp"):
                yield unfinished_file(where)
            elif name != SPEC and not is_stray(name):
                yield foreign_file(where)
        except StoreError as error:
            yield finding_of(error)


def _spec(store: Store, name: str) -> Iterator[Finding]:
    """Yield findings on tables that a stored spec names and that are missing."""
    try:
        document = spec_of(store, name)
    except StoreError as error:
        yield finding_of(error)
        return
    if document is None:
        return
    spec = document["spec"]
    own = spec.get("name", spec.get("figure"))
    if isinstance(own, str) and not _may_be_kept_under(own, name):
        where = store.files.where(f"{FOLDER}/{name}/{SPEC}")
        yield Finding("foreign", f"{where} is the spec of {own}", "move it back, and run the experiment again")
    wanted: list[str] = document["tables"] or []
    there = files_beside(store, wanted)
    if absent := [path for path in wanted if path not in there]:
        which = f"{store.files.where(absent[0])}{' and others' if len(absent) > 1 else ''}"
        are = "is" if len(absent) == 1 else "are"
        what = f"{len(absent)} of the {number_of(len(wanted), 'table')} of {name} {are} not there: {which}"
        yield Finding("unfinished", what, "the same `rmtsim run` makes them")


def _may_be_kept_under(name: str, folder: str) -> bool:
    """Return whether a spec belongs in a folder: that of its name, or after a merge NAME-2 and so on."""
    numbered = re.fullmatch(r"(.+)-\d+", folder)
    return folder == name or (numbered is not None and name.startswith(numbered[1]))


def recompute_tables(store: Store, makers: Makers, count: int) -> Iterator[tuple[str, str]]:
    """Recompute ``count`` tables, chosen at random, and compare them with those that a store has.

    Yields
    ------
    str
        Path of a table.
    str
        ``equal``, ``rounded`` (made by another BLAS or version), ``wrong``, or ``skipped``: it cannot be made here, or
        another BLAS made it whose rounding the training has amplified. Damaged tables are left out.
    """
    paths = tables(store) if count else []
    for path in sorted(random.sample(paths, min(count, len(paths)))):
        try:
            file = TableFile(store.files, path)
            stored = file.frame()
        except StoreError:  # `verify_tables` reports it
            continue
        if path not in makers:
            yield path, "skipped"
            continue
        try:
            made = as_stored(makers[path]())
        except InputError:  # its data are not there any more
            yield path, "skipped"
            continue
        if made.equals(stored):
            yield path, "equal"
        elif file.metadata.get("blas") == blas_kernel():
            yield path, "wrong"
        else:
            yield path, "rounded" if _near(made, stored) else "skipped"


def _near(made: pd.DataFrame, stored: pd.DataFrame) -> bool:
    """Return whether two tables agree up to rounding."""
    try:
        pd.testing.assert_frame_equal(made, stored, check_exact=False, rtol=_ROUNDING, atol=0.0)
    except AssertionError:
        return False
    return True
