"""The reference of the command line, from its parsers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from textwrap import fill

from docs.generate.markdown import code, table
from rmtsim.cli.exit_codes import MEANINGS
from rmtsim.cli.help_names import FIGURES_OF_TABLES, GROUPS, SWEEPS, TRAININGS
from rmtsim.cli.parser import parser

#: What stands in the reference in place of long lists of names.
_NAMES = {
    SWEEPS: "[one of these](built-in-specs.md#sweeps)",
    TRAININGS: "[one of these](built-in-specs.md#training-runs)",
    FIGURES_OF_TABLES: "[one of these](figures.md)",
    GROUPS: "[these](figures.md)",
    "the keys below": "[these keys](spec.md)",
}

#: Where a line is not broken.
_TIE = "\N{NO-BREAK SPACE}"


def verbs() -> str:
    """Return a section for each verb: what it does, how it is called, and its arguments."""
    return "\n\n".join(_section(name, verb) for name, verb in _verbs())


def in_short() -> str:
    """Return a table of the verbs, each with what it does in a sentence."""
    return table(["verb", "does"], ([f"[`rmtsim {name}`](#{name})", _text(does)] for name, does in _short()))


def exit_codes() -> str:
    """Return the table of the exit codes."""
    return table(["code", "means"], MEANINGS.items())


def _verbs() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    [choices] = [action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return iter(choices.items())


def _section(name: str, verb: argparse.ArgumentParser) -> str:
    arguments = [action for action in verb._actions if not isinstance(action, argparse._HelpAction)]
    usage = " ".join(["rmtsim", name, *map(_called, sorted(arguments, key=lambda action: not action.required))])
    usage = fill(usage, 100, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False)
    usage = usage.replace(_TIE, " ")
    parts = [f"### {name}", _text(verb.description or f"{dict(_short())[name].capitalize()}."), code(usage)]
    if arguments:
        parts.append(table(["argument", "meaning"], ([f"`{_shown(one)}`", _meaning(one)] for one in arguments)))
    return "\n\n".join(parts)


def _short() -> Iterator[tuple[str, str]]:
    [verbs] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return ((action.dest, str(action.help)) for action in verbs._choices_actions)


def _called(action: argparse.Action) -> str:
    """Return an argument as it stands in the line that calls the verb."""
    shown = _shown(action).replace(" ", _TIE)
    return f"[{shown}]" if not action.required or action.nargs in ("*", "?") else shown


def _shown(action: argparse.Action) -> str:
    """Return an argument with the name of what it takes."""
    value = action.metavar or (str(action.dest).upper() if action.nargs != 0 else "")
    several = f"{value} …" if action.nargs in ("+", "*") else str(value)
    return " ".join(filter(None, [action.option_strings[-1] if action.option_strings else "", several]))


def _meaning(action: argparse.Action) -> str:
    meaning = _text(action.help or "")
    if action.choices is not None and action.dest != "about":
        choices = ", ".join(f"`{choice}`" for choice in action.choices)
        meaning = f"{meaning}; one of {choices}" if meaning else f"one of {choices}"
    return meaning


def _text(text: str) -> str:
    """Return a help text as Markdown, with its placeholders filled in and options as code."""
    for placeholder, shown in _NAMES.items():
        text = text.replace(placeholder, shown)
    parts = re.split(r"(`[^`]*`)", text.replace("%%", "%"))
    parts[::2] = [re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"`\1`", part) for part in parts[::2]]
    return "".join(parts).strip()
