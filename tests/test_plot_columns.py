"""`rmtsim plot` and `rmtsim.plot.columns`: what is a series, where it is drawn, and what is refused."""

from __future__ import annotations

import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color
from matplotlib.figure import Figure

import rmtsim
from rmtsim.cli.main import main
from rmtsim.cli.parser import parser
from rmtsim.figures import matplotlib_setup
from rmtsim.figures.column_choice import ColumnChoice
from rmtsim.figures.column_drawing import plot_columns
from rmtsim.figures.column_series import MOST_SERIES, NUMBERS, TEXTS, color_column, fixed_in_words, series_of
from rmtsim.stats.verdict import reach

#: Linear models with both losses, of three sizes.
POINTS = [
    rmtsim.Point("linear", loss, C, d, N)  # type: ignore[arg-type]
    for loss in ("ce", "mse")
    for C in (2, 10, 30)
    for d, N in ((20, 40), (40, 80), (40, 40))
]
HIDDEN = [rmtsim.Point("one_hidden", "mse", C, 6, 12, 3) for C in (3, 9)]


@pytest.fixture(scope="module")
def draws() -> pd.DataFrame:
    return pd.concat([rmtsim.simulate(point, draws=8) for point in (*POINTS, *HIDDEN)], ignore_index=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plot") / "store"
    rmtsim.run([*POINTS, *HIDDEN], folder, workers=1, sampling={"min_draws": 8, "max_draws": 8})
    return folder


def drawn(ax: Axes) -> dict[str, Any]:
    """The series of axes by their labels, with marks and bars."""
    return {bars.get_label(): bars for bars in ax.containers if not str(bars.get_label()).startswith("_")}


def test_the_columns_are_those_of_the_summary(draws: pd.DataFrame) -> None:
    means = rmtsim.summarize(draws)
    assert {*NUMBERS, *TEXTS} == {*means.columns}
    assert all(pd.api.types.is_numeric_dtype(means[name]) for name in NUMBERS)


def test_values_bars_and_theory_stand_where_they_should(draws: pd.DataFrame) -> None:
    where = "loss == 'ce' and dim == 40"
    [ax] = rmtsim.plot.columns(draws, by="aspect_ratio", where=where, ax=Figure().subplots())
    assert list(drawn(ax)) == ["$d/N = 0.5$", "$d/N = 1$"]
    means = rmtsim.summarize(draws).query(f"{where} and aspect_ratio == 1")
    marks, _, [bars] = drawn(ax)["$d/N = 1$"]
    np.testing.assert_array_equal(marks.get_xdata(), means["n_classes"])
    np.testing.assert_array_equal(marks.get_ydata(), means["ratio"])
    one = means.iloc[1]
    low, high = bars.get_segments()[1][:, 1]
    ends = reach(one["std_error_ratio"], one["skewness_ratio"] / one["draws"] ** 0.5)
    assert (one["ratio"] - low, high - one["ratio"]) == pytest.approx(tuple(ends), rel=1e-6)
    finite = [line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 10]
    last = rmtsim.predict(rmtsim.Point("linear", "ce", 30, 40, 40))["ratio"].item()
    assert [line.get_ydata()[-1] for line in finite][1] == pytest.approx(last)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_decay_gives_each_layer_that_it_draws_a_colour(draws: pd.DataFrame) -> None:
    hidden = draws[draws["model"] == "one_hidden"]
    for quantity, several in (("diag_sqfro", True), ("ratio", False)):  # with MSE the output layer's ratio is zero
        ax = rmtsim.plot.decay(hidden, quantity, theory=False, ax=Figure().subplots())  # type: ignore[arg-type]
        colors = [bars.lines[0].get_color() for label, bars in drawn(ax).items() if ":" not in label]
        assert len(colors) == len({*colors}) == 1 + several
    ax = rmtsim.plot.decay(hidden, "diag_sqfro", hue="aspect_ratio", theory=False, ax=Figure().subplots())
    assert len({bars.lines[0].get_color() for bars in drawn(ax).values()}) == 1


def test_along_d_a_series_has_one_quotient_and_its_own_theory(draws: pd.DataFrame) -> None:
    where = "loss == 'mse' and model == 'linear'"
    [ax] = rmtsim.plot.columns(draws, "dim", "diag_sqfro", "n_classes", where=where, ax=Figure().subplots())
    assert list(drawn(ax)) == [f"$C = {C}$, $d/N = {g}$" for C in (2, 10, 30) for g in ("0.5", "1")]
    [line] = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] > 0][:1]
    theory = [rmtsim.predict(rmtsim.Point("linear", "mse", 2, d, 2 * d))["diag_sqfro"].item() for d in (20, 40)]
    of_two = [of for of in ax.lines if np.allclose(of.get_xdata(), [20, 40]) and np.allclose(of.get_ydata(), theory)]
    assert of_two, line
    means = rmtsim.summarize(draws).query(where)
    assert len(series_of(means, "n_samples", None, None)) == 6  # of each C, d is fixed, or follows


