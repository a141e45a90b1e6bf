"""Bad input over all verbs: exit code 2, one sentence that says what would be valid, nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rmtsim.cli.argument_types import time_limit
from rmtsim.cli.main import main
from tests.bad_input import GOOD, check, here, run

__all__ = ["here"]  # a fixture

# What is replaced in the good spec, by what, and words of the sentence that must come.
SPECS = [
    ('name = "good"', 'name = "a/b"', "letters, digits"),
    ('name = "good"', "name = 3", "letters, digits"),
    ('name = "good"', "", "letters, digits"),
    ('name = "good"', 'name = "good"\ncolour = 1', "the keys are name, model, loss"),
    ('model = "one_hidden"', 'model = "deep"', "choose one of linear, one_hidden"),
    ('model = "one_hidden"', 'model = ["linear"]', "choose one of linear, one_hidden"),
    ('model = "one_hidden"', 'model = "linear"', "choose one of linear"),
    (
        'model = "one_hidden"\nloss = "ce"\nlayers = ["hidden", "output"]',
        'model = "linear"\nloss = "ce"',
        "take the key out",
    ),
    ('loss = "ce"', 'loss = "hinge"', "choose one of ce, mse"),
    ('loss = "ce"', "", "choose one of ce, mse"),
    ('["hidden", "output"]', '["hidden", "inner"]', "choose one of hidden, output, cross"),
    ('["hidden", "output"]', "[]", "at least one value"),
    ("[grid]", "[grd]", "[grd]: there is no such table (did you mean grid?); the tables are ["),
    ("[grid]", "[gird]", "[gird]: there is no such table (did you mean grid?); the tables are ["),
    ("[grid]", "[elsewhere]", "[elsewhere]: there is no such table; the tables are ["),
    ('name = "good"', 'name = "good', r"(Illegal character '\n' (at line 2, column 13): a quote is likely not closed"),
    ('name = "good"', "name = 'good", ": a quote is likely not closed"),
    ('name = "good"', "name = good", "(Invalid value (at line 2, column 8): a text stands in quotes, and true"),
    ("n_classes = [2, 10]", "n_clases = [2, 10]", "the keys are n_classes"),
    ("n_classes = [2, 10]", "", "at least one value"),
    ("n_classes = [2, 10]", "n_classes = []", "at least one value"),
    ("n_classes = [2, 10]", "n_classes = 10", "give a list with at least one value, such as [10]"),
    (
        "n_classes = [2, 10]",
        "n_classes = [2, 1e3]",
        "1000.0 is not valid; give a whole number from 1 to 1000000000, such as 1000",
    ),
    ("n_classes = [2, 10]", "n_classes = 2.5", "2.5 is not valid; give a list with at least one value\n"),
    ("n_classes = [2, 10]", "n_classes = [-0]", "whole number from 1"),
    ('layers = ["hidden", "output"]', 'layers = "hidden"', "give a list with at least one value, such as ['hidden']"),
    ("seed = 0", "seed = -0.0", "-0.0 is not valid; give a whole number from 0 to 9223372036854775807, such as 0"),
    ("seed = 0", "seed = true", "whole number from 0"),
    ("seed = 0", 'weights_per_draw = "Auto"', "give a whole number from 1 to 1000, or auto (did you mean auto?)"),
    (
        "aspect_ratio = [0.5]",
        "aspect_ratio = [0.3333333333333333]",
        "is not just 30, for 10/30 is no decimal; give a ratio",
    ),
    ('name = "good"', 'name = "١٢٣"', "letters, digits"),
    ("n_classes = [2, 10]", "n_classes = [0]", "whole number from 1"),
    ("n_classes = [2, 10]", "n_classes = [-3]", "whole number from 1"),
    ("n_classes = [2, 10]", 'n_classes = ["10"]', "whole number from 1"),
    ("n_classes = [2, 10]", "n_classes = [true]", "whole number from 1"),
    ("n_classes = [2, 10]", "n_classes = [2, 2]", "name each once"),
    ("n_classes = [2, 10]", "n_classes = [1_000_000_000_000]", "whole number from 1 to"),
    ("aspect_ratio = [0.5]", "aspect_ratio = [0.3]", "is not whole"),
    ("aspect_ratio = [0.5]", "aspect_ratio = [0]", "positive number"),
    ("aspect_ratio = [0.5]", "aspect_ratio = [-0.5]", "positive number"),
    ("aspect_ratio = [0.5]", "aspect_ratio = [nan]", "positive number"),
    ("aspect_ratio = [0.5]", "aspect_ratio = [inf]", "positive number"),
    ("aspect_ratio = [0.5]", "aspect_ratio = [1e-300]", "is not from 1 to"),
    ("aspect_ratio = [0.5]", "aspect_ratio = [3e-320]", "is not from 1 to"),
    ("aspect_ratio = [0.5]", "aspect_ratio = [3e-8]", "such as"),
    ("aspect_ratio = [0.5]", "aspect_ratio = [1e300]", "is not from 1 to"),
    ("n_classes = [2, 10]", "n_classes = " + "[" * 5000, "not valid TOML"),
    ("aspect_ratio = [0.5]", 'aspect_ratio = ["half"]', "positive number"),
    ("dim = [10]", "dim = [2.5]", "whole number from 1"),
    ("dim = [10]", "dim = [100_000_000]", "there are"),
    ("width = [3]", "", "the one_hidden model has a hidden layer; give a list of widths"),
    ("width = [3]", "width = [0]", "whole number from 1"),
    ("seed = 0", "seed = -1", "whole number from 0"),
    ("seed = 0", "seed = 1.5", "whole number from 0"),
    ("seed = 0", "seeds = 1", "the keys are seed"),
    ("min_draws = 4", "min_draws = 1", "whole number from 2"),
    ("min_draws = 4", "min_draws = 9", "is above max_draws = 8"),
    ("max_draws = 8", 'max_draws = "many"', "whole number from 2"),
    ("max_draws = 8", "max_draws = 1_000_000_000", "whole number from 2 to"),
    ("dim = [10]", '"d\\nim" = [10]', "the keys are"),
    ("target_rse = 0.1", "target_rse = 0", "between 0 and 1"),
    ("target_rse = 0.1", "target_rse = nan", "between 0 and 1"),
    ("target_rse = 0.1", 'dtype = "float16"', "choose one of float32, float64"),
    ("[sampling]", "sampling = 3\n[grid.x]", "the keys are"),
    ('name = "good"', "name = ", "not valid TOML"),
    (
        "[sampling]",
        '[ensemble]\ninit = "gauss"\n[sampling]',
        "[ensemble] init: 'gauss' is not known; choose one of lecun",
    ),
    ("[sampling]", "[ensemble]\ninit = 1\n[sampling]", "choose one of lecun, he, xavier"),
    ("[sampling]", "[ensemble]\ngain = 1\n[sampling]", "the keys are init, data_variance"),
    ("[sampling]", "[ensemble]\ndata_variance = 0\n[sampling]", "give a positive number from"),
    ("[sampling]", "[ensemble]\nhidden_gain = nan\n[sampling]", "[ensemble] hidden_gain: nan"),
    ("[sampling]", "[ensemble]\nlast_gain = true\n[sampling]", "give a positive number from"),
    ("[sampling]", '[ensemble]\nlast_gain = "2"\n[sampling]', "give a positive number from"),
    ("[sampling]", "[ensemble]\nlast_gain = 1e300\n[sampling]", "to 1e+06"),
    (
        'name = "good"',
        'name = "good"\nensemble = "he"',
        "[ensemble]: 'he' is not a table of keys; give a dict, or in a",
    ),
]

THEORY = ["theory", "--model", "linear", "--loss", "ce", "--classes", "10"]
LINES = [
    ([], "rmtsim: VERB: it is missing; give VERB (one of reproduce, plan, run, "),
    (["launch"], "choose one of"),
    (["stauts", "--store", "S"], "'stauts' is not known (did you mean status?); choose one of reproduce, plan, run"),
    (
        ["run", "figure8", "--stroe", "S"],
        "rmtsim run: --stroe: it is not known (did you mean --store?); correct it, or leave it out; see rmtsim run",
    ),
    (
        ["reproduce", "fig8", "--quickly"],
        "rmtsim reproduce: --quickly: it is not known; leave it out; see rmtsim reproduce --help",
    ),
    (
        ["reproduce", "fig8", "--out", "good.toml"],
        "reproduce: --out: good.toml is a file; give a directory, where everything",
    ),
    (
        ["run", "figre8", "--store", "S"],
        "spec: there is no 'figre8' (did you mean figure8?); give a .toml file, or one of",
    ),
    (
        ["run"],
        "rmtsim run: SPEC, --store: they are missing; give SPEC (a .toml file, or a built-in), and --store DIR (",
    ),
    (["run", "good.toml"], "--store"),
    (["run", "missing.toml", "--store", "S"], "give a TOML file"),
    (["run", "figure88", "--store", "S"], "figure8, figure9"),
    (["run", ".", "--store", "S"], "give a TOML file"),
    (["run", "good.toml", "--store", "S", "--workers", "0"], "at least 1"),
    (["run", "good.toml", "--store", "S", "--workers", "two"], "at least 1"),
    (["run", "good.toml", "--store", "S", "--workers", "1000000000"], "give at most"),
    (
        ["run", "good.toml", "--store", "S", "--backend", "torch"],
        "choose one of auto, cupy, numpy; see rmtsim run --help",
    ),
    (["run", "good.toml", "--store", "S", "--adress", "ray"], "--help"),
    (["run", "good.toml", "--store", "good.toml"], "give a directory"),
    (["plan", "figure88", "--store", "S"], "figure8, figure9"),
    (["plan", "godo.toml", "--store", "S"], "spec: there is no file godo.toml (did you mean good.toml?); give a TOML"),
    (["run", "figure8.toml", "--store", "S"], "there is no file figure8.toml (did you mean figure8?); give a TOML"),
    (["figure", "figure8", "--store", "S", "--out", "f.png"], "is a sweep; give the figure that shows its draws: fig8"),
    (["reproduce", "figure9", "--out", "S"], "FIGURE: figure9 is a sweep; give the figure that shows its draws: fig9"),
    (["figure", "f8", "--store", "S", "--out", "f.png"], "'f8' is not known (did you mean fig8?); choose one of fig1"),
    (["plan", "good.toml", "--store", "good.toml"], "give a directory"),
    (["plan", "good.toml", "--store", "good.toml/x"], "give a directory"),
    (["status", "--store", "x" * 300], "give another directory"),
    (["figure", "fig8", "--store", ".", "--out", "."], ".pdf"),
    ([*THEORY[:-1], "1e300", "--aspect-ratio", "1"], "at most 1000000000"),
    (
        [
            "theory",
            "--model",
            "one_hidden",
            "--loss",
            "ce",
            "--classes",
            "100",
            "--aspect-ratio",
            "0.5",
            "--width",
            "5000",
        ],
        "a pair of samples has 10000 coordinates",
    ),
    (["status", "--store", "S"], "`rmtsim run` wrote"),
    (["status", "--store", "."], "--store: . holds no store; give a store that `rmtsim run` wrote"),
    (["fit", "--store", "S"], "`rmtsim run` wrote"),
    (["fit", "--store", "."], "holds no store"),
    (["figure", "fig8", "--store", ".", "--out", "f.png"], "holds no store"),
    (["run", "good.toml", "--store", ""], "the location is empty, as from a variable that is not set"),
    (["plan", "good.toml", "--store", " "], "the location is empty"),
    (
        ["run", "good.toml", "--store", "s3:/bucket/x"],
        "'s3:/bucket/x' is not a valid address; give s3://bucket/x, with two",
    ),
    (["status", "--store", "File:/data"], "give File://data, with two slashes"),
    (["figure", "fig8", "--store", "S", "--out", "f.png"], "`rmtsim run` wrote"),
    (["figure", "fig99", "--store", ".", "--out", "f.png"], "fig8"),
    (["figure", "fig8", "--store", ".", "--out", "f.xyz"], ".pdf"),
    (
        ["figure", "fig8", "--store", "."],
        "rmtsim figure: --out missing; give NAME --store DIR --out FILE, or --list",
    ),
    (["figure"], "rmtsim figure: NAME, --store, --out missing; give NAME"),
    (["help", "stauts"], "'stauts' is not known (did you mean status?); choose one of reproduce, plan, run"),
    (
        ["run", "good.toml", "--store", "S", "--address", "somewhere"],
        "address: 'somewhere' is not valid; give local",
    ),
    (["run", "good.toml", "--store", "S", "--address", "ray://host"], "address: 'ray://host' is not valid; give local"),
    (["reproduce", "fig8", "--out", "S", "--address", "[::1"], "address: '[::1' is not valid; give local, ray, or a"),
    (["reproduce", "fig10", "--out", "S", "--backend", "cupy"], "choose numpy or auto"),
    (["figure", "fig8", "--list"], "--list: names every figure; leave NAME out"),
    (["figure", "--list", "--store", ".", "--out", "f.png"], "leave --store, --out out"),
    (["figure", "fig8", "--store", ".", "--out", "f.png", "--json"], "--json: goes with --list only; leave it out"),
    (["figure", "fig8", "--store", ".", "--out", "f.png", "--data", "."], "none of these figures takes data"),
    (["reproduce", "fig8", "--data", ".", "--out", "S"], "--data: none of these figures takes data; leave it out"),
    (["reproduce", "fig8", "--full=yes"], "--full"),
    (
        ["reproduce", "fig8", "fig", "--out", "S"],
        "FIGURE: 'fig' is not known (did you mean fig9?); choose one of all, ",
    ),
    (["reproduce", "fig99", "--out", "S"], "fig8, fig9"),
    (["reproduce", "--out", "good.toml"], "give a directory"),
    (["reproduce", "--out", ""], "it is empty, as from a variable that is not set; give a directory"),
    (
        ["figure", "fig8", "--store", ".", "--out", "no/f.png"],
        "figure: --out: there is no folder no for f.png",
    ),
    ([*THEORY], "--aspect-ratio"),
    ([*THEORY, "--aspect-ratio", "-1"], "positive number"),
    ([*THEORY, "--aspect-ratio", "nan"], "positive number"),
    ([*THEORY, "--aspect-ratio", "0.5", "--width", "8"], "leave --width out"),
    ([*THEORY, "--aspect-ratio", "0.5", "--seed", "3"], "--seed: norms are of all blocks and all weights; give"),
    ([*THEORY, "--aspect-ratio", "0.5", "--block", "diag"], "--block: norms are of all blocks and all weights"),
    ([*THEORY, "--dim", "10"], "give both or none"),
    ([*THEORY, "--dim", "10", "--samples", "20", "--aspect-ratio", "2"], "leave it out"),
    ([*THEORY[:-1], "ten", "--aspect-ratio", "0.5"], "whole number"),
    ([*THEORY[:-1], "٣", "--aspect-ratio", "0.5"], "'٣' is not valid; give a whole number"),
    ([*THEORY[:-1], "1_000", "--aspect-ratio", "0.5"], "'1_000' is not valid; give a whole number"),
    ([*THEORY, "--aspect-ratio", "٠.٥"], "is not valid; give a positive number"),
    (["run", "good.toml", "--store", "S", "--workers", "٣"], "'٣' is not valid; give a whole number"),
    (["run", "good.toml", "--store", "S", "--time-limit", "٣h"], "'٣h' is not valid; give a positive time"),
    (["fit", "--store", ".", "--seed", "٣"], "'٣' is not valid; give a whole number"),
    ([*THEORY[:-1], "0", "--aspect-ratio", "0.5"], "whole number"),
    (["theory", "--model", "one_hidden", "--loss", "ce", "--classes", "10", "--aspect-ratio", "1"], "needs --width"),
    ([*THEORY, "--aspect-ratio", "0.5", "--init", "gauss"], "choose one of lecun, he, xavier; see"),
    ([*THEORY, "--aspect-ratio", "0.5", "--data-variance", "0"], "positive number"),
    ([*THEORY, "--aspect-ratio", "0.5", "--last-gain", "inf"], "positive number"),
    ([*THEORY, "--aspect-ratio", "0.5", "--last-gain", "1e9"], "from 1e-06 to 1e+06"),
    ([*THEORY, "--aspect-ratio", "0.5", "--last-gain", "100"], "knows up to 64 times"),
    ([*THEORY, "--aspect-ratio", "0.5", "--hidden-gain", "2"], "the linear model has no hidden layer; leave it out"),
    (["theory", "--model", "deep", "--loss", "ce", "--classes", "10"], "choose one of linear, one_hidden; see"),
]


@pytest.mark.parametrize("verb", ["run", "plan"])
@pytest.mark.parametrize(("old", "new", "words"), SPECS)
def test_specs(old: str, new: str, words: str, verb: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert GOOD.count(old) == 1
    (here / "good.toml").write_text(GOOD.replace(old, new))
    code, message = run([verb, "good.toml", "--store", "S"], capsys)
    check(code, message, words, here)


@pytest.mark.parametrize(("argv", "words"), LINES, ids=[" ".join(argv) for argv, _ in LINES])
def test_command_lines(argv: list[str], words: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = run(argv, capsys)
    check(code, message, words, here)


def test_the_good_spec_is_good(here: Path) -> None:
    assert main(["run", "good.toml", "--store", "S", "--workers", "1"]) in (0, 4)
    assert (here / "S" / "draws").is_dir()


def test_a_file_that_is_not_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "good.toml").write_bytes(b"\xff\xfe\x00")
    check(*run(["run", "good.toml", "--store", "S"], capsys), "not UTF-8 text", here)


def test_gpu_asked_for_where_there_is_none(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rmtsim.arrays.gpu_device.problem", lambda: "there is no GPU")
    check(*run(["run", "good.toml", "--store", "S", "--backend", "cupy"], capsys), "choose numpy or auto", here)


def test_too_little_memory_says_what_python_takes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "good.toml").write_text(GOOD)
    for arguments, words in (
        (["--memory", "100MiB"], "memory: a draw at"),
        (["--memory", "230MiB", "--workers", "1000"], "give at most"),
        (["--memory", "10XB"], "is not a valid size"),
        (["--memory", "9" * 400], "is not a valid size"),
        (["--memory", "5000TiB"], "is more than this machine has"),
    ):
        code, message = run(["run", "good.toml", "--store", "S", *arguments], capsys)
        check(code, message, words, here)
        assert "Python included" in message or "valid size" in message or "more than" in message


def test_a_time_without_a_unit_is_in_seconds_as_the_reference_says() -> None:
    assert time_limit("90") == time_limit("90s") == 90
    assert [time_limit(text) for text in ("1.5 min", "2h", "1.5d")] == [90, 7200, 129600]
    page = (Path(__file__).parent.parent / "docs/reference/command-line.md").read_text("utf-8")
    [line] = [line for line in page.splitlines() if line.startswith("- `TIME` is ")]
    assert line.startswith("- `TIME` is a number of seconds, or one with a unit: ")
    assert all(time_limit(text) > 0 for text in re.findall("`([^`]+)`", line)[1:])
