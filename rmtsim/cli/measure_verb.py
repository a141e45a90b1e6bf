"""The verb ``measure``: the Hessian blocks of the last layer of a trained network, from files."""

from __future__ import annotations

import argparse
import re

from rmtsim.cli.exit_codes import DONE
from rmtsim.cli.printing import print_json, print_message, print_text, wrapped
from rmtsim.cli.table_output import encoded
from rmtsim.errors import InputError
from rmtsim.files.output_files import check_output, write_output
from rmtsim.files.tensors import open_matrix, open_vector
from rmtsim.heads.measurement import measure as measured
from rmtsim.model.choices import NULLS
from rmtsim.text.words import number_of

__all__ = ["measure"]

#: The options of what the library calls otherwise, or by a name that could be mistaken.
_OPTIONS = {"V": "--weights", "X": "--features", "bias": "--bias", "batch": "--batch", "top": "--top"}
_OPTIONS |= {"groups": "--groups", "vocabulary": "--vocabulary", "blocks": "--blocks"}


def measure(arguments: argparse.Namespace) -> int:
    """Measure a head, print what was found, and write the table of classes."""
    out = arguments.classes_out
    if out is not None:
        check_output(out, "--classes-out")
    weights = open_matrix(arguments.weights, what="--weights")
    features = open_matrix(arguments.features, what="--features")
    bias = None if arguments.bias is None else open_vector(arguments.bias, what="--bias")
    if arguments.bias is None and arguments.bias_as is not None:
        raise InputError("--bias-as: there is no bias; give --bias FILE, or leave it out")
    if arguments.nulls is not None and len(arguments.nulls) > 1 and "none" in arguments.nulls:
        raise InputError(
            f"--nulls: {', '.join(arguments.nulls)} contradict each other; give none alone, or leave it out"
        )
    try:
        found = measured(
            weights,
            features,
            bias=bias,
            bias_as=arguments.bias_as or "column",
            scale=arguments.scale,
            batch=arguments.batch,
            shuffle=arguments.shuffle or 0,
            by_sequence=arguments.by_sequence,
            nulls=NULLS if arguments.nulls is None else [name for name in arguments.nulls if name != "none"],
            permutations=arguments.permutations,
            top=arguments.top or 0,
            vocabulary=arguments.vocabulary,
            classes=out is not None,
            blocks=arguments.blocks or 0,
            groups=arguments.groups,
            dtype=arguments.dtype,
            threads=arguments.threads,
            memory=arguments.memory,
        )
    except InputError as error:
        name, colon, rest = str(error).partition(": ")
        raise InputError(f"{_OPTIONS.get(name, name)}{colon}{_in_options(rest)}") from error
    if out is not None and found.classes is not None:
        write_output(out, encoded(found.classes, out), "--classes-out")
        print_message(f"{out}: {number_of(len(found.classes), 'row')}")
    if arguments.json:
        print_json(found.document() | {"classes_out": out})
    else:
        lines = found.text().splitlines()  # those of tables are indented, and stay as they are
        print_text("\n".join(line if line.startswith(" ") else wrapped(line) for line in lines), lines=True)
    return DONE


def _in_options(text: str) -> str:
    """Return text with the options in the place of V and X, unless these are parts of the name of a file."""
    return re.sub(r"(?<![\w./:-])[VX](?![\w./:-])", lambda found: _OPTIONS[found[0]], text)
