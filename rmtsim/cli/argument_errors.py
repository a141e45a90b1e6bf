"""What argparse says of a command line that is not valid, in the form of all messages: what, and what is valid."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence

from rmtsim.text.words import did_you_mean

Actions = dict[str, argparse.Action]


def in_our_words(message: str, actions: Iterable[argparse.Action]) -> str:
    """Return a message of argparse on arguments of a parser in our form; one that is in it already as it is.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> _ = parser.add_argument("--store", required=True, metavar="DIR", help="the store")
    >>> in_our_words("the following arguments are required: --store", parser._actions)
    '--store: it is missing; give --store DIR (the store)'
    >>> in_our_words("argument --store: expected one argument", parser._actions)
    '--store: it has no value; give --store DIR (the store)'
    """
    known = {_name(action): action for action in actions}
    for pattern, words in _SENTENCES:
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return words(known, *found.groups())
    return message


def unknown_arguments(given: Sequence[str], options: Iterable[str]) -> str:
    """Return that arguments are not known, with the option that the first may stand for.

    Examples
    --------
    >>> unknown_arguments(["--stroe=s"], ["--store", "--json"])
    '--stroe=s: it is not known (did you mean --store?); correct it, or leave it out'
    >>> unknown_arguments(["a", "b"], ["--store"])
    'a, b: they are not known; leave them out'
    """
    first = given[0].partition("=")[0]
    meant = did_you_mean(first, options) if first.startswith("-") else ""
    be, them = ("it is", "it") if len(given) == 1 else ("they are", "them")
    advice = f"correct {them}, or leave {them} out" if meant else f"leave {them} out"
    return f"{', '.join(given)}: {be} not known{meant}; {advice}"


def _missing(known: Actions, names: str) -> str:
    several = names.split(", ")
    what = "it is missing" if len(several) == 1 else "they are missing"
    return f"{names}: {what}; give {', and '.join(_form(known, name) for name in several)}"


def _without_value(known: Actions, name: str) -> str:
    return f"{name}: it has no value; give {_form(known, name)}"


def _contradiction(known: Actions, name: str, other: str) -> str:
    return f"{name}: it contradicts {other}; give one of them"


def _needless_value(known: Actions, name: str, value: str) -> str:
    return f"{name}: it takes no value, and has {value}; give {name} alone"


def _other(known: Actions, name: str, rest: str) -> str:
    return f"{name}: {rest}"


#: What argparse says, and what we say.
_SENTENCES: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"the following arguments are required: (.*)", _missing),
    (r"argument ([^:]+): expected (?:one|at least one|at most one|\d+) arguments?", _without_value),
    (r"argument ([^:]+): not allowed with argument (.*)", _contradiction),
    (r"argument ([^:]+): ignored explicit argument (.*)", _needless_value),
    (r"argument ([^:]+): (.*)", _other),
)


def _name(action: argparse.Action) -> str:
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


def _form(known: Actions, name: str) -> str:
    """Return how an argument is given, and the first part of its help."""
    action = known[name]
    value = "" if action.nargs == 0 or not action.option_strings else str(action.metavar or action.dest.upper())
    given = f"{name} {value}".rstrip()
    if action.choices is not None:
        return f"{given} (one of {', '.join(map(str, action.choices))})"
    about = (action.help or "").partition(";")[0]
    if "<" in about:  # names that the help lists, of which there are dozens
        about = about.partition(":")[0]
    return f"{given} ({about})" if about else given
