"""Prose has errors after ±; tables of plain text keep theirs."""

from __future__ import annotations

import pytest

from rmtsim.figures import get_figure
from rmtsim.figures.gallery import Result, gallery
from rmtsim.text.uncertainty import plus_minus


def test_the_gallery_has_errors_after_a_plus_minus_but_in_tables_of_plain_text() -> None:
    numbers = "from -0.045(2) to 1.01(79)e-4\n\n```text\n-0.045(2)\n```"
    page = gallery([Result(get_figure("simo"), numbers)])
    assert "from −0.045 ± 0.002 to (1.01 ± 0.79) · 10⁻⁴\n\n```text\n-0.045(2)\n```\n" in page


@pytest.mark.parametrize(
    "text", ["p(1 − p)", "2026-11-21", "the first term of (11)", "CIFAR-100", "1 by (18)", "m = 8; 5000 steps", "10^5"]
)
def test_other_words_stay(text: str) -> None:
    assert plus_minus(text) == text