def test_panels_share_their_colours(draws: pd.DataFrame) -> None:
    axes = rmtsim.plot.columns(
        draws, by="aspect_ratio", panel="dim", where="dim >= 20", theory=False, ax=Figure().subplots(1, 2)
    )
    assert [ax.get_title() for ax in axes] == ["$d = 20$", "$d = 40$"]
    left, right = (drawn(ax) for ax in axes)
    assert [*left] == ["$d/N = 0.5$, cross-entropy", "$d/N = 0.5$, squared loss: zero"]
    assert {*left} < {*right}
    for label, bars in left.items():
        assert same_color(bars.lines[0].get_color(), right[label].lines[0].get_color())
    assert not same_color(
        right["$d/N = 1$, cross-entropy"].lines[0].get_color(), right["$d/N = 0.5$, cross-entropy"].lines[0].get_color()
    )
    assert (
        left["$d/N = 0.5$, cross-entropy"].lines[0].get_marker()
        != left["$d/N = 0.5$, squared loss: zero"].lines[0].get_marker()
    )


def test_colours_are_of_the_first_column_in_which_series_differ_where_none_is_given(draws: pd.DataFrame) -> None:
    linear = draws[draws["model"] == "linear"]
    for where, colour, others in (
        ("dim >= 20", "aspect_ratio", {"dim", "loss"}),
        ("aspect_ratio == 0.5 and dim >= 20", "dim", {"loss"}),
        ("dim == 20", "loss", set()),
        ("dim == 20 and loss == 'ce'", None, set()),
    ):
        [ax] = rmtsim.plot.columns(linear, where=where, theory=False, ax=Figure().subplots())
        [same] = rmtsim.plot.columns(linear, by=colour, where=where, theory=False, ax=Figure().subplots())
        colors = [[bars.lines[0].get_color() for bars in drawn(one).values()] for one in (ax, same)]
        assert colors[0] == colors[1]
        assert len({*colors[0]}) == (1 if colour is None else 2)
        looks = {(bars.lines[0].get_color(), bars.lines[0].get_marker()) for bars in drawn(ax).values()}
        assert len(looks) == len(drawn(ax))
        assert (len(looks) > 2) == bool(others)
    assert color_column(rmtsim.summarize(linear), "diag_sqfro", None) is None  # measured: all are one series
    assert color_column(rmtsim.summarize(linear), "n_classes", "aspect_ratio") == "dim"


def test_what_is_measured_has_bars_along_x_too_and_no_theory(draws: pd.DataFrame) -> None:
    [ax] = rmtsim.plot.columns(draws, "diag_sqfro", "offdiag_sqfro", "loss", where="dim == 20", ax=Figure().subplots())
    assert list(drawn(ax)) == ["cross-entropy", "squared loss: zero"]
    assert len(drawn(ax)["cross-entropy"].lines[2]) == 2
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["cross-entropy", "squared loss: zero"]


def test_what_has_no_theory_has_none(draws: pd.DataFrame) -> None:
    other = draws.assign(activation="tanh")
    [ax] = rmtsim.plot.columns(other[other["model"] == "one_hidden"], by="layer", ax=Figure().subplots())
    assert not any(len(line.get_xdata()) > 2 for line in ax.lines)
    [ax] = rmtsim.plot.columns(draws, y="diag_sqfro", where="layer == 'hidden'", theory=False, ax=Figure().subplots())
    assert list(drawn(ax)) == ["measured"]


def test_a_heavy_tail_is_faint(draws: pd.DataFrame) -> None:
    few = draws[(draws["loss"] == "ce") & (draws["dim"] == 20)].copy()
    few.loc[few.index[few["n_classes"] == 10][0], "offdiag_sqfro"] *= 1e4
    [ax] = rmtsim.plot.columns(few, y="offdiag_sqfro", theory=False, ax=Figure().subplots())
    assert sorted(bars.lines[0].get_alpha() or 1 for bars in ax.containers) == [0.3, 1]
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_texts()[-1].get_text() == "faint: too heavy a tail"


