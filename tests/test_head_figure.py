"""The figure of last layers: its numbers are those of the measurements, whatever way they come."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing

import rmtsim
from rmtsim.cli.main import main
from rmtsim.errors import InputError
from rmtsim.figures import get_figure
from rmtsim.figures.parts import part
from rmtsim.heads.saved import read_measurement
from rmtsim.paper.head.drawing import chosen_names
from rmtsim.paper.head.numbers import named, powers, rows_of
from tests.measured_heads import NULLS, C, D, N, head, measured, measured_steps


@pytest.fixture(scope="module")
def checkpoints() -> dict[int, rmtsim.Measurement]:
    return measured_steps()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the command wrote of the same three heads, and of some others."""
    folder = tmp_path_factory.mktemp("measured")
    for step in (10, 0, 100):
        np.savez(folder / "head.npz", **head(step))
        words = "measure --weights head.npz:V --features head.npz:X --bias head.npz:bias --batch 30 --permutations 2"
        kept = f"--nulls {' '.join(NULLS)} --blocks 5 --classes-out step{step}.parquet --json"
        (folder / f"step{step}.json").write_text(said(f"{words} {kept}", folder), "utf-8")
    np.savez(folder / "head.npz", **head(0, 9))
    plain = said("measure --weights head.npz:V --features head.npz:X --batch 30 --nulls none --json", folder)
    (folder / "other7.json").write_text(plain, "utf-8")
    return folder


def said(words: str, folder: Path, code: int = 0) -> str:
    """Return what a command prints on stdout, or with another code than 0 on stderr."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(words.split()) == code, err.getvalue()
    return err.getvalue() if code else out.getvalue()


def test_the_numbers_are_those_of_the_measurements(checkpoints: dict[int, rmtsim.Measurement]) -> None:
    """By steps, however they are given; and each null's beside them."""
    numbers = get_figure("head").numbers(rows_of(named(checkpoints)))
    norms = part(numbers, "norms")
    assert norms["step"].unique().tolist() == [0.0, 10.0, 100.0]
    for step, found in checkpoints.items():
        of_step = norms[norms["step"] == step].set_index("of")
        assert of_step.index.tolist() == ["measured", *found.nulls["name"]]
        for name in ("diag_sqfro", "offdiag_sqfro", "ratio", "outside", "std_error_ratio", "std_error_outside"):
            assert of_step.loc["measured", name] == getattr(found, name)
            assert of_step[name].iloc[1:].tolist() == found.nulls[name].tolist()
        assert of_step.loc["measured", "perplexity"] == found.perplexity
        assert (of_step[["n_classes", "dim", "batch", "batches"]] == [C, D, N, 4]).all(axis=None)
        assert found.classes is not None
        assert found.blocks is not None
        classes, blocks = (part(numbers, name) for name in ("classes", "blocks"))
        classes, blocks = classes[classes["step"] == step], blocks[blocks["step"] == step]
        assert classes["diag_sqfro"].tolist() == found.classes["diag_sqfro"].tolist()
        assert blocks["sqfro"].tolist() == found.blocks["sqfro"].tolist()
        assert blocks["relative"].tolist() == (found.blocks["sqfro"] / found.diag_sqfro).tolist()
        assert blocks["place_i"].tolist() == np.repeat(range(5), 5).tolist()
    assert norms.groupby("of")["ratio"].nunique().to_dict() == {"measured": 3, **dict.fromkeys(NULLS, 3), "theorem": 1}


def test_powers_of_the_frequency() -> None:
    """As NumPy fits a line; a power law has its power, and too few classes have none."""
    rng = np.random.default_rng(0)
    f, noise = rng.uniform(1e-4, 0.1, 40), np.exp(0.1 * rng.normal(size=40))
    table = pd.DataFrame({"name": "a", "frequency": f, "diag_sqfro": 3 * f**1.5 * noise})
    empty = pd.DataFrame({"name": "b", "frequency": [0.1, 0.2], "diag_sqfro": [1.0, 0.0]})
    found = powers(pd.concat([table, empty])).set_index("name")
    line, covariance = np.polyfit(np.log(f), np.log(table["diag_sqfro"]), 1, cov=True)
    assert found.loc["a", "power"] == pytest.approx(line[0], rel=1e-10)
    assert found.loc["a", "std_error_power"] == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-10)
    assert abs(found.loc["a", "power"] - 1.5) < 4 * found.loc["a", "std_error_power"] < 1.5
    assert math.isnan(found.loc["b", "power"])
    assert found["fitted"].tolist() == [40, 1]


