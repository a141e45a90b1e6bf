"""Options of the verbs of stores: verify, merge, compact and export."""

from __future__ import annotations

from rmtsim.cli.argument_types import table_file, whole
from rmtsim.cli.shared_arguments import Verb, add_json, add_selection, add_store


def add_verify(verb: Verb) -> None:
    """Add the verb ``verify``."""
    p = verb(
        "verify",
        "check a store for damage, with advice on each finding",
        "Reads every byte, and prints a line for each shard that is torn, foreign, unreadable or gone, for repeated "
        "rows, and for draws that a sweep has still to make. Changes nothing. The exit code is 1 if anything is "
        "damaged, else 0.",
        "store_verbs",
    )
    add_store(p)
    p.add_argument(
        "--recompute", default=0, type=whole, metavar="N", help="recompute N stored draws and N tables, and compare"
    )
    add_json(p)


def add_merge(verb: Verb) -> None:
    """Add the verb ``merge``."""
    p = verb(
        "merge",
        "add the draws of other stores",
        "Makes the union by point, seed, draw and layer. It is refused, with nothing written, where stores contradict "
        "each other. A spec whose name the store has for another spec is kept as NAME-2. A repeat adds nothing.",
        "store_verbs",
    )
    p.add_argument("sources", nargs="+", metavar="SOURCE", help="stores to add: directories or s3://bucket/prefix")
    add_store(p)


def add_compact(verb: Verb) -> None:
    """Add the verb ``compact``."""
    p = verb(
        "compact",
        "join many small shards into few large ones",
        "Repeated rows are dropped. You may kill it at any time: no row is lost, and none is repeated.",
        "store_verbs",
    )
    add_store(p)


def add_export(verb: Verb) -> None:
    """Add the verb ``export``."""
    p = verb(
        "export",
        "write a table of means and standard errors, one row per point and layer",
        "The suffix of FILE, .csv, .parquet or .json, chooses the format.",
        "store_verbs",
    )
    add_store(p)
    add_selection(p)
    p.add_argument(
        "--out",
        required=True,
        type=table_file,
        metavar="FILE",
        help="file to write; in .csv and .json, a point_id is the hash that the store has with p- before it: remove "
        "that to join the two",
    )
