"""Which draws `fit`, `figure` and `export` take: by an expression on their columns, a sweep's name, a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.figures.decay_drawing import _styles, plot_decay
from rmtsim.figures.decay_figure import MOST_SERIES
from rmtsim.figures.figure_data import figure_data
from rmtsim.paper.fig8 import Fig8Mse
from rmtsim.stats.summary import summarize
from rmtsim.store import Store
from rmtsim.sweeps.selection import Selection, condition_on_draws

ROW = {
    "model": "one_hidden",
    "loss": "ce",
    "layer": "hidden",
    "n_classes": 10,
    "dim": 500,
    "n_samples": 1000,
    "width": 8,
    "aspect_ratio": 0.5,
    "seed": 0,
    "init": "lecun",
    "data_variance": 1.0,
    "hidden_gain": 1.0,
    "last_gain": 1.0,
    "data": "gaussian",
    "weights": "gaussian",
    "activation": "relu",
    "point_id": "870474735649e332",
}
LINEAR = {**ROW, "model": "linear", "layer": "linear", "width": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dim == 500 and loss == 'ce'", (True, True)),
        ("dim==500and(loss=='mse'or n_classes!=10)", (False, False)),
        ("loss in ['ce', 'mse']", (True, True)),
        ("n_classes not in (2, 5)", (True, True)),
        ("n_classes in {10}", (True, True)),
        ("10 in [dim, n_classes]", (True, True)),
        ("dim not in [500, n_samples]", (False, False)),
        ("2 <= n_classes < 10", (False, False)),
        ("not layer == 'linear'", (True, False)),
        ("width == 8", (True, False)),
        ("width != 8", (False, False)),  # the linear model has none
        ("not width == 8", (False, True)),
        ("width > 0 or model == 'linear'", (True, True)),
        ("aspect_ratio == .5", (True, True)),
        ("aspect_ratio > -1e3", (True, True)),
        ("n_samples > dim", (True, True)),
        ("0.5 == aspect_ratio", (True, True)),
        ("point_id == '870474735649e332'", (True, True)),
        ("point_id in ['p-870474735649e332']", (True, True)),  # as exports write it
        ("  seed == 0\n", (True, True)),
        ("init >= 'he'", (True, True)),
    ],
)
def test_conditions(text: str, expected: tuple[bool, bool]) -> None:
    condition = condition_on_draws(text)
    assert (condition.holds(ROW), condition.holds(LINEAR)) == expected
    table = pd.DataFrame([ROW, LINEAR, ROW]).astype({"width": "Int64"})
    assert condition.rows(table).tolist() == [*expected, expected[0]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not an expression"),
        ("dim ==", "is not an expression"),
        ("dim = 500", "is not an expression (it is ==, not =)"),
        ("dim == 500; loss", "is not an expression"),
        ("(" * 500 + "dim == 1" + ")" * 500, "is not an expression"),
        ("dim == 1 and " * 1000 + "dim == 1", "…' has 13008 characters, and 2000 are the most"),
        ("dim == " + "9" * 400, "is neither a column nor a value"),
        ("dim == \0", "is not an expression"),
        ("dim", "is not a comparison"),
        ("True", "is not a comparison"),
        ("1", "is not a comparison"),
        ("dim + 1 == 2", "is neither a column nor a value"),
        ("dim == 10**9**9", "is neither a column nor a value"),
        ("dim == 1e999", "is neither a column nor a value"),
        ("dim == 1j", "is neither a column nor a value"),
        ("width == None", "is neither a column nor a value"),
        ("loss == b'ce'", "is neither a column nor a value"),
        ("loss == True", "is neither a column nor a value"),
        ("loss == f'{dim}'", "is neither a column nor a value"),
        ("size == 500", "is not a column"),
        ("dims == 500", "is not a column (did you mean dim?)"),
        ("C > 10", "is not a column (did you mean n_classes?)"),
        ("loss == ce", "'ce' is not a column, and text has quotes, as in loss == 'ce'"),
        (
            "layer in [linear, 'cross']",
            "'linear' is not a column, and text has quotes, as in layer == 'linear'",
        ),
        ("diag_sqfro > 1", "is not a column"),
        ("@dim == 500", "is not an expression"),
        ("`dim` == 500", "is not an expression"),
        ("__import__('os').system('touch x')", "is not a comparison"),
        ("dim.__class__ == 1", "is neither a column nor a value"),
        ("dim == loss.upper()", "is neither a column nor a value"),
        ("[x for x in [1]] == dim", "is neither a column nor a value"),
        ("(lambda: 1)() == dim", "is neither a column nor a value"),
        ("(dim := 500) == 500", "is neither a column nor a value"),
        ("dim if dim else dim", "is not a comparison"),
        ("dim == '500'", "compares a number with text"),
        ("loss == 1", "compares a number with text"),
        ("dim in [500, 'a']", "compares a number with text"),
        ("dim in loss", "is not a list of values"),
        ("'c' in loss", "is not a list of values"),
        ("dim in [[500]]", "is neither a column nor a value"),
        ("dim is 500", "is not a comparison of values"),
        ("loss is not 'ce'", "is not a comparison of values"),
        ("dim == '\\d'", "compares a number with text"),
    ],
)
def test_what_is_no_condition(text: str, why: str) -> None:
    with pytest.raises(rmtsim.InputError) as refused:
        condition_on_draws(text)
    message = str(refused.value)
    assert message.startswith("--where: ")
    assert f"{why}; compare columns with values, as in" in message
    assert "the columns are n_classes, dim, n_samples, width, aspect_ratio" in message
    assert len(message) < 3000


def spec(name: str, dims: list[int], seed: int) -> dict[str, object]:
    return {
        "name": name,
        "model": "linear",
        "loss": "mse",
        "grid": {"n_classes": [2, 5, 10], "aspect_ratio": [0.5], "dim": dims},
        "sampling": {"seed": seed, "min_draws": 4, "max_draws": 8, "target_rse": 0.9},
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two sweeps, and draws of one of their sizes with another seed."""
    opened = Store(tmp_path / "store")
    with opened.writer() as writer:
        for name, dims, seed in (("small", [4], 0), ("large", [4, 8], 1)):
            writer.save_spec(name, spec(name, dims, seed))
            points = [rmtsim.Point("linear", "mse", C, dim, 2 * dim) for C in (2, 5, 10) for dim in dims]
            writer.append(pd.concat([rmtsim.simulate(point, 4, seed=seed) for point in points]), {"name": name})
    return opened