def test_scales_are_chosen_by_what_is_shown_unless_they_are_given(draws: pd.DataFrame) -> None:
    def scales(**choice: Any) -> tuple[str, str]:
        [ax] = rmtsim.plot.columns(draws, theory=False, ax=Figure().subplots(), **choice)
        return ax.get_xscale(), ax.get_yscale()

    one = "loss == 'ce' and dim == 20"
    assert scales(where=one) == ("log", "log")
    assert scales(where=one, linear=["y"]) == ("log", "linear")
    assert scales(where=one, linear="x") == ("linear", "log")
    assert scales(x="dim", y="draws", where=one) == ("linear", "linear")
    assert scales(x="loss", y="diag_sqfro", where="dim == 20 and n_classes == 10") == ("linear", "log")
    assert scales(y="offdiag_sqfro", where="loss == 'mse' and dim == 20") == ("log", "linear")  # zeros
    assert scales(y="offdiag_sqfro", where="dim == 20") == ("log", "log")  # some are


def test_zeros_are_left_out_of_logarithmic_axes_and_said_to_be(draws: pd.DataFrame) -> None:
    """Squared error has no off-diagonal blocks; all panels have one kind of axes."""
    axes = rmtsim.plot.columns(draws, panel="loss", where="dim == 20", theory=False, ax=Figure().subplots(1, 2))
    assert [ax.get_yscale() for ax in axes] == ["log", "log"]
    assert ["zero" in label for ax in axes for label in drawn(ax)] == [False, True]
    some = draws[(draws["dim"] == 20) & (draws["loss"] == "ce")].copy()
    some.loc[some["n_classes"] == 10, "offdiag_sqfro"] = 0.0
    [ax] = rmtsim.plot.columns(some, theory=False, ax=Figure().subplots())
    [(label, bars)] = drawn(ax).items()
    assert label == "measured, 1 zero left out"
    assert bars.lines[0].get_xdata().tolist() == [2, 30]


def test_panels_may_share_their_axes(draws: pd.DataFrame) -> None:
    ax = Figure().subplots()
    rmtsim.plot.columns(draws, panel="loss", where="dim == 20", y="diag_sqfro", theory=False, ax=[ax, ax])
    assert len([bars for bars in ax.containers if len(bars.lines[0].get_xdata())]) == 2


def test_a_marker_stands_for_the_same_in_all_colours(draws: pd.DataFrame) -> None:
    linear = draws[(draws["model"] == "linear") & ~((draws["loss"] == "ce") & (draws["dim"] == 20))]
    [ax] = rmtsim.plot.columns(linear, y="diag_sqfro", by="aspect_ratio", theory=False, ax=Figure().subplots())
    markers: dict[str, set[str]] = {}
    for label, bars in drawn(ax).items():
        markers.setdefault(label.partition(", ")[2], set()).add(str(bars.lines[0].get_marker()))
    assert all(len(of) == 1 for of in markers.values())
    assert len(set.union(*markers.values())) == len(markers) > 2


def test_a_layer_says_what_the_model_is(draws: pd.DataFrame) -> None:
    [ax] = rmtsim.plot.columns(draws, y="diag_sqfro", where="loss == 'mse'", theory=False, ax=Figure().subplots())
    assert {label.partition(", ")[0] for label in drawn(ax)} == {"linear model", "hidden layer", "output layer"}
    assert not any("one hidden layer" in label for label in drawn(ax))


