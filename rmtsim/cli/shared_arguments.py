"""Arguments that several verbs share."""

from __future__ import annotations

import argparse

from rmtsim.cli.argument_types import seed, size_in_bytes, whole


def add_spec(p: argparse.ArgumentParser) -> None:
    """Take what to plan or run, and in which store."""
    p.add_argument(
        "spec",
        metavar="SPEC",
        help="a .toml file, or a built-in: figure8, figure9, figure9_mse, linear_mse, vocabulary, finite_size, "
        "finite_size_hidden, agreement_linear, agreement_vocabulary, agreement_linear_mse, agreement_hidden, "
        "agreement_hidden_vocabulary, agreement_widths, agreement_cross, agreement_hidden_mse, agreement_he, "
        "agreement_xavier, regime_aspect, regime_samples, regime_dim, regime_dim_hidden, regime_width, "
        "regime_width_mse; or of training runs: training; or the name of a figure of an experiment: fig2, fig3, fig4, "
        "fig5, fig6, fig7, fig10, fig11, fig12, fig13, slides_classes, deep, dynamic_force, training_rates, "
        "training_spectra, fan_out, simo, wishart, spectrum, decoupling",
    )
    add_sizes(p)
    add_store(p)


def add_sizes(p: argparse.ArgumentParser) -> None:
    """Take whether at the paper's sizes."""
    p.add_argument(
        "--full", action="store_true", help="of figures: the paper's sizes, not those that 2 cores manage in minutes"
    )


def add_full(p: argparse.ArgumentParser) -> None:
    """Take sizes and data of a figure."""
    add_sizes(p)
    p.add_argument("--data", metavar="FOLDER", help="the unpacked CIFAR-100 in its Python format, for figure 1")


def add_store(p: argparse.ArgumentParser, required: bool = True) -> None:
    """Take the store."""
    p.add_argument("--store", required=required, metavar="DIR", help="the store: a directory, or s3://bucket/prefix")


def add_selection(p: argparse.ArgumentParser) -> None:
    """Take which of its draws."""
    p.add_argument(
        "--where",
        metavar="EXPR",
        help="take the draws for which this holds, such as \"dim == 500 and loss in ['ce', 'mse']\"; default: all",
    )
    p.add_argument("--sweep", metavar="NAME", help="take the draws of this sweep, by the name of its spec")
    p.add_argument("--seed", type=seed, help="take the draws of this seed")


def add_json(p: argparse.ArgumentParser) -> None:
    """Take whether to print JSON."""
    p.add_argument("--json", action="store_true", help="print one JSON document")


def add_workers(p: argparse.ArgumentParser) -> None:
    """Take how many tasks at a time."""
    p.add_argument("--workers", type=whole, metavar="N", help="tasks at a time (default: one per core or GPU)")


def add_memory(p: argparse.ArgumentParser) -> None:
    """Take how much memory."""
    p.add_argument(
        "--memory",
        type=size_in_bytes,
        metavar="SIZE",
        help="memory for all draws at a time, such as 1.5GiB, the 220 MiB of Python included (default: nine tenths of "
        "what the job may use); on a cluster or a GPU, for each worker; large draws are then made in pieces",
    )