def test_files_say_what_was_measured(files: Path, checkpoints: dict[int, rmtsim.Measurement]) -> None:
    """All numbers of a file, its table of classes too, are those of the measurement, however it is read."""
    from_files = {step: read_measurement(files / f"step{step}.json") for step in checkpoints}
    for step, found in from_files.items():
        document = json.loads((files / f"step{step}.json").read_text("utf-8"))
        assert document.pop("classes_out") == f"step{step}.parquet"
        again = json.loads(json.dumps(found.document()).replace("NaN", "null"))
        assert again == document
        assert found.text().splitlines()[1:] == checkpoints[step].text().splitlines()[1:]  # the first names the files
    there, read = (rows_of(named(given)) for given in (checkpoints, from_files))
    pd.testing.assert_frame_equal(there, read)
    by_name = rows_of(named({step: files / f"step{step}.json" for step in (0, 10, 100)}))
    pd.testing.assert_frame_equal(there, by_name)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_tables_of_classes_of_each_kind(suffix: str, files: Path, tmp_path: Path) -> None:
    """They are found where they were written, too; classes may be called as nothing is."""
    names = "\n".join(["NA", "null", "nan", *map(str, range(3, C))])
    (files / "names.txt").write_text(names, "utf-8")
    np.savez(files / "one.npz", **head(0))
    options = f"--nulls none --vocabulary names.txt --classes-out {tmp_path}/c{suffix} --json"
    document = said(f"measure --weights one.npz:V --features one.npz:X {options}", files)
    (files / f"{suffix}.json").write_text(document, "utf-8")
    found = read_measurement(files / f"{suffix}.json").classes
    exact = rmtsim.measure(**head(0) | {"bias": None}, nulls=(), classes=True).classes
    assert found is not None
    assert found["token"].tolist() == names.split("\n")
    pd.testing.assert_frame_equal(found.drop(columns="token"), exact)
    (files / f"{suffix}.json").unlink()
    (files / "names.txt").unlink()


def test_an_earlier_file_is_read(files: Path, tmp_path: Path) -> None:
    """The first ones had no format, no blocks and no name of a table of classes."""
    document = json.loads((files / "step0.json").read_text("utf-8"))
    for name in ("format", "blocks", "classes_out"):
        del document[name]
    (tmp_path / "a.json").write_text(json.dumps(document), "utf-8")
    found = read_measurement(tmp_path / "a.json")
    assert (found.blocks, found.classes) == (None, None)
    assert found.ratio == document["ratio"]


@pytest.mark.parametrize(
    ("words", "panels"),
    [
        ("step0.json step10.json step100.json --by-step", 7),  # two, one of classes, three maps and their bar
        ("step0.json step10.json other7.json", 6),
        ("other7.json", 2),
    ],
)
def test_the_command_draws_files(
    words: str, panels: int, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Drawing] = []
    from rmtsim.figures import matplotlib_setup

    monkeypatch.setattr(matplotlib_setup, "save", lambda figure, path: drawn.append(figure))
    said(f"figure head --measured {words} --out {tmp_path}/f.png", files)
    [drawing] = drawn
    assert len(drawing.axes) == panels
    steps = "--by-step" in words
    assert drawing.axes[0].get_xlabel() == ("steps of training" if steps else "")
    ticks = [label.get_text() for label in drawing.axes[0].get_xticklabels()]
    if not steps:
        sizes = ["\n$C = 12$", "\n$C = 12$", "\n$C = 9$"] if len(words.split()) == 3 else [""]
        assert ticks == [name.removesuffix(".json") + size for name, size in zip(words.split(), sizes, strict=True)]
    else:
        assert ticks == ["0", "10", "100"]


def test_of_many_the_first_and_the_last_are_shown() -> None:
    table = pd.DataFrame({"name": list("abcdefg"), "step": np.nan})
    assert chosen_names(table) == ["a", "d", "g"]
    assert chosen_names(table.assign(step=range(7))) == ["a", "g"]
    assert chosen_names(table[:2]) == ["a", "b"]