def test_a_title_is_no_wider_than_its_figure(draws: pd.DataFrame) -> None:
    means = rmtsim.summarize(draws).query("layer == 'output'").assign(activation="gelu", init="he")
    choice = ColumnChoice.of("n_classes", "diag_sqfro")
    figure = plot_columns(choice, means, choice.panels(means), ())
    [title] = [text for text in figure.texts if "d = 6" in text.get_text()]
    assert title.get_text().count("\n") >= 1
    box = title.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_a_title_has_what_all_rows_have_in_common(draws: pd.DataFrame) -> None:
    means = rmtsim.summarize(draws)
    assert (
        fixed_in_words(means.query("loss == 'ce' and dim == 20"), ["n_classes"])
        == "linear model, cross-entropy, $d = 20$, $d/N = 0.5$"
    )
    he = rmtsim.summarize(draws[draws["dim"] == 20].assign(init="he"))
    assert fixed_in_words(he, ["n_classes"]) == "linear model, $d = 20$, $d/N = 0.5$, he"


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_the_verb_draws_a_file_and_the_same_again(
    suffix: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "--x aspect_ratio --y diag_sqfro --by n_classes --panel loss --linear x --where"
    files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for file in files:
        argv = ["plot", "--store", str(store), "--out", str(file), *words.split(), "loss == 'mse' and dim == 40"]
        assert main(argv) == 0
        assert capsys.readouterr().err == f"{file}: drawn\n"
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--y", "rato"], "--y: 'rato' is not known (did you mean ratio?); choose one of n_classes, dim"),
        (["--by", "m"], "--by: 'm' is not known (did you mean width?); choose one of"),
        (["--x", "n_clases"], "--x: 'n_clases' is not known (did you mean n_classes?); choose one of"),
        (["--y", "layer"], "--y: layer holds text; give a column of numbers, such as ratio"),
        (["--by", "colour"], "--by: 'colour' is not known; choose one of"),
        (["--by", "n_classes"], "--by: n_classes is shown already; give another column, or leave it out"),
        (["--by", "dim", "--panel", "dim"], "--panel: dim is shown already; give another column"),
        (["--where", "dimm == 7"], "--where: 'dimm' is not a column (did you mean dim?); compare columns with values"),
        (["--where", "dim = 7"], "--where: 'dim = 7' is not an expression (it is ==, not =); compare"),
        (["--where", "__import__('os').remove('x')"], "is not a comparison; compare columns with values"),
        (["--where", "@dim == 20"], "--where: '@dim == 20' is not an expression; compare columns"),
        (["--where", "ratio.values == 1"], "--where: 'ratio.values' is neither a column nor a value; compare"),
        (["--where", "dim == 7"], "--where: it holds for none of 24 rows of the summary; give another condition"),
        (["--x", "width", "--where", "model == 'linear'"], "--x: no selected row has a width; give another column"),
        (["--where", "layer == 'cross'"], "--y: no selected row has a ratio; give another column, or select others"),
        (["--by", "width", "--where", "dim == 20"], "--by: no selected row has a width; give another column"),
        (["--panel", "point_id"], "--panel: point_id has 20 values, and there is room for 12; select some by where"),
        (["--sweep", "none"], "--sweep: "),
        (["--seed", "8"], "--seed: "),
        (["--out", "p.gif"], "--out: 'p.gif' has the suffix '.gif'; give one of .png, .pdf, .svg"),
        (["--linear", "z"], "rmtsim plot: --linear: 'z' is not known; choose one of x, y"),
    ],
)
def test_bad_input(
    words: list[str],
    said: str,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["plot", "--store", str(store), "--out", "p.png", *words])
    except SystemExit as end:
        code = int(str(end.code))
    message = capsys.readouterr().err
    assert code == 2
    assert message.count("\n") == 1
    assert message.startswith("rmtsim plot: ")
    assert said in message
    assert not list(tmp_path.iterdir())


def test_the_page_has_commands_that_are_valid() -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "plot.md").read_text("utf-8")
    lines = [line.strip() for line in page.splitlines() if line.startswith("    rmtsim plot")]
    assert len(lines) == 4
    for line in lines:
        given = parser().parse_args(shlex.split(line)[1:])
        choice = ColumnChoice.of(given.x, given.y, given.by, given.panel, given.where)
        assert bool(choice.regimes()) == (given.y in ("ratio", "diag_sqfro"))  # the others have no theory


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"y": "norm"}, "^y: 'norm' is not known"),
        ({"where": 7}, "^where: '7' is not a text; compare"),
        ({"theory": "finite"}, "^theory: 'finite' is not valid"),
        ({"linear": ["z"]}, "^linear: 'z' is not known"),
        ({"panel": "loss", "ax": Figure().subplots()}, "^ax: 1 given, for 2 panels; give one matplotlib Axes for each"),
        ({"ax": Figure()}, "^ax: .* is not valid; give one matplotlib Axes"),
    ],
)
def test_python_names_what_it_cannot_take(draws: pd.DataFrame, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(rmtsim.InputError, match=words):
        rmtsim.plot.columns(draws, **wrong)


def test_as_many_series_as_are_drawn_can_be_told_apart_beside_their_legend(draws: pd.DataFrame) -> None:
    """Markers repeat with another fill, and a figure grows with the lines below it, else its panels would vanish."""
    means = rmtsim.summarize(draws[draws["model"] == "linear"])
    many = pd.concat([means[means["dim"] == 20].assign(hidden_gain=1.0 + k) for k in range(12)])
    choice = ColumnChoice.of("n_classes", "diag_sqfro")
    panels = choice.panels(many)
    assert len(panels[""]) == MOST_SERIES
    figure = plot_columns(choice, many, panels, ())
    looks = {(bars.lines[0].get_marker(), bars.lines[0].get_fillstyle()) for bars in figure.axes[0].containers}
    assert len(looks) == MOST_SERIES
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib's, where it has no room
        matplotlib_setup.encoded(figure, ".svg")
    assert figure.axes[0].get_position().height * figure.get_figheight() > 2


def test_more_series_than_can_be_told_apart_are_refused(draws: pd.DataFrame) -> None:
    means = rmtsim.summarize(draws)
    many = pd.concat([means.assign(data_variance=1 + k / 10) for k in range(5)])
    with pytest.raises(rmtsim.InputError, match=r"^by: there are .* series, of different model, .* can be told apart"):
        ColumnChoice.of("n_classes", "diag_sqfro").panels(many)
