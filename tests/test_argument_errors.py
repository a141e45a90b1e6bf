"""Command lines that are not valid: each in the form of all messages, whatever argparse itself says of them."""

from __future__ import annotations

import argparse
from functools import cache

import pytest

from rmtsim.cli import parser as rmtsim_parser
from rmtsim.cli.argument_errors import in_our_words

#: Words of argparse, which users met before.
ITS_OWN = ("required", "expected", "argument", "unrecognized", "not allowed", "choose from", "invalid", "explicit")


@cache
def parser() -> argparse.ArgumentParser:
    """Return the parser, which is made once for hundreds of lines."""
    return rmtsim_parser.parser()


def verbs() -> dict[str, argparse.ArgumentParser]:
    return {name: verb for name, verb in parser()._verbs().items() if name != "help"}


def said(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(line)
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    [message] = printed.err.splitlines()
    assert not [words for words in ITS_OWN if words in message], message
    return message


def needed(verb: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in verb._actions if action.required and action.nargs not in ("*", "?")]


def filled(verb: argparse.ArgumentParser, leave_out: argparse.Action | None = None) -> list[str]:
    """Return a line with all that a verb needs, but one argument."""
    line = []
    for action in needed(verb):
        if action is not leave_out:
            value = str(next(iter(action.choices))) if action.choices else "x.csv" if action.dest == "out" else "1"
            line += [*action.option_strings[:1], value]
    return line


@pytest.mark.parametrize("name", verbs())
def test_every_argument_that_is_missing_is_named_with_what_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    verb = verbs()[name]
    for action in needed(verb):
        what = action.option_strings[0] if action.option_strings else action.metavar
        message = said([name, *filled(verb, action)], capsys)
        assert message.startswith(f"rmtsim {name}: {what}: it is missing; give {what}"), message
        assert message.endswith(f"; see rmtsim {name} --help")


@pytest.mark.parametrize("name", verbs())
def test_every_option_without_its_value(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for action in verbs()[name]._actions:
        if action.option_strings and action.nargs != 0:
            option = action.option_strings[0]
            message = said([name, *filled(verbs()[name]), option], capsys)
            assert message.startswith(f"rmtsim {name}: {option}: it has no value; give {option} "), message
            assert "<" not in message  # a placeholder of the help


@pytest.mark.parametrize("name", verbs())
def test_every_switch_with_a_value(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for action in verbs()[name]._actions:
        if action.option_strings and action.nargs == 0 and not isinstance(action, argparse._HelpAction):
            option = action.option_strings[0]
            message = said([name, *filled(verbs()[name]), f"{option}=yes"], capsys)
            assert f": {option}: it takes no value, and has 'yes'; give {option} alone; see" in message


@pytest.mark.parametrize("name", verbs())
def test_every_choice(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for action in verbs()[name]._actions:
        if action.option_strings and action.choices:
            option, first = action.option_strings[0], next(iter(action.choices))
            message = said([name, *filled(verbs()[name]), option, "zzz"], capsys)
            assert f"{name}: {option}: 'zzz' is not known; choose one of {first}, " in message


@pytest.mark.parametrize("name", verbs())
def test_options_that_are_not_known(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    verb = verbs()[name]
    message = said([name, *filled(verb), "--zzzzzzzz", "--qqqqqqqq=1"], capsys)
    assert message.startswith(f"rmtsim {name}: --zzzzzzzz, --qqqqqqqq=1: they are not known; leave them out; see")
    mistyped = next(option for option in verb._option_string_actions if len(option) > 4)[:-1]
    assert f"rmtsim {name}: {mistyped}: it is not known (did you mean --" in said([name, mistyped], capsys)


def test_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert said([], capsys).startswith("rmtsim: VERB: it is missing; give VERB (one of reproduce, plan, run, status, ")
    assert said(["rnu"], capsys).startswith("rmtsim: VERB: 'rnu' is not known (did you mean run?); choose one of repro")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["run", "figure8", "-store", "s"],
            "run: -store: it is not known (did you mean --store?); correct it, or leave",
        ),
        (
            ["run", "figure8", "--store", "s", "--draws", "9"],
            "run: --draws, 9: they are not known; leave them out; see",
        ),
        (["run", "figure8", "--store", "s", "--backend", "gpu"], "--backend: 'gpu' is not known (did you mean cupy?)"),
        (
            ["run", "figure8", "--store", "s", "--memory", "4"],
            "--memory: '4' is a number of bytes; give a unit, such as 3GiB",
        ),
        (
            ["run", "figure8", "--store", "s", "--seed", "3"],
            "not known; leave them out: seed is a key of the spec; see",
        ),
        (["plan", "figure8", "--store", "s", "--target-rse=1"], "leave it out: target_rse is a key of the spec; see"),
        (["-v", "status"], "rmtsim: -v: it is not known; leave it out; see rmtsim --help"),
        (
            ["theory", "--classes", "10,100"],
            "of at least 1, at most 1000000000, without commas, and several with spaces",
        ),
        (
            ["theory", "--loss", "cross-entropy"],
            "--loss: 'cross-entropy' is not known (did you mean ce?); choose one of",
        ),
        (
            ["theory", "--init", "kaiming"],
            "--init: 'kaiming' is not known (did you mean he?); choose one of lecun, he, ",
        ),
    ],
)
def test_plausible_mistakes(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sentence in said(words, capsys)


def test_what_is_in_our_form_stays() -> None:
    """The negative control: other messages are not touched, and the words of argparse would be noticed."""
    assert in_our_words("--where: it is empty; give a condition", []) == "--where: it is empty; give a condition"
    plain = argparse.ArgumentParser(exit_on_error=False)
    plain.add_argument("--store", metavar="DIR")
    with pytest.raises(argparse.ArgumentError, match="expected one argument"):
        plain.parse_args(["--store"])
