"""JSON and TOML that others may have changed: read within limits, or refused with a reason."""

from __future__ import annotations

import datetime
import json
import tracemalloc
from typing import Any

import pytest

from rmtsim.text.json_text import MOST_DEPTH, PlainDataError, check_plain, parse_json


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": [1, 2.5, -0.0, True, False, None, "ü", "\x00\x1b"], "": {}},
        [2**64 - 1, -(2**63), 1e308, 5e-324],
        "plain",
    ],
)
def test_plain_data_come_back_as_they_were(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1).encode()):
        assert parse_json(text) == value
        assert repr(parse_json(text)) == repr(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it is not JSON: Expecting value in line 1, column 1"),
        ('{"a":\n1,}', "it is not JSON: .* in line 2, column 3"),
        (b'"\xff"', "it is not UTF-8 text"),
        ('{"a": 1}'.encode("utf-16"), "it is not UTF-8 text"),
        ('{"a": [NaN]}', "a: it is a number that is not finite"),
        ('{"last": 1e999}', "last: it is a number that is not finite"),
        ("-Infinity", "it is a number that is not finite"),
        (f'{{"a": {{"b": {2**64}}}}}', r"a\.b: it has a whole number of more than 64 bits"),
        (f'{{"last": {"9" * 5000}}}', "it has a whole number of more than 64 bits"),
        ("-" + "9" * 4000, "it has a whole number of more than 64 bits"),
        ('{"name": "\\ud800"}', "name: it is text that is not UTF-8"),
        ('{"\\udfff": 1}', "it has a key that is no UTF-8 text"),
    ],
)
def test_what_is_refused(text: bytes | str, reason: str) -> None:
    with pytest.raises(PlainDataError, match=f"^{reason}$"):
        parse_json(text)


@pytest.mark.parametrize("opened", ["[", '{"a":', '[{"b":'])
@pytest.mark.parametrize("depth", [MOST_DEPTH + 1, 900, 100_000])
def test_depth_has_a_limit(opened: str, depth: int) -> None:
    closed = {"[": "]", '{"a":': "}", '[{"b":': "}]"}[opened]
    for text in (opened * depth + "1" + closed * depth, opened * depth):
        with pytest.raises(PlainDataError, match=r"deep inside one another|not JSON"):
            parse_json(text)
    levels = MOST_DEPTH // len(closed)
    assert parse_json(opened * levels + "1" + closed * levels)


def test_size_has_a_limit() -> None:
    assert parse_json("[1, 2]", most_bytes=6) == [1, 2]
    with pytest.raises(PlainDataError, match="it is longer than 1 MiB"):
        parse_json('"' + "a" * (1 << 20) + '"', most_bytes=1 << 20)


def test_long_lists_are_not_copied() -> None:
    text = b"[" + b"0," * 100_000 + b"0]"
    tracemalloc.start()
    try:
        assert len(parse_json(text)) == 100_001
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [datetime.date(2026, 1, 1), datetime.time(1), {1: 2}, (1, 2), {"a": [{1, 2}]}, b"a"])
def test_other_types_are_no_plain_data(value: Any) -> None:
    with pytest.raises(PlainDataError):
        check_plain(value)


def test_a_caller_may_check_numbers_itself() -> None:
    value = {"a": [10**5000, float("nan"), -float("inf")]}
    check_plain(value, any_number=True)
    for found in value["a"]:
        with pytest.raises(PlainDataError):
            check_plain([found])
    with pytest.raises(PlainDataError):
        check_plain({"a": "\ud800"}, any_number=True)
