"""No verb prints what a terminal would obey, wherever it comes from; JSON stays JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

import rmtsim
from rmtsim.cli.main import main
from rmtsim.cli.printing import print_json, print_message, print_text
from rmtsim.errors import RunError
from rmtsim.figures.matplotlib_setup import encoded
from rmtsim.store import Store
from rmtsim.sweeps.display import ProgressDisplay
from rmtsim.text.printable import printable

#: A colour, a bell, the window's title, C1's own escape, a change of direction, a lone surrogate, a line's end, DEL.
EVIL = "\x1b[31mred\x07\x1b]0;mine\x9b2J\u202eabc\udc80\u2028\x7f\x00[red]"


def check_printed(text: str, lines: bool = True) -> None:
    """Fail if a terminal would obey any of a text."""
    obeyed = {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert obeyed <= ({"\n"} if lines else set()), sorted(map(hex, map(ord, obeyed)))


def test_what_is_escaped() -> None:
    for code in [*range(0x300), *range(0x2000, 0x2070), 0xFEFF, 0xD800, 0xDFFF, 0xE0001, 0x1F600]:
        check_printed(printable(chr(code)), lines=False)
    assert printable("d/N = ½, γ → ∞, 10⁶\u00a0×\u2009[red]") == "d/N = ½, γ → ∞, 10⁶\u00a0×\u2009[red]"
    assert printable("\x1b[31m\x07\r\n\u202e\udc80\x9b") == r"\x1b[31m\x07\r\n\u202e\udc80\x9b"
    assert printable(printable(EVIL)) == printable(EVIL)
    assert printable("a\nb", lines=True) == "a\nb"


def test_every_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_message(f"a\n{EVIL}")
    print_text(f"a\n{EVIL}")
    said = capsys.readouterr()
    assert said.out == said.err
    assert said.out.count("\n") == 1
    check_printed(said.out)
    print_json({EVIL: [EVIL, float("nan"), float("inf")]})
    text = capsys.readouterr().out
    check_printed(text)
    assert json.loads(text) == {EVIL: [EVIL, None, None]}


def run(argv: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    try:
        code = main(argv)
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    check_printed(said.out)
    check_printed(said.err)
    return code, said.out, said.err


@pytest.mark.parametrize(
    "argv",
    [
        [EVIL],
        ["plan", EVIL, "--store", "s"],
        ["plan", f"{EVIL}.toml", "--store", "s"],
        ["plan", "figure8", "--store", "s", EVIL],
        ["plan", "figure8", "--store", "s", f"--{EVIL}"],
        ["status", "--store", EVIL.replace("\0", "")],
        ["status", "--store", f"s3://{EVIL}"],
        ["status", "--store", f"{EVIL}://x"],
        ["run", "figure8", "--store", "s", "--address", EVIL],
        ["run", "figure8", "--store", "s", "--memory", EVIL],
        ["figure", EVIL, "--store", "s", "--out", "f.png"],
        ["figure", "fig8", "--store", "s", "--out", EVIL],
        ["figure", "fig8", "--store", "s", "--out", f"{EVIL}.png"],
        ["reproduce", EVIL],
        ["export", "--store", "s", "--out", f"{EVIL}/t.csv"],
        ["fit", "--store", "s", "--where", EVIL],
        ["fit", "--store", "s", "--where", f"loss == '{EVIL}' and"],
        ["merge", EVIL.replace("\0", ""), "--store", "s"],
        ["theory", "--model", EVIL, "--loss", "ce", "--classes", EVIL],
    ],
    ids=lambda argv: " ".join(word if word.isprintable() else "EVIL" for word in argv),
)
def test_arguments(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(argv, capsys)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1


def test_values_of_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    in_toml = json.dumps(EVIL.replace("\udc80", "")).replace("\x7f", "\\u007f")
    good = 'name = "a"\nmodel = "linear"\nloss = "ce"\n[grid]\nn_classes = [2]\naspect_ratio = [0.5]\ndim = [4]\n'
    for old, new in (
        ('"a"', in_toml),
        ('"linear"', in_toml),
        ("[grid]", f"{in_toml} = 1\n[grid]"),
        ("[2]", f"[{in_toml}]"),
        ("n_classes", in_toml),
        ("[4]", f"[4, {in_toml}"),
    ):
        (tmp_path / "a.toml").write_text(good.replace(old, new))
        code, out, err = run(["plan", "a.toml", "--store", "s"], capsys)
        assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A store in which all that can have a name has this one."""
    store = Store(tmp_path / "s")
    rows = rmtsim.simulate(rmtsim.Point("linear", "mse", 3, 4, 8), 4)
    with store.writer() as writer:
        writer.save_spec("mine", {"name": "mine"})
        writer.append(rows, {"name": "mine"})
    name = EVIL.replace("\0", "")
    layered = {"name": name, "model": EVIL, "loss": EVIL, "layers": [EVIL], "grid": {EVIL: [EVIL]}, EVIL: EVIL}
    (tmp_path / "s" / "sweeps" / f"{name}.json").write_text(json.dumps(layered))
    (tmp_path / "s" / "sweeps" / "mine.json").write_text(json.dumps({**layered, "name": "mine"}))
    (tmp_path / "s" / "draws" / f"{name}.parquet").write_bytes(b"PAR1")
    (tmp_path / "s" / "draws" / name).mkdir()
    folder = tmp_path / "s" / "experiments" / name
    folder.mkdir(parents=True)
    (folder / "_spec.json").write_text(
        json.dumps({"spec": {EVIL: EVIL}, "tables": [f"experiments/{name}/{name}.parquet"]})
    )
    (folder / f"{name}.parquet").write_bytes(b"PAR1")
    table = pa.Table.from_pandas(rows.assign(layer=EVIL.replace("\udc80", ""), **{"new\x1b": 1}))
    told = {"rmtsim.format": EVIL.replace("\udc80", ""), "rmtsim.blas": "\x1b[31m"}
    pq.write_table(table.replace_schema_metadata(told), tmp_path / "s" / "draws" / "00000009-0123456789abcdef.parquet")
    return tmp_path / "s"


