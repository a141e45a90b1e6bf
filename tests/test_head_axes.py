"""Measurements of last layers on axes of one's own."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure as Drawing

import rmtsim
from rmtsim.errors import InputError
from tests.measured_heads import measured, measured_steps


@pytest.fixture(scope="module")
def checkpoints() -> dict[int, rmtsim.Measurement]:
    return measured_steps()


def test_norms_on_axes_of_ones_own(checkpoints: dict[int, rmtsim.Measurement]) -> None:
    """They have the measured values with their standard errors, and nothing but the axes is changed."""
    ax, other = Drawing().subplots(1, 2)
    before = dict(mpl.rcParams)
    for quantity in ("ratio", "outside"):
        ax.clear()
        assert rmtsim.plot.head(checkpoints, quantity, ax=ax) is ax
        bars = {container.get_label(): container for container in ax.containers}
        x, y = bars["_measured"][0].get_data()
        assert list(x) == [0, 10, 100]
        assert list(y) == [getattr(checkpoints[step], quantity) for step in (0, 10, 100)]
        ends = np.array([segment[:, 1] for segment in bars["_measured"][2][0].get_segments()])
        errors = [getattr(checkpoints[step], f"std_error_{quantity}") for step in (0, 10, 100)]
        assert np.diff(ends, axis=1)[:, 0] / 2 == pytest.approx(errors)
        assert set(bars) == {"_measured", "_decoupled", "_gaussian"}  # the others are exact
        assert ax.get_yscale() == "log"
        assert len(ax.get_legend().get_texts()) == 4
    few = rmtsim.plot.head(checkpoints, nulls=["theorem"], ax=other)
    assert [text.get_text()[:8] for text in few.get_legend().get_texts()] == ["measured", "Theorem "]
    assert dict(mpl.rcParams) == before


def test_classes_and_a_map_on_axes_of_ones_own(checkpoints: dict[int, rmtsim.Measurement]) -> None:
    first, second = Drawing().subplots(1, 2)
    assert rmtsim.plot.head_classes(checkpoints, ax=first) is first
    found = checkpoints[0]
    assert found.classes is not None
    assert found.blocks is not None
    x, y = first.containers[0][0].get_data()
    assert list(x) == found.classes["frequency"].tolist()
    assert list(y) == found.classes["diag_sqfro"].tolist()
    assert first.get_legend().get_texts()[0].get_text().startswith("step 0: $\\sim f^")
    assert rmtsim.plot.head_blocks(found, ax=second) is second
    [mesh] = second.collections
    exact = found.blocks["sqfro"].to_numpy().reshape(5, 5) / found.diag_sqfro
    assert np.asarray(mesh.get_array()).reshape(5, 5) == pytest.approx(exact, rel=1e-15)
    assert [label.get_text() for label in second.get_yticklabels()] == list(map(str, found.blocks["class_i"].unique()))
    assert len(second.figure.axes) == 3  # with a colour bar
    assert len(rmtsim.plot.head_blocks(found, Drawing().subplots(), colorbar=False).figure.axes) == 1


def test_many_classes_are_dots_and_zeros_are_dark() -> None:
    """Where a class is never predicted its block is zero, which no logarithm has."""
    rng = np.random.default_rng(0)
    V, bias = rng.normal(size=(1200, 3)), np.where(np.arange(1200) < 3, 0.0, -2000.0)
    found = rmtsim.measure(V, rng.normal(size=(40, 3)), bias=bias, batch=20, nulls=(), classes=True, blocks=30)
    ax = rmtsim.plot.head_classes(found, ax=Drawing().subplots())
    assert len(ax.containers[0][0].get_xdata()) == 3
    drawn = rmtsim.plot.head_blocks(found, Drawing().subplots())
    assert drawn.get_xlabel() == "class $j$ by rank of frequency"
    [mesh] = drawn.collections
    assert np.asarray(mesh.get_array()).min() == mesh.norm.vmin > 0
    all_of_them = rmtsim.measure(V, rng.normal(size=(40, 3)), batch=20, nulls=(), classes=True)
    dots, _ = rmtsim.plot.head_classes(all_of_them, ax=Drawing().subplots()).lines
    assert (len(dots.get_xdata()), dots.get_marker()) == (1200, ".")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda found, ax: rmtsim.plot.head(found, "diag", ax=ax), "quantity: 'diag' is not known"),
        (lambda found, ax: rmtsim.plot.head(found, nulls=["theory"], ax=ax), "nulls: 'theory' is not known"),
        (lambda found, ax: rmtsim.plot.head(found, nulls=3, ax=ax), "nulls: 3 is not valid"),
        (lambda found, ax: rmtsim.plot.head(found, ax=ax.figure), "ax: .* is not valid; give one matplotlib Axes"),
        (lambda found, ax: rmtsim.plot.head_classes(found, ax), "that of V has no classes; measure it with classes=T"),
        (lambda found, ax: rmtsim.plot.head_blocks(found, ax), "that of V has no blocks; measure it with blocks=K"),
        (lambda found, ax: rmtsim.plot.head_blocks([found], ax), r"(?s)measurements: \[.* is no measurement"),
    ],
)
def test_what_cannot_be_drawn_is_told(call: Any, sentence: str) -> None:
    ax = Drawing().subplots()
    with pytest.raises(InputError, match=sentence):
        call(measured(0, nulls=()), ax)
    assert not ax.has_data()