@pytest.mark.parametrize(
    ("options", "rows", "draws"),
    [
        ([], 6, {4, 8}),
        (["--where", "dim == 4"], 3, {8}),
        (["--sweep", "small"], 3, {4}),  # of its seed, too
        (["--sweep", "large"], 6, {4}),
        (["--seed", "0"], 3, {4}),
        (["--sweep", "large", "--where", "n_classes in [2, 5] and dim == 8"], 2, {4}),
    ],
)
def test_export_takes_what_is_meant(
    store: Store, options: list[str], rows: int, draws: set[int], tmp_path: Path
) -> None:
    out = tmp_path / "t.parquet"
    assert main(["export", "--store", store.location, "--out", str(out), *options]) == 0
    table = pd.read_parquet(out)
    assert len(table) == rows
    assert set(table["draws"]) == draws


def test_figures_and_fits_take_what_is_meant(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fig8Mse, "quantities", ("diag",))  # two panels are drawn in a third of the time of six
    assert main(["fit", "--store", store.location, "--points", "--where", "dim == 8"]) == 0
    said = capsys.readouterr().out
    assert "d = 8" in said
    assert "d = 4" not in said
    pictures = []
    for k, options in enumerate(([], ["--sweep", "small"], ["--seed", "0"], ["--where", "dim == 4 and seed == 0"])):
        out = tmp_path / f"{k}.png"
        assert main(["figure", "fig8_mse", "--store", store.location, "--out", str(out), *options]) == 0
        pictures.append(out.read_bytes())
    assert pictures[0] != pictures[1]
    assert pictures[1] == pictures[2] == pictures[3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--where", "loss == 'ce' or dim == 5"],
            "--where: S has no such draws; it has draws of loss mse, and of dim 4 and 8; give other values, or leave "
            "out --where",
        ),
        (["--where", "width == 5"], "--where: S has no such draws; it has draws of no width; give"),
        (["--where", "1 == 2"], "--where: S has no such draws; give other values, or leave out --where"),
        (
            ["--seed", "7"],
            "--seed: S has no such draws; it has draws of the seeds 0 and 1; give other values, or leave",
        ),
        (
            ["--sweep", "small", "--where", "dim == 8"],
            "--where and --sweep: S has no such draws; it has draws of the sweeps large and small, and of dim 4 and 8;",
        ),
        (["--sweep", "tiny"], "--sweep: S keeps no sweep 'tiny'; those that it keeps: large, small"),
        (["--sweep", "figure8"], "--sweep: S keeps no sweep 'figure8'"),
        (["--where", "size == 5"], "--where: 'size' is not a column"),
        (["--seed", "-1"], "give a whole number from 0"),
    ],
)
def test_bad_selections(
    store: Store, options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (
        ["fit"],
        ["figure", "fig8_mse", "--out", f"{tmp_path}/f.png"],
        ["export", "--out", f"{tmp_path}/t.csv"],
    ):
        try:
            code = main([*verb, "--store", store.location, *options])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        assert code == 2
        assert words.replace("S has", f"{store.location} has").replace("S keeps", f"{store.location} keeps") in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_of_many_values_a_few_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(tmp_path / "s").writer() as writer:
        for seed in range(13):
            writer.append(rmtsim.simulate(rmtsim.Point("linear", "mse", 2, 2, 4), 1, seed=seed), {"name": "test"})
    assert main(["fit", "--store", f"{tmp_path}/s", "--seed", "99"]) == 2
    assert "it has draws of the seeds 0, 1, …, 12 (13 in all); give other values" in capsys.readouterr().err
    assert main(["fit", "--store", f"{tmp_path}/s", "--where", "n_samples > 4"]) == 2
    assert "it has draws of n_samples 4; give other values" in capsys.readouterr().err


def test_sizes_that_are_there_are_whole_numbers_and_specs_are_read_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that is null in other rows, too; of a store of several models and sweeps."""
    points = [rmtsim.Point("one_hidden", "mse", 3, 4, 8, width=m) for m in (8, 16)]
    points.append(rmtsim.Point("linear", "mse", 2, 2, 4))
    with Store(tmp_path / "s").writer() as writer:
        for name in ("small", "large"):
            writer.save_spec(name, spec(name, [4], 0))
        writer.append(pd.concat([rmtsim.simulate(point, 1) for point in points]), {"name": "test"})
    readings, real = list[str](), Store.specs
    monkeypatch.setattr(Store, "specs", lambda store: readings.append("") or real(store))  # type: ignore[func-returns-value]
    options = ["--where", "width == 4", "--sweep", "small"]
    assert main(["fit", "--store", f"{tmp_path}/s", *options]) == 2
    said = capsys.readouterr().err
    assert "it has draws of no sweep that it keeps, and of width 8 and 16; give other values" in said
    assert len(readings) == 2  # for the sweep that is asked for, and for those that are there


def test_a_small_sweep_of_a_large_store_is_read_in_one_turn(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of other points are not counted, let alone held."""
    held, real = list[int](), Store.tables

    def tables(store: Store, *arguments: Any, **options: Any) -> Any:
        for table in real(store, *arguments, **options):
            held.append(table.num_rows)
            yield table

    monkeypatch.setattr("rmtsim.store.whole_points.HELD", 30)
    expected = Selection(sweep="small").read(store)
    monkeypatch.setattr(Store, "tables", tables)
    found = Selection(sweep="small").summary(store)
    pd.testing.assert_frame_equal(found, summarize(expected), check_exact=True)
    assert sum(held) == 2 * 24  # rows of three points: once for their states, and once for their means
    held.clear()
    assert len(Selection().summary(store)) == 6
    assert sum(held) == 24 + 12 + 36  # the negative control: these are too many, and are counted first


def test_tables_of_experiments_are_taken_whole(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["figure", "fig4", "--store", store.location, "--out", "f.png", "--seed", "0", "--where", "dim == 4"]
    assert main(argv) == 2
    assert "--where, --seed: fig4 shows the tables of an experiment" in capsys.readouterr().err


def draws_of(series: int) -> pd.DataFrame:
    points = [rmtsim.Point("linear", "mse", C, d, 2 * d) for C in (2, 10) for d in range(2, 2 + series)]
    return pd.concat([rmtsim.simulate(point, 3) for point in points], ignore_index=True)


@pytest.mark.parametrize("series", [1, 9, MOST_SERIES])
def test_many_series_stay_readable(series: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No marker is larger than a tenth of its panel, and no two series look the same."""
    monkeypatch.setattr(Fig8Mse, "quantities", ("diag",))
    data = figure_data(summarize(draws_of(series)))
    styles = _styles(data.points)
    assert len(styles) == series
    assert len({(style.color, style.marker, style.size) for style in styles}) == series
    assert min(style.size for style in styles) >= 3
    figure = plot_decay(*data, Fig8Mse())
    figure.draw_without_rendering()
    height = figure.axes[0].get_window_extent().height * 72 / figure.dpi  # in points, as markers are
    assert max(style.size for style in styles) <= height / 10


def test_too_many_series(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fig8Mse, "quantities", ("diag",))
    with Store(tmp_path / "s").writer() as writer:
        writer.append(draws_of(MOST_SERIES + 1), {"name": "test"})
    argv = ["figure", "fig8_mse", "--store", f"{tmp_path}/s", "--out", f"{tmp_path}/f.png"]
    assert main(argv) == 2
    message = capsys.readouterr().err
    assert message.startswith("rmtsim figure: fig8_mse: the draws hold")
    assert f"the draws hold {MOST_SERIES + 1} series over C, of different dim, and {MOST_SERIES} can" in message
    assert "such as --where 'dim == 14'" in message
    assert main([*argv, "--where", "dim == 14"]) == 0