VERBS = [
    ["status"],
    ["status", "--json"],
    ["verify"],
    ["verify", "--json"],
    ["verify", "--recompute", "3"],
    ["fit"],
    ["fit", "--json", "--points"],
    ["fit", "--sweep", "none"],
    ["compact"],
    ["plan", "linear_mse"],
    ["plan", "linear_mse", "--json"],
    ["figure", "fig8_mse", "--out", "f.png"],
    ["figure", "fig4", "--out", "f.png"],
    ["export", "--out", "t.csv"],
    ["merge"],
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_names_in_a_store(
    verb: list[str], hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = [*verb, str(hostile), "--store", "other"] if verb == ["merge"] else [*verb, "--store", str(hostile)]
    code, out, err = run(argv, capsys)
    assert code in (0, 1, 2, 3)
    if "--json" in verb and out:
        json.loads(out)
    if code in (1, 2) and not out:
        assert err.count("\n") == 1


def test_an_error_of_ours_is_printed_so_too(tmp_path: Path) -> None:
    script = (
        "from rmtsim.cli.streams import prepare_streams\nprepare_streams()\n"
        "raise KeyError('s3://AKIAEX:SECRET@bucket/p \\x1b[31m')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    check_printed(done.stderr)
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("KeyError: 's3://***@bucket/p")


def test_markup_is_no_markup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The live table shows names as they are."""
    with ProgressDisplay(f"[red]mine[/red]{EVIL}") as display:
        display.say(f"[bold]told[/bold] {EVIL}")
    said = capsys.readouterr().err
    assert "[red]mine[/red]" in said
    assert "[bold]told[/bold]" in said
    check_printed(said)


@pytest.mark.parametrize("text", ["$\\bad{x$", "$x_$", "$\\frac{1}$"])
def test_a_label_that_is_no_formula(text: str) -> None:
    figure = Figure()
    figure.suptitle(text)
    with pytest.raises(RunError, match="is no formula; verify the store"):
        encoded(figure, ".png")


def test_labels_with_letters_of_no_font() -> None:
    figure = Figure()
    figure.suptitle("a $ b \x1b\u202e 漢")
    assert encoded(figure, ".png").startswith(b"\x89PNG")
