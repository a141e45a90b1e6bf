"""Types of the command line's arguments; each rejects a bad value with a sentence on what would be valid."""

from __future__ import annotations

import argparse
import re

from rmtsim.cli.slurm import seconds_to_run
from rmtsim.errors import InputError
from rmtsim.text.checks import MAX_SIZE
from rmtsim.text.sizes import parse_bytes

#: Bytes below which a size without a unit is one whose unit was forgotten.
_LEAST = 2**20

#: Units of a time, in seconds.
_UNITS = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}


def size_in_bytes(text: str) -> float:
    """Return a size such as 1.5GiB in bytes."""
    try:
        value = parse_bytes(text)
        if value < _LEAST and not text.strip()[-1].isalpha():
            raise InputError(f"{text!r} is a number of bytes; give a unit, such as 3GiB")
        return value
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("memory: ")) from None


def whole(text: str) -> int:
    """Return a whole number from 1 to 10⁹, which may be written as 1e6."""
    try:
        value = int(_number(text)) if _number(text).is_integer() else 0
    except (ValueError, OverflowError):
        value = 0
    if not 1 <= value <= MAX_SIZE:
        several = ", without commas, and several with spaces" if "," in text else ""
        raise argparse.ArgumentTypeError(
            f"{text!r} is not valid; give a whole number of at least 1, at most {MAX_SIZE}{several}"
        )
    return value


def _number(text: str) -> float:
    """Return a number; raise ValueError for what only Python takes for one, such as 1_0 and digits of other scripts."""
    if not text.isascii() or "_" in text:
        raise ValueError
    return float(text)


def directory(text: str) -> str:
    """Return the name of a directory, which may not be empty."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty, as from a variable that is not set; give a directory")
    return text


def seed(text: str) -> int:
    """Return a whole number from 0 to 2⁶³ − 1."""
    if not (text.isascii() and text.isdecimal()) or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid; give a whole number from 0 to {2**63 - 1}")
    return int(text)


def positive(text: str) -> float:
    """Return a positive finite number."""
    try:
        value = _number(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not valid; give a positive number, say 0.5")
    return value


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    try:
        value = _number(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid; give a number from 0 to 1, such as 0.02")
    return value


def time_limit(text: str) -> float:
    """Return a time such as 90, 90s, 30min, 2h or 1.5d in seconds; for ``slurm``, those that this job of SLURM has."""
    if text == "slurm":
        try:
            return seconds_to_run()
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    value = _seconds(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not valid; give a positive time such as 90s, 30min or 2h, or slurm"
        )
    return value


def pause(text: str) -> float:
    """Return a time from a second to a day, such as 5s or 2min, in seconds."""
    if not 1 <= (value := _seconds(text)) <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid; give a time from 1s to 1d, such as 30s or 5min")
    return value


def _seconds(text: str) -> float:
    """Return a time such as 90, 90s, 30min, 2h or 1.5d in seconds; 0 for what is none."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+) ?(s|min|h|d|)", text)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


def table_file(text: str) -> str:
    """Return the name of a file for a table: .csv, .parquet or .json."""
    if not text.endswith((".csv", ".parquet", ".json")):
        raise argparse.ArgumentTypeError(f"{text!r} is not valid; give a file that ends in .csv, .parquet or .json")
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid; give a file on this machine")
    return text
