"""The parser of the command line: verbs, their arguments and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from rmtsim.cli.argument_types import directory, pause, positive, seed, size_in_bytes, table_file, whole
from rmtsim.cli.exit_codes import MEANINGS
from rmtsim.cli.help_names import GROUPS, KEYS, with_names
from rmtsim.cli.printing import print_message
from rmtsim.cli.shared_arguments import (
    add_full,
    add_json,
    add_memory,
    add_running,
    add_selection,
    add_spec,
    add_store,
    add_workers,
)
from rmtsim.model.choices import ACTIVATIONS, LOSSES, MODELS, NULLS, STATES, WEIGHTS
from rmtsim.model.ensemble import INITS
from rmtsim.text.addresses import shown
from rmtsim.text.words import did_you_mean
from rmtsim.version import __version__

_EPILOG = """\
examples:
  rmtsim reproduce                                  Figures 8 and 9 with the verdict table, into ./out
  rmtsim plan figure8 --store results               what that sweep would cost
  rmtsim run my.toml --store results                run it, or go on where it stopped
  rmtsim run fan_out --store out/store --address auto    the tables of a figure, on a cluster
  rmtsim status --store results                     what is there, and what limits the rest
  rmtsim verify --store results --recompute 100     is every row sound?
  rmtsim merge cluster1 s3://bucket/sweep --store results
  rmtsim fit --store results                        exponents and constants beside the theorems'
  rmtsim figure fig8 --store results --out f8.pdf
  rmtsim plot --store results --by aspect_ratio --panel layer --out p.png
  rmtsim report --store results --out report.html   all of that on one page, for a browser
  rmtsim figure --list                              every figure, with its source and what it costs
  rmtsim reproduce all                              all of them, and a gallery
  rmtsim theory --model linear --loss ce --classes 10 1000 100000 --aspect-ratio 0.5
  rmtsim measure --weights model.safetensors:lm_head.weight --features features.npy
  rmtsim figure head --measured step0.json step100.json --by-step --out head.pdf

exit codes:
{codes}
to go on until a sweep is finished, in a script:
  trap 'exit 130' INT TERM
  while rmtsim run SPEC --store DIR --time-limit 55min; code=$?; [ $code = 3 ]; do :; done
  exit $code
