"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
from typing import Protocol

from rmtsim.arrays.backend import backend_choices
from rmtsim.cli.argument_types import seed, share, size_in_bytes, time_limit, whole
from rmtsim.cli.help_names import FIGURES_OF_TABLES, SWEEPS, TRAININGS


class Verb(Protocol):
    """Adds a verb to the command line, and returns its parser."""

    def __call__(self, name: str, short: str, long: str, module: str = ...) -> argparse.ArgumentParser:
        """Add a verb of this name, with what it does in short and at length, which a module of the package does."""
        ...


def add_spec(p: argparse.ArgumentParser) -> None:
    """Add the spec to plan or run, the sizes, and the store."""
    p.add_argument(
        "spec",
        metavar="SPEC",
        help=f"a .toml file, or a built-in: {SWEEPS}; or of training runs: {TRAININGS}; or the name of a figure that "
        f"shows tables: {FIGURES_OF_TABLES}",
    )
    add_sizes(p)
    add_store(p)


def add_sizes(p: argparse.ArgumentParser) -> None:
    """Add the switch for the larger sizes of figures."""
    p.add_argument(
        "--full",
        action="store_true",
        help="of figures: larger than 2 cores manage in minutes; figures 2, 3, 5 and 13 as in the paper (figures 8 and "
        "9 have one size, which is ours: the paper's text gives none)",
    )


def add_full(p: argparse.ArgumentParser) -> None:
    """Add sizes and data of a figure."""
    add_sizes(p)
    p.add_argument("--data", metavar="FOLDER", help="the unpacked CIFAR-100 in its Python format, for figure 1")


def add_store(p: argparse.ArgumentParser, required: bool = True) -> None:
    """Add the store."""
    p.add_argument("--store", required=required, metavar="DIR", help="the store: a directory, or s3://bucket/prefix")


def add_selection(p: argparse.ArgumentParser, what: str = "draws") -> None:
    """Add the selection of draws, or of what else a condition is on."""
    p.add_argument(
        "--where",
        metavar="EXPR",
        help=f"take the {what} for which this holds, such as \"dim == 500 and loss in ['ce', 'mse']\" (default: all)",
    )
    p.add_argument("--sweep", metavar="NAME", help="take the draws of this sweep, by the name of its spec")
    p.add_argument("--seed", type=seed, help="take the draws of this seed")


def add_json(p: argparse.ArgumentParser) -> None:
    """Add the switch for JSON."""
    p.add_argument("--json", action="store_true", help="print one JSON document")


def add_workers(p: argparse.ArgumentParser) -> None:
    """Add the number of tasks at a time."""
    p.add_argument(
        "--workers", type=whole, metavar="N", help="number of tasks at a time (default: one per core or GPU)"
    )


def add_memory(p: argparse.ArgumentParser) -> None:
    """Add the limit on memory."""
    p.add_argument(
        "--memory",
        type=size_in_bytes,
        metavar="SIZE",
        help="limit on memory for all draws or tables at a time, such as 1.5GiB, including the 220 MiB of Python "
        "(default: nine tenths of what the job may use); on a cluster or a GPU it is for each worker; draws that need "
        "more are made in pieces",
    )


def add_running(p: argparse.ArgumentParser) -> None:
    """Add where and how to run."""
    p.add_argument(
        "--address",
        default="local",
        metavar="WHERE",
        help="local: threads of this process (default); ray: a Ray of its own on this machine; "
        "or a running cluster: auto, HOST:6379, ray://HOST:10001, which is asked only if there is something to do",
    )
    p.add_argument(
        "--backend",
        default="auto",
        choices=backend_choices(),
        help="what computes; auto takes a GPU where CuPy finds one (default: auto)",
    )
    add_workers(p)
    add_memory(p)
    p.add_argument("--fail-fast", action="store_true", help="stop at the first batch or table that fails for good")
    p.add_argument(
        "--time-limit",
        type=time_limit,
        metavar="TIME",
        help="stop after this time, such as 90s, 30min or 2h (a number alone is in seconds), or before the job that it "
        "runs in ends (slurm); the same command goes on",
    )


def add_audit(p: argparse.ArgumentParser) -> None:
    """Add the share of batches that are computed twice."""
    p.add_argument(
        "--audit",
        type=share,
        default=0.0,
        metavar="P",
        help="on a cluster, have this share of the batches computed on a second node, too, and compare: a node that "
        "computes wrongly is named and left out, and what it alone has computed is made again (default: 0)",
    )
