"""Figures: what is on the axes is what is in the table."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rmtsim.errors import InputError
from rmtsim.figures import get_figure
from rmtsim.figures.figure_data import figure_data
from rmtsim.figures.matplotlib_setup import check_picture_file, save
from rmtsim.figures.registry import draw
from rmtsim.figures.style import FAINT
from rmtsim.model.ensemble import Ensemble
from rmtsim.model.point import Point
from rmtsim.stats.summary import on_limit_scale, summarize
from rmtsim.stats.verdict import reach
from rmtsim.theory import finite, large_c, limit
from tests.figures import curves, text_of
from tests.synthetic import quick, sweep_of, with_heavy_tails

DIM = 60


def sweep(
    model: str, loss: str, classes: tuple[int, ...], n_samples: tuple[int, ...], width: int | None
) -> pd.DataFrame:
    points = [Point(model, loss, C, DIM, N, width) for N in n_samples for C in classes]
    means = [
        {p.layer: (p.diag, p.offdiag) for p in finite(model, loss, x.n_classes, DIM, x.n_samples, width)}
        for x in points
    ]
    return sweep_of(points, means, seed=3)


@pytest.fixture(scope="module", autouse=True)
def _few_vertices() -> Iterator[None]:
    """Have curves of half as many vertices as elsewhere, for which the theory takes half the time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rmtsim.figures.figure_data.CURVE_POINTS", 24)
        yield


@pytest.fixture(scope="module")
def draws() -> pd.DataFrame:
    """A store with several models, as a user has it."""
    both = (60, 120)
    return pd.concat(
        [
            sweep("linear", "ce", (2, 10, 100, 1000), both, None),
            sweep("linear", "mse", (2, 10, 100), both, None),
            sweep("one_hidden", "mse", (2, 10, 100), both, 4),
        ],
        ignore_index=True,
    )