def changed(document: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {**document, key: value}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: {k: v for k, v in d.items() if k != "ratio"}, r"it has no ratio"),
        (lambda d: {k: v for k, v in d.items() if k != "nulls"}, r"it has no nulls"),
        (lambda d: changed(d, "format", 2), r"its format is 2, of another version of rmtsim, and this one has 1"),
        (lambda d: changed(d, "ratio", "much"), r"its ratio is 'much', no number"),
        (lambda d: changed(d, "std_error_ratio", -1), r"its std_error_ratio is -1, and none is below 0"),
        (lambda d: changed(d, "n_classes", 2.5), r"its n_classes is 2\.5, no whole number from 1"),
        (lambda d: changed(d, "weights", None), r"its weights is None, no text"),
        (lambda d: changed(d, "nulls", {}), r"its nulls is no list"),
        (lambda d: changed(d, "nulls", [{"name": "mine"}]), r"one of its nulls is none of theorem, "),
        (lambda d: changed(d, "blocks", [1]), r"its blocks is no table"),
        (lambda d: changed(d, "blocks", d["blocks"][1:]), r"its blocks are not those of every pair of its classes"),
        (lambda d: changed(d, "blocks", 2 * d["blocks"]), r"its blocks are not those of every pair .*, each once"),
        (
            lambda d: changed(d, "blocks", [{**d["blocks"][0], "sqfro": -1.0}]),
            r"its blocks has a sqfro below 0",
        ),
        (lambda d: changed(d, "classes_out", "below.csv"), r"below\.csv has a number below 0"),
        (lambda d: changed(d, "blocks", [{"class_i": 0}]), r"its blocks has no numbers class_j"),
        (lambda d: changed(d, "classes_out", "no.parquet"), r"its table of classes, no\.parquet, is neither beside it"),
        (lambda d: changed(d, "classes_out", "other.parquet"), r"other\.parquet is the table of classes of another"),
        (lambda d: changed(d, "classes_out", "empty.parquet"), r"empty\.parquet, cannot be read"),
        (lambda d: changed(d, "classes_out", "rows.parquet"), r"rows\.parquet has not the columns class, frequency"),
        (lambda d: [d], r"it holds no object"),
        (lambda d: None, r"it holds no object"),
    ],
)
def test_what_is_no_measurement_is_told(change: Any, words: str, files: Path, tmp_path: Path) -> None:
    shutil.copy(files / "step10.parquet", tmp_path / "other.parquet")
    (tmp_path / "empty.parquet").write_bytes(b"")
    pd.DataFrame({"class": [1]}).to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "below.csv").write_text("class,frequency,diag_sqfro,std_error_diag\n0,0.5,1,-1\n", "utf-8")
    document = json.loads((files / "step0.json").read_text("utf-8"))
    (tmp_path / "a.json").write_text(json.dumps(change(document)), "utf-8")
    with pytest.raises(
        InputError, match=rf"^measured: .*a\.json cannot be used \(.*{words}.*\); give what `rmtsim mea"
    ):
        read_measurement(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("head --measured none.json --out f.png", "--measured: none.json cannot be used (it cannot be read: No such"),
        ("head --measured head.npz --out f.png", "--measured: head.npz cannot be used (it is not"),
        ("head --measured step0.json --by-step --out f.png", "one checkpoint makes no curve; give at least two"),
        (
            "head --measured step0.json other7.json --by-step --out f.png",
            "C is 12 at step 0 and 9 at step 7; checkpoin",
        ),
        ("head --measured step0.json a0.json --by-step --out f.png", "step0.json and a0.json are both of step 0"),
        ("head --measured step0.json a.json --by-step --out f.png", "the name of a.json has no number"),
        ("head --measured step0.json step0.json --out f.png", "measurements: two are called step0"),
        ("head --measured step0.json --out f.gif", "--out: 'f.gif' has the suffix '.gif'"),
        ("head --measured step0.json", "--out: missing; give a file to write"),
        ("head --measured step0.json --store s --full --out f.png", "--store, --full: does not go with --measured"),
        ("fig8 --measured step0.json --out f.png", "--measured: goes with the figure head, not with fig8"),
        ("--measured step0.json --out f.png", "--measured: goes with the figure head, not with none"),
        ("head --by-step --store s --out f.png", "--by-step: goes with --measured only"),
    ],
)
def test_bad_input(words: str, sentence: str, files: Path) -> None:
    before = sorted(files.iterdir())
    error = said(f"figure {words}", files, 2)
    assert error.startswith("rmtsim figure: ")
    assert error.count("\n") == 1
    assert sentence in error
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "measurements: there are none"),
        (3, "measurements: 3 is no measurement; give what rmtsim.measure returned"),
        ({"a": 0, 1: 0}, "measurements: it has names and steps"),
        ({-1: "step0.json"}, "measurements: -1 is not a step of training; give a number from 0"),
        ({math.nan: "step0.json"}, "measurements: nan is not a step of training"),
        ({10**400: "step0.json"}, "is not a step of training; give a number from 0"),
        (["none.json"], "measurements: none.json cannot be used"),
    ],
)
def test_bad_measurements_of_python(given: Any, sentence: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(InputError) as error:
        rmtsim.plot.head(given, ax=Drawing().subplots())
    assert sentence in str(error.value)


def test_other_sizes_are_no_checkpoints() -> None:
    for options, letter in (({"n_classes": 9}, "C"), ({"batch": 20}, "N")):
        other = rmtsim.measure(**head(1, options.get("n_classes", C)), batch=options.get("batch", N), nulls=())
        with pytest.raises(InputError, match=rf"^measurements: {letter} is .* at step 0 and .* at step 5; "):
            named({0: measured(0, nulls=()), 5: other})
        assert [shown.name for shown in named({"a": other, "b": measured(0, nulls=())})] == ["a", "b"]