"""


class _Parser(argparse.ArgumentParser):
    """A parser that reports bad input in one line."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the command line; end with 2 where arguments are left, naming them without secrets of addresses.

        ``help VERB`` is ``VERB --help``.
        """
        found, left = self.parse_known_args(args, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(map(shown, left))}", verb=found.verb)
        if found.verb == "help":
            self.parse_args([*([found.about] if found.about else []), "--help"])
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is known; end with 2 at a mistyped option, before one that it stands for is missed."""
        if args is not None and self._subparsers is None:  # a verb's parser
            for word in args:
                option, known = word.partition("=")[0], self._option_string_actions
                if option.startswith("--") and option not in known and (meant := did_you_mean(option, known)):
                    self.error(f"unrecognized argument: {shown(word)}{meant}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Check a choice, such as that of a verb."""
        if action.choices is not None and value not in action.choices:
            meant = did_you_mean(value, map(str, action.choices))
            choices = ", ".join(map(str, action.choices))
            raise argparse.ArgumentError(action, f"{shown(str(value))!r} is not known{meant}; choose one of {choices}")

    def format_help(self) -> str:
        """Return the help text, with the names of specs and figures, and the keys of specs."""
        for action in self._actions:
            if action.help:
                action.help = with_names(action.help)
        return with_names(super().format_help())  # the keys of specs have lines of their own

    def error(self, message: str, verb: str | None = None) -> NoReturn:
        """Print what is wrong, and whose help to read, in one line; end with 2."""
        name = f"{self.prog} {verb}" if verb else self.prog
        print_message(f"{name}: {message}; see {name} --help")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """Build the parser of all verbs."""
    top = _Parser(
        prog="rmtsim",
        description="Monte Carlo engine with distributed sweeps for the Hessian structure of neural networks.",
        epilog=_EPILOG.format(codes="\n".join(f"  {code}  {meaning}" for code, meaning in MEANINGS.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"rmtsim {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, short: str, long: str, module: str = "sweep_verbs") -> argparse.ArgumentParser:
        p: argparse.ArgumentParser = verbs.add_parser(
            name, help=short, description=f"{short[0].upper()}{short[1:]}. {long}", allow_abbrev=False
        )
        p.set_defaults(module=f"rmtsim.cli.{module}")  # whose function of the verb's name does it
        return p

    p = verb(
        "reproduce",
        "plan, run, fit and draw figures of the paper; print the verdict table",
        "Writes DIR/store (Parquet), DIR/FIGURE.png and .pdf, the verdicts on fig8, fig9 and vocabulary to "
        "DIR/verdicts.json and .txt, the numbers of the others to DIR/FIGURE.txt. `all` makes every figure, cheapest "
        "first, goes on where one cannot be made, and writes DIR/gallery.md. A repeat resumes or redraws.",
        "figure_verbs",
    )
    p.add_argument(
        "figures",
        nargs="*",
        metavar="FIGURE",
        help=f"fig8 and fig9 (default: both) stand for their MSE cases, too; or all; or any of {GROUPS}",
    )
    add_full(p)
    p.add_argument("--out", default="out", type=directory, metavar="DIR", help="where everything goes (default: out)")
    add_running(p)

    p = verb(
        "plan",
        "print what a run would do; changes nothing",
        "The number of draws that the target takes is estimated as a range, from the draws that the store has, or from "
        "a few draws that are made for it and not kept. Work is counted in flops; times are for this machine.",
    )
    p.epilog = KEYS
    add_spec(p)
    add_workers(p)
    add_memory(p)
    add_json(p)

    p = verb(
        "run",
        "run a sweep or an experiment, or go on with it",
        "Every point gets draws until it reaches its target precision or max_draws. You may kill a run at any time: "
        "the same command goes on, and ends with the same rows. A finished sweep says `nothing to do`. A spec of your "
        "own is a TOML file with the keys below; sweeps/example.toml is one to copy. With the name of a figure it "
        "computes the tables that the figure shows; `rmtsim reproduce FIGURE --out OUT` then draws them from "
        "OUT/store.",
    )
    p.epilog = KEYS
    add_spec(p)
    add_running(p)
    add_json(p)

    _add_status(verb)

    p = verb(
        "fit",
        "compare measured exponents and constants with the theorems",
        "Prints for each claim of Theorems 1 and 2 the fitted exponent and constant with standard errors, chi2/dof and "
        "a verdict, and how well the points agree with the theory at their own size.",
    )
    add_store(p)
    add_selection(p)
    p.add_argument("--points", action="store_true", help="also print every point with its theory")
    add_json(p)

    p = verb(
        "figure",
        "draw a figure from a store, or list all",
        "The suffix of FILE, .png, .pdf or .svg, chooses the format. Figures of draws take those of any sweep of their "
        "model and loss: fig8 those of every linear model with cross-entropy, not of the sweep figure8 alone.",
        "figure_verbs",
    )
    p.add_argument("name", nargs="?", metavar="NAME", help="a name that --list prints, such as fig8")
    add_store(p, required=False)
    p.add_argument("--out", metavar="FILE", help="file to write: .png, .pdf or .svg")
    add_selection(p)
    add_full(p)
    p.add_argument(
        "--measured",
        nargs="+",
        metavar="FILE",
        help="with head: draw these measurements, which `rmtsim measure --json` printed, in place of a store's",
    )
    p.add_argument(
        "--by-step",
        action="store_true",
        help="with --measured: FILEs are checkpoints of one network, each after the steps of training that the last "
        "number in its name says, as in step100.json (default: they are models)",
    )
    p.add_argument("--list", action="store_true", help="print every figure with its source, cost and command instead")
    add_json(p)

    _add_plot(verb)
    _add_report(verb)
    _add_store_verbs(verb)

    p = verb(
        "theory",
        "predict the mean squared norms of diagonal and off-diagonal blocks",
        "Prints the limit d, N -> infinity at each number of classes, and its leading coefficients as C -> infinity "
        "(large_c). With --dim and --samples it prints the value at that finite size instead; with --spectrum, the law "
        "of the eigenvalues as d, N -> infinity.",
        "theory_verb",
    )
    p.add_argument("--model", required=True, choices=MODELS, help="the network")
    p.add_argument("--loss", required=True, choices=LOSSES, help="cross-entropy or squared error")
    p.add_argument("--classes", required=True, nargs="+", type=whole, metavar="C", help="numbers of classes")
    p.add_argument("--aspect-ratio", nargs="+", type=positive, metavar="G", help="d/N, one or more")
    p.add_argument("--width", nargs="+", type=whole, metavar="M", help="hidden neurons, with one_hidden")
    p.add_argument("--dim", type=whole, metavar="D", help="input dimension, with --samples")
    p.add_argument("--samples", type=whole, metavar="N", help="number of samples, with --dim")
    p.add_argument(
        "--init",
        default="lecun",
        choices=INITS,
        help="variance of a weight: 1/fan_in (lecun, default), 2/fan_in (he), 2/(fan_in + fan_out) (xavier, which is "
        "2/fan_in for fan-in d in the limit d -> infinity)",
    )
    for name, what in (("data-variance", "variance of the data"), ("hidden-gain", "W's"), ("last-gain", "V's")):
        meaning = what if name == "data-variance" else f"factor of {what} variance"
        p.add_argument(f"--{name}", default=1.0, type=positive, metavar="X", help=f"{meaning} (default: 1)")
    p.add_argument(
        "--data",
        default="gaussian",
        metavar="LAW",
        help="law of the data: gaussian (default), rademacher, uniform, student_t:NU, sphere, ar1:RHO, spectrum:ALPHA "
        "or spiked:K:S",
    )
    p.add_argument("--weights", default="gaussian", choices=WEIGHTS, help="law of the weights (default: gaussian)")
    p.add_argument("--activation", default="relu", choices=ACTIVATIONS, help="of the hidden neurons (default: relu)")
    p.add_argument("--spectrum", action="store_true", help="the limiting density of the blocks' eigenvalues instead")
    p.add_argument(
        "--block",
        nargs="+",
        choices=("diag", "offdiag"),
        help="with --spectrum: which blocks (default: both)",
    )
    p.add_argument("--seed", type=seed, help="with --spectrum and one hidden layer: of V, which is fixed (default: 0)")
    p.add_argument(
        "--out", metavar="FILE", help="with --spectrum: draw into this file, .png, .pdf or .svg, instead of printing"
    )
    add_json(p)

    _add_measure(verb)

    p = verbs.add_parser("help", help="print this text, or that of a verb", allow_abbrev=False)
    p.add_argument("about", nargs="?", metavar="VERB", choices=verbs.choices, help="the verb (default: all of them)")
    return top


def _add_status(verb: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    p = verb(
        "status",
        "print points per state, precision reached, core-hours spent and left, and what limits the rest",
        "Reads only the store. With --watch it looks again and again, at the points of sweeps, until no point of the "
        "chosen models and classes wants more draws; Ctrl-C ends the watch, not the sweep.",
    )
    add_store(p)
    p.add_argument("--model", nargs="+", choices=MODELS, help="points of these models (default: all)")
    p.add_argument("--classes", nargs="+", type=whole, metavar="C", help="points of these numbers of classes")
    p.add_argument("--state", nargs="+", choices=STATES, help="points that are in these states")
    p.add_argument("--watch", action="store_true", help="look again and again; with --json, a line of JSON each time")
    p.add_argument(
        "--every",
        type=pause,
        metavar="TIME",
        help="with --watch: time between two looks, such as 30s or 5min (default: 5s)",
    )
    add_json(p)


def _add_plot(verb: Callable[[str, str, str, str], argparse.ArgumentParser]) -> None:
    p = verb(
        "plot",
        "plot any column of the table of means against any other",
        "The columns are those that `rmtsim export` writes: sizes (n_classes, dim, n_samples, width, aspect_ratio), "
        "model, loss, layer, the ensemble, draws, diag_sqfro, offdiag_sqfro, ratio, and std_error_..., rse_..., "
        "skewness_... and heavy_tail_... of each. With bars of a standard error, and the theory where there is one; "
        "faint marks have too heavy a tail.",
        "plot_verb",
    )
    add_store(p)
    p.add_argument("--out", required=True, metavar="FILE", help="file to write: .png, .pdf or .svg")
    p.add_argument("--x", default="n_classes", metavar="COLUMN", help="along the axis (default: n_classes)")
    p.add_argument("--y", default="ratio", metavar="COLUMN", help="upwards (default: ratio)")
    p.add_argument("--by", metavar="COLUMN", help="a colour for each value; where more varies, markers tell it apart")
    p.add_argument("--panel", metavar="COLUMN", help="a panel for each value")
    add_selection(p, "rows of the table of means")
    p.add_argument(
        "--linear",
        nargs="+",
        choices=("x", "y"),
        help="axes that are linear (default: logarithmic where all values are positive and differ by more than a "
        "factor of 3)",
    )
    p.add_argument("--no-theory", action="store_true", help="leave the theory out")


def _add_report(verb: Callable[[str, str, str, str], argparse.ArgumentParser]) -> None:
    p = verb(
        "report",
        "write a report of a store: one HTML file that needs no network",
        "It says what was run, by which version and kernels; gives the verdicts, the figures with their numbers, the "
        "state and precision of every point, what is damaged or missing, and the commands and specs that make it "
        "again. Equal stores give equal files.",
        "report_verb",
    )
    add_store(p)
    p.add_argument("--out", required=True, metavar="FILE", help="file to write: .html")
    add_selection(p)
    p.add_argument("--no-theory", action="store_true", help="leave the theory out, and the verdicts with it")


def _add_measure(verb: Callable[[str, str, str, str], argparse.ArgumentParser]) -> None:
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
    add_json(p)


def _add_store_verbs(verb: Callable[[str, str, str, str], argparse.ArgumentParser]) -> None:
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

    p = verb(
        "merge",
        "add the draws of other stores",
        "Makes the union by point, seed, draw and layer. It is refused, with nothing written, where stores contradict "
        "each other. A spec whose name the store has for another spec is kept as NAME-2. A repeat adds nothing.",
        "store_verbs",
    )
    p.add_argument("sources", nargs="+", metavar="SOURCE", help="stores to add: directories or s3://bucket/prefix")
    add_store(p)

    p = verb(
        "compact",
        "join many small shards into few large ones",
        "Repeated rows are dropped. You may kill it at any time: no row is lost, and none is repeated.",
        "store_verbs",
    )
    add_store(p)

    p = verb(
        "export",
        "write a table of means and standard errors, one row per point and layer",
        "The suffix of FILE, .csv, .parquet or .json, chooses the format.",
        "store_verbs",
    )
    add_store(p)
    add_selection(p)
    p.add_argument("--out", required=True, type=table_file, metavar="FILE", help="file to write")
