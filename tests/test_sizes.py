"""Amounts in messages are for people, absurd ones included."""

from __future__ import annotations

import math
import re

import pytest

from rmtsim.model.point import Point
from rmtsim.sweeps.spec import Sampling
from rmtsim.sweeps.state import PointState
from rmtsim.text.sizes import format_bytes, format_count, format_flops, format_seconds, format_share
from rmtsim.text.words import number_of
from tests.synthetic import pair


def test_counts() -> None:
    said = {
        0: "0",
        9999: "9999",
        12_345: "12,345",
        999_999: "999,999",
        1_000_000: "1 million",
        1_234_567: "1.23 million",
        999_400_000: "999 million",
        999_600_000: "1 billion",
        5.3e12: "5.3 trillion",
        5.3e16: "over 1000 trillion",
        10**400: "over 1000 trillion",
        math.inf: "over 1000 trillion",
    }
    assert {count: format_count(count) for count in said} == said
    assert number_of(1, "draw") == "1 draw"
    assert number_of(53_000_000, "draw") == "53 million draws"


def test_times() -> None:
    said = {
        0.0: "1 s",
        59.6: "1 min",
        205: "3 min 25 s",
        3600: "1 h",
        3661: "1 h 1 min",
        86_400: "1 day",
        27 * 3600: "1 day 3 h",
        12.2 * 86_400: "12 days 4 h",
        366 * 86_400: "366 days",
        2.5 * 365.25 * 86_400: "2.5 years",
        1.2e10: "380 years",
        1e300: "over 1000 years",
        math.inf: "over 1000 years",
    }
    assert {seconds: format_seconds(seconds) for seconds in said} == said


def test_bytes_work_and_shares() -> None:
    assert [format_bytes(x) for x in (1, 1023, 1023.9, 1.5 * 2**30, 977 * 2**40, 2**80)] == [
        "1 B",
        "1023 B",
        "1 KiB",
        "1.5 GiB",
        "977 TiB",
        "over 1024 EiB",
    ]
    assert [format_flops(x) for x in (12, 6.09e8, 1.2e15, 1e30)] == [
        "12 flop",
        "609 Mflop",
        "1.2 Pflop",
        "over 1000 Eflop",
    ]
    small = {0.0: "0.00%", 0.001: "0.10%", 4.56e-4: "0.046%", 9.99e-4: "0.1%", 1e-5: "0.001%", 2.84e-9: "0.00000028%"}
    assert {value: format_share(value) for value in small | {3e-99: ""}} == small | {3e-99: "3e-97%"}
    assert [format_share(x) for x in (0.0123, 10, 5.3e7, math.inf)] == ["1.23%", "1000.00%", "over 1000%", "over 1000%"]


@pytest.mark.parametrize("form", [format_bytes, format_count, format_flops, format_seconds])
def test_no_amount_has_an_exponent_or_many_digits(form) -> None:  # type: ignore[no-untyped-def]
    for power in range(308):
        for factor in (1.0, 9.994, 9.9951, 3.3):
            text = form(factor * 10.0**power)
            assert "e+" not in text
            assert len(re.sub(r"\D", "", text)) <= 6, text


@pytest.mark.parametrize("target", [1e-6, 1e-12, 1e-160, 5e-324])
def test_a_target_out_of_reach_takes_a_finite_number_of_draws(target: float) -> None:
    state = PointState(
        Point("linear", "ce", 10, 20, 40), ("linear",), Sampling(min_draws=4, max_draws=9, target_rse=target)
    )
    state.add(0, pair(4, 0.3))
    assert state.wanted == 9
    assert 10**9 < state.needed_draws <= 10**18
    assert state.expected_draws == 9
