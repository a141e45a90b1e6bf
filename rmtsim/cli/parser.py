"""The parser of the command line. Its verbs stand in `rmtsim.cli.options`, each with its arguments and its help."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from rmtsim.cli.argument_errors import in_our_words, unknown_arguments
from rmtsim.cli.exit_codes import MEANINGS
from rmtsim.cli.help_names import KEYS, with_names
from rmtsim.cli.options import figures, measure, stores, sweeps, theory
from rmtsim.cli.printing import print_message
from rmtsim.cli.shared_arguments import Verb
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

#: What adds each verb, in the order in which they are listed.
_VERBS: tuple[Callable[[Verb], None], ...] = (
    figures.add_reproduce,
    sweeps.add_plan,
    sweeps.add_run,
    sweeps.add_status,
    sweeps.add_fit,
    figures.add_figure,
    figures.add_plot,
    figures.add_report,
    stores.add_verify,
    stores.add_merge,
    stores.add_compact,
    stores.add_export,
    theory.add_theory,
    measure.add_measure,
)


class _Parser(argparse.ArgumentParser):
    """A parser that reports bad input in one line."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the command line; end with 2 where arguments are left, naming them without secrets of addresses.

        ``help VERB`` is ``VERB --help``.
        """
        found, left = self.parse_known_args(args, namespace)
        if left:
            self._verbs().get(found.verb, self).refuse(left)
        if found.verb == "help":
            self.parse_args([*([found.about] if found.about else []), "--help"])
        return found

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is known; end with 2 at a mistyped option, before one that it stands for is missed."""
        first = next(iter(sys.argv[1:] if args is None else args), "")
        if self._subparsers is not None and first.startswith("-") and first not in self._option_string_actions:
            self.refuse([first])
        if args is not None and self._subparsers is None:  # a verb's parser
            for word in args:
                option, known = word.partition("=")[0], self._option_string_actions
                mistyped = option.startswith("--") or f"-{option}" in known  # -store is no option of one letter
                if mistyped and option not in known and did_you_mean(option, known):
                    self.refuse([word])
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

    def _verbs(self) -> dict[str, _Parser]:
        """Return the parsers of verbs, by their names."""
        return next((dict(one.choices) for one in self._actions if isinstance(one, argparse._SubParsersAction)), {})

    def refuse(self, arguments: list[str]) -> NoReturn:
        """End with 2 at arguments that are not known, naming them without secrets of addresses."""
        said = unknown_arguments([shown(word) for word in arguments], self._option_string_actions)
        key = arguments[0].partition("=")[0].lstrip("-").replace("-", "_")
        if self.epilog == KEYS and re.search(rf"^ +{re.escape(key)}\*? ", with_names(KEYS), re.MULTILINE):
            said += f": {key} is a key of the spec"
        self.error(said)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and whose help to read, in one line; end with 2."""
        print_message(f"{self.prog}: {in_our_words(message, self._actions)}; see {self.prog} --help")
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

    for add in _VERBS:
        add(verb)
    p = verbs.add_parser("help", help="print this text, or that of a verb", allow_abbrev=False)
    p.add_argument("about", nargs="?", metavar="VERB", choices=verbs.choices, help="the verb (default: all of them)")
    return top
