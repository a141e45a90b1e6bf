"""The first sentence of the gallery names the figures that could not be drawn."""

from __future__ import annotations

import pytest

from rmtsim.figures import get_figure
from rmtsim.figures.gallery import Result, gallery


@pytest.mark.parametrize(
    ("problems", "words"),
    [
        (("", ""), "slides, redrawn, with"),
        (("data set not found", ""), "slides, redrawn except fig1 (below is why), with"),
        (("data set not found", "no such font"), "slides, redrawn except fig1, simo (below is why), with"),
    ],
)
def test_the_introduction_names_what_is_missing(problems: tuple[str, str], words: str) -> None:
    figures = [get_figure(name) for name in ("fig1", "simo")]
    page = gallery([Result(figure, "1", problem=problem) for figure, problem in zip(figures, problems, strict=True)])
    assert words in page.partition("|")[0]
    assert page.count("Not drawn: ") == sum(map(bool, problems))


def test_errors_stand_after_a_plus_minus_but_in_tables_of_plain_text() -> None:
    numbers = "from -0.045(2) to 1.01(79)e-4\n\n```text\n-0.045(2)\n```"
    page = gallery([Result(get_figure("simo"), numbers)])
    assert "from −0.045 ± 0.002 to (1.01 ± 0.79) · 10⁻⁴\n\n```text\n-0.045(2)\n```\n" in page
