"""Options of the verb measure."""

from __future__ import annotations

import argparse

from rmtsim.cli.argument_types import positive, seed, size_in_bytes, table_file, whole
from rmtsim.cli.shared_arguments import Verb, add_json
from rmtsim.model.choices import NULLS


def add_measure(verb: Verb) -> None:
    """Add the verb ``measure``."""
    p = verb(
        "measure",
        "measure the Hessian blocks of the last layer of a trained network",
        "With cross-entropy the Hessian of the last layer is that of the linear model, with the network's features as "
        "X (N, d) and the head's weights as V (C, d); the labels do not enter. Files are .safetensors, .npy or .npz, "
        "or the index of a sharded checkpoint (.safetensors.index.json), in float64, float32, float16 or bfloat16, "
        "read row by row; TENSOR names one of several in a file. Norms are of batches of N samples, with standard "
        "errors over batches.",
        "measure_verb",
    )
    _add_head(p)
    _add_batches(p)
    _add_comparisons(p)
    _add_classes(p)
    _add_arithmetic(p)
    add_json(p)


def _add_head(p: argparse.ArgumentParser) -> None:
    p.add_argument("--weights", required=True, metavar="FILE[:TENSOR]", help="the weights of the head, (C, d)")
    p.add_argument("--features", required=True, metavar="FILE[:TENSOR]", help="what the head is given, (rows, d)")
    p.add_argument("--bias", metavar="FILE[:TENSOR]", help="the bias of the head, (C,)")
    p.add_argument(
        "--bias-as",
        choices=("column", "left-out"),
        help="column: the weight of a further input that is always 1, in the blocks (default); left-out: in the logits "
        "alone",
    )
    p.add_argument(
        "--scale", default=1.0, type=positive, metavar="X", help="logits are X times (V x + bias) (default: 1)"
    )


def _add_batches(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--batch", type=whole, metavar="N", help="samples of a batch (default: equal batches of at most 2048)"
    )
    order = p.add_mutually_exclusive_group()
    order.add_argument(
        "--shuffle", type=seed, metavar="SEED", help="share rows out to batches at random, by this seed (default: 0)"
    )
    order.add_argument(
        "--by-sequence", action="store_true", help="take rows as they follow each other, as where batches are sequences"
    )


def _add_comparisons(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--nulls",
        nargs="+",
        choices=(*NULLS, "none"),
        metavar="NAME",
        help=f"what is computed beside it: of {', '.join(NULLS)}, or none (default: all)",
    )
    p.add_argument(
        "--permutations", default=16, type=whole, metavar="R", help="of features, for decoupled (default: 16)"
    )


def _add_classes(p: argparse.ArgumentParser) -> None:
    p.add_argument("--top", type=whole, metavar="K", help="list the K strongest off-diagonal blocks")
    p.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="names of the classes: one a line, or .json with a list, an object of name to number, or a tokenizer",
    )
    p.add_argument(
        "--groups",
        metavar="FILE",
        help="a partition of the classes, whose shares are printed: the group of each class, one a line, or .json with "
        "a list of them, or with an object of group to numbers of classes",
    )
    p.add_argument(
        "--classes-out",
        type=table_file,
        metavar="FILE",
        help="write the squared norm of every diagonal block and the predicted frequency of its class to this file: "
        ".csv, .parquet or .json",
    )
    p.add_argument(
        "--blocks",
        type=whole,
        metavar="K",
        help="compute the squared norms of all blocks between the K most frequent classes, at most 256, which --json "
        "lists and the figure `head` draws",
    )


def _add_arithmetic(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        help="the arithmetic's (default: float64 where a file has it, else float32, which holds half precision)",
    )
    p.add_argument("--threads", type=whole, metavar="N", help="threads (default: one for every core)")
    p.add_argument(
        "--memory",
        type=size_in_bytes,
        metavar="SIZE",
        help="limit on memory, such as 3GiB, including the 220 MiB of Python (default: nine tenths of what the job may "
        "use)",
    )