@pytest.fixture
def hidden_draws(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Rows of one hidden layer with CE, whose theory takes seconds: here it has the values of MSE."""
    for module in ("rmtsim.figures.figure_data", "rmtsim.stats.comparison", "rmtsim.stats.claims"):
        monkeypatch.setattr(f"{module}.finite", quick(finite))
    monkeypatch.setattr("rmtsim.stats.comparison.limit", quick(limit))
    points = [Point("one_hidden", "ce", C, DIM, 120, 8) for C in (10, 30)]
    theory = [quick(finite)("one_hidden", "ce", point.n_classes, DIM, 120, 8) for point in points]
    return sweep_of(points, [{one.layer: (one.diag, one.offdiag) for one in of_point} for of_point in theory], seed=3)


@pytest.fixture(scope="module")
def figure_8(draws: pd.DataFrame) -> Figure:
    return draw("fig8", draws)


def panels(figure: Figure) -> list[tuple[Axes, Axes]]:
    """(values, deviations) of every panel, row by row."""
    found = []
    for row in figure.subfigs:
        upper_and_lower = row.axes
        found += list(zip(upper_and_lower[:3], upper_and_lower[3:], strict=True))
    return found


def drawn_points(ax: Axes) -> dict[str, np.ndarray]:
    """Label → (x, y) of the error-bar series."""
    return {bars.get_label(): np.column_stack(bars.lines[0].get_data()) for bars in ax.containers}


def test_figure_8_shows_the_measured_values_and_the_theory(draws: pd.DataFrame, figure_8: Figure) -> None:
    summary = on_limit_scale(summarize(draws)).query("loss == 'ce' and model == 'linear'")
    for quantity, (upper, lower) in zip(("diag", "offdiag", "ratio"), panels(figure_8), strict=True):
        assert upper.get_xscale() == upper.get_yscale() == lower.get_xscale() == "log"
        assert lower.get_yscale() == "linear"
        shown = drawn_points(upper)
        assert set(shown) == {"$d/N = 0.5$", "$d/N = 1$"}
        expected = summary[summary["aspect_ratio"] == 1][["n_classes", quantity]].to_numpy()
        assert np.allclose(shown["$d/N = 1$"], expected)
        solid, dashed = curves(upper, "finite")[1], curves(upper, "asymptote")[1]
        assert len(solid) > 20
        dim, n_samples = draws.query("loss == 'ce' and aspect_ratio == 1")[["dim", "n_samples"]].iloc[0].tolist()
        for C, value in solid[[0, len(solid) // 2, -1]]:
            [exact] = finite("linear", "ce", int(C), dim, n_samples)
            assert value == pytest.approx(getattr(exact, quantity) / (1 if quantity == "ratio" else dim))
        [theorem] = large_c("linear", "ce", 1.0)
        assert dashed[-1, 1] == pytest.approx(getattr(theorem, quantity) * 1000.0 ** {"offdiag": -4}.get(quantity, -2))


def test_error_bars_are_intervals_of_a_standard_error_s_level(draws: pd.DataFrame, figure_8: Figure) -> None:
    upper, lower = panels(figure_8)[0]
    summary = on_limit_scale(summarize(draws)).query("loss == 'ce' and model == 'linear' and aspect_ratio == 1")
    line = summary.query("n_classes == 100").iloc[0]
    [bars] = [bars for bars in upper.containers if bars.get_label() == "$d/N = 1$"]
    [place] = np.flatnonzero(bars.lines[0].get_xdata() == 100)
    low, high = bars.lines[2][0].get_segments()[place][:, 1]
    down, up = reach(line["std_error_diag"], line["skewness_diag"] / line["draws"] ** 0.5)
    assert (line["diag"] - low, high - line["diag"]) == pytest.approx((down, up), rel=1e-6)
    assert up > 1.002 * down  # lognormal draws are skewed to the right
    assert (high - low) / 2 == pytest.approx(line["std_error_diag"], rel=0.02)
    assert len(bars.lines[1]) == 2  # caps
    [expected] = finite("linear", "ce", 100, DIM, 60)
    deviation = drawn_points(lower)["$d/N = 1$"][place, 1]
    assert deviation == pytest.approx(100 * (line["diag"] * DIM / expected.diag - 1))


def test_labels_tell_the_normalisation(draws: pd.DataFrame) -> None:
    hidden, output = panels(draw("fig9_mse", draws))[::3]
    assert r"\Vert H_{w_i w_i} \Vert_F^2\,/\,d$" in hidden[0].get_ylabel()
    assert hidden[0].get_title() == r"diagonal blocks $\sim C^{2}$"
    assert output[0].get_ylabel().endswith(r"\Vert H_{v_i v_i} \Vert_F^2$")
    assert hidden[1].get_xlabel() == "number of classes $C$"


def test_vanishing_blocks_are_said_to_vanish(draws: pd.DataFrame) -> None:
    (diag, _), (offdiag, _), (ratio, _) = panels(draw("fig8_mse", draws))
    assert not diag.texts
    assert diag.get_yscale() == "linear"  # a constant in C
    for ax in (offdiag, ratio):
        assert "identically zero" in ax.texts[0].get_text()
        assert not ax.containers


def test_figure_9_has_a_row_per_layer_and_joins_sampled_theory(hidden_draws: pd.DataFrame) -> None:
    figure = draw("fig9", hidden_draws)
    assert [row.get_suptitle() for row in figure.subfigs] == ["hidden layer", "output layer"]
    for upper, _ in panels(figure):
        [solid] = curves(upper, "finite")
        assert solid[:, 0].tolist() == [10, 30]


def test_series_have_colours_and_markers_of_their_own_and_one_legend(figure_8: Figure) -> None:
    upper, _ = panels(figure_8)[0]
    lines = [bars.lines[0] for bars in upper.containers]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 2
    [legend] = figure_8.legends
    assert [text.get_text() for text in legend.get_texts()][:2] == ["$d/N = 0.5$", "$d/N = 1$"]
    assert all(ax.get_legend() is None for row in figure_8.subfigs for ax in row.axes)


def test_sizes_that_vary_are_in_the_legend(draws: pd.DataFrame) -> None:
    more = sweep_of([Point("linear", "mse", 10, 30, 60)], [{"linear": (180.0, 0.0)}])
    [legend] = draw("fig8_mse", pd.concat([draws, more])).legends
    labels = {text.get_text() for text in legend.get_texts()}
    assert {"$d/N = 0.5$, $d = 30$", "$d/N = 0.5$, $d = 60$", "$d/N = 1$, $d = 60$"} < labels


def test_figure_data_keeps_every_point(draws: pd.DataFrame) -> None:
    rows = draws[(draws["model"] == "linear") & (draws["loss"] == "mse")]
    data = figure_data(summarize(rows))
    assert len(data.points) == 2 * 3 * 3
    assert set(data.curves["kind"]) == {"finite", "asymptote"}
    assert {2, 10, 100} < set(data.curves["n_classes"])


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_files_are_written_and_reproducible(
    draws: pd.DataFrame, tmp_path: Path, suffix: str, magic: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_figure("fig8_mse"), "quantities", ("diag",))  # the other panels are empty
    before = dict(mpl.rcParams)
    backend = mpl.get_backend(auto_select=False)
    files = [tmp_path / f"{k}{suffix}" for k in range(2)]
    for file in files:
        save(draw("fig8_mse", draws), file)
    assert files[0].read_bytes().startswith(magic)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert dict(mpl.rcParams) == before
    assert mpl.get_backend(auto_select=False) == backend


def test_bad_requests_are_refused(draws: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'fig99' is not known \(did you mean fig9\?\); choose one of fig1, fig2"):
        draw("fig99", draws)
    with pytest.raises(InputError, match=r"no rows of one_hidden ce, layer hidden"):
        draw("fig9", draws[draws["model"] == "linear"])
    figure = draw("fig8_mse", draws)
    with pytest.raises(InputError, match=r"suffix '.jpg'; give one of .png, .pdf"):
        save(figure, tmp_path / "x.jpg")
    with pytest.raises(InputError, match="no folder"):
        save(figure, tmp_path / "none" / "x.png")
    assert not list(tmp_path.iterdir())
    check_picture_file(tmp_path / "x.pdf")


def test_drawing_raises_no_warning(draws: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw("fig9_mse", draws).draw_without_rendering()


def test_the_vocabulary_figure_is_the_ratio_with_named_sizes(draws: pd.DataFrame) -> None:
    figure = draw("vocabulary", draws)
    upper, lower = figure.subfigs[0].axes
    expected = summarize(draws).query("loss == 'ce' and model == 'linear' and aspect_ratio == 1")
    np.testing.assert_allclose(
        drawn_points(upper)["$d/N = 1$"].astype(float), expected[["n_classes", "ratio"]].to_numpy(float)
    )
    assert len(curves(upper, "finite")) == len(curves(upper, "asymptote")) == 2
    named = {text.get_text(): text.xy[0] for text in upper.texts}
    assert named["GPT-2"] == 50_257
    assert {line.get_xdata()[0] for line in upper.lines if len(set(line.get_xdata())) == 1} >= set(named.values())
    assert lower.get_xlabel()


def test_ensembles_are_series_of_their_own(draws: pd.DataFrame) -> None:
    he = Ensemble(init="he")
    [expected] = finite("linear", "ce", 10, DIM, 60, ensemble=he)
    point = Point("linear", "ce", 10, DIM, 60, ensemble=he)
    more = sweep_of([point], [{"linear": (expected.diag, expected.offdiag)}])
    figure = draw("fig8", pd.concat([draws, more], ignore_index=True))
    [legend] = figure.legends
    labels = {text.get_text() for text in legend.get_texts()}
    assert {"$d/N = 1$, lecun", "$d/N = 1$, he", "$d/N = 0.5$, lecun"} < labels
    upper, _ = panels(figure)[0]
    assert len(drawn_points(upper)["$d/N = 1$, he"]) == 1
    assert "he" in draw("fig8", more).get_suptitle()


@pytest.fixture(scope="module")
def sizes() -> pd.DataFrame:
    points = [Point("linear", "ce", C, d, 2 * d) for C in (10, 100) for d in (8, 16, 32)]
    found = [finite("linear", "ce", p.n_classes, p.dim, p.n_samples)[0] for p in points]
    return sweep_of(points, [{"linear": (p.diag, p.offdiag)} for p in found], rse=0.02)


def test_finite_size_shows_deviations_from_the_limit(
    sizes: pd.DataFrame, draws: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rmtsim.paper.finite_size._CURVE_POINTS", 6)
    others = draws[draws["aspect_ratio"] == 1]  # of one d: no series
    figure = draw("finite_size", pd.concat([sizes, others], ignore_index=True))
    summary = on_limit_scale(summarize(sizes)).query("n_classes == 100").sort_values("dim")
    [at_limit] = limit("linear", "ce", 100, 0.5)
    for quantity, ax in zip(("diag", "offdiag", "ratio"), figure.axes, strict=True):
        assert ax.get_yscale() == "log"
        _, bars = ax.containers
        measured = 100 * (summary[quantity] / getattr(at_limit, quantity) - 1)
        shown = np.column_stack(bars.lines[0].get_data()).astype(float)
        np.testing.assert_allclose(shown, np.stack([summary["dim"], measured], axis=1))
        low, high = bars.lines[2][0].get_segments()[1][:, 1]
        row = summary.iloc[1]
        down, up = reach(row[f"std_error_{quantity}"], row[f"skewness_{quantity}"] / row["draws"] ** 0.5)
        ends = [100 * end / getattr(at_limit, quantity) for end in (down, up)]
        assert [measured.iloc[1] - low, high - measured.iloc[1]] == pytest.approx(ends, rel=1e-6)
        assert abs(up / down - 1) > 1e-3  # the draws are skew
        theory = curves(ax, "theory")[1]
        assert len(theory) > 5
        [expected] = finite("linear", "ce", 100, 16, 32)
        scale = 1 if quantity == "ratio" else 16
        [value] = theory[theory[:, 0] == 16, 1]
        assert value == pytest.approx(100 * (getattr(expected, quantity) / scale / getattr(at_limit, quantity) - 1))


def test_finite_size_marks_what_has_too_heavy_a_tail(sizes: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtsim.paper.finite_size._CURVE_POINTS", 6)
    heavy = with_heavy_tails(sizes, sizes["dim"] == 16)
    figure = draw("finite_size", heavy)
    for quantity, ax in zip(("diag", "offdiag", "ratio"), figure.axes, strict=True):
        faint = {x for bars in ax.containers if bars.lines[0].get_alpha() == FAINT for x in bars.lines[0].get_xdata()}
        assert faint == (set() if quantity == "diag" else {16})
    [legend] = figure.legends
    assert "faint: the tail is too heavy for the mean to be trusted" in [text.get_text() for text in legend.get_texts()]
    assert "The tail is too heavy for the mean to be trusted: linear offdiag at C = " in text_of("finite_size", heavy)
    [legend] = draw("finite_size", sizes).legends  # negative control
    assert not any("faint" in text.get_text() for text in legend.get_texts())


def test_finite_size_needs_several_sizes(draws: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="the draws hold no 3 dims of linear ce at one C and d/N; run the sweep"):
        draw("finite_size", draws)
