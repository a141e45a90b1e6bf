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
