"""The verbs that bring theory and measurement together, end to end at small sizes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmtsim.cli.main import main
from rmtsim.figures import get_figure
from rmtsim.store import Store
from rmtsim.sweeps.spec import builtin_specs
from rmtsim.theory import large_c

SPEC = """
name = "{name}"
model = "{model}"
loss = "{loss}"
[grid]
n_classes = [2, 10, 20, 40, 80, 160]
aspect_ratio = [0.5]
dim = [40]
{width}
[sampling]
min_draws = 32
max_draws = 48
target_rse = 0.01
"""


@pytest.fixture(scope="module", autouse=True)
def _few_vertices() -> Iterator[None]:
    """Have curves of few vertices, for which the theory takes a quarter of the time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rmtsim.figures.figure_data.CURVE_POINTS", 12)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    for name, model, loss, width in (
        ("a", "linear", "ce", ""),
        ("b", "linear", "mse", ""),
        ("c", "one_hidden", "mse", "width = [8]"),
    ):
        spec = folder / f"{name}.toml"
        spec.write_text(SPEC.format(name=name, model=model, loss=loss, width=width))
        assert main(["run", str(spec), "--store", str(folder / "store")]) in (0, 4)
    return folder / "store"


def test_fit_prints_claims_and_verdicts(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--store", str(store)]) == 0
    captured = capsys.readouterr()
    for words in ("linear ce", "linear mse", "hidden layer", "exact", "agrees", "χ²/dof"):
        assert words in captured.out
    assert max(map(len, captured.out.splitlines())) <= 110


def test_fit_as_json(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--store", str(store), "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    claims = {(c["model"], c["loss"], c["layer"], c["quantity"]): c for c in document["claims"]}
    assert claims["linear", "ce", "linear", "ratio"]["exponent_theorem"] == -2
    assert claims["linear", "ce", "linear", "ratio"]["exponent"] == pytest.approx(-2, abs=0.3)
    assert claims["linear", "mse", "linear", "offdiag"]["verdict"] == "exact"
    assert {"verdict", "z", "finite", "limit", "size_deviation_percent"} <= set(document["points"][0])


@pytest.mark.parametrize(("name", "suffix", "magic"), [("fig8", "png", b"\x89PNG"), ("fig9_mse", "pdf", b"%PDF")])
def test_figure_writes_a_file(
    store: Path, tmp_path: Path, name: str, suffix: str, magic: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_figure(name), "quantities", ("diag",))  # two panels of six
    out = tmp_path / f"f.{suffix}"
    assert main(["figure", name, "--store", str(store), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(magic)
    assert out.stat().st_size > 10_000


def test_figure_without_its_draws(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figure", "fig9", "--store", str(store), "--out", str(tmp_path / "f.png")]) == 2
    assert "run such a sweep" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_reproduce_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole chain at a small size; the real one takes minutes and is what `make reproduce` runs."""
    for name, model in (("small8", "linear"), ("small_mse", "linear")):
        loss = "mse" if "mse" in name else "ce"
        (tmp_path / f"{name}.toml").write_text(SPEC.format(name=name, model=model, loss=loss, width=""))
    monkeypatch.setattr(get_figure("fig8"), "specs", [str(tmp_path / "small8.toml")])
    monkeypatch.setattr(get_figure("fig8_mse"), "specs", [str(tmp_path / "small_mse.toml")])
    for name in ("fig8", "fig8_mse"):  # each is drawn four times, and two panels take a third of six
        monkeypatch.setattr(get_figure(name), "quantities", ("diag",))
    out = tmp_path / "out"
    assert main(["reproduce", "fig8", "--out", str(out)]) in (0, 4)
    assert {"store", "fig8.png", "fig8.pdf", "fig8_mse.png", "fig8_mse.pdf", "verdicts.json", "verdicts.txt"} == {
        path.name for path in out.iterdir()
    }
    first = capsys.readouterr()
    assert "agrees" in first.out
    assert (out / "verdicts.txt").read_text().startswith(first.out)
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert main(["reproduce", "fig8", "--out", str(out)]) in (0, 4)
    again = capsys.readouterr()
    assert again.err.count("nothing to do") == 2
    assert again.out == first.out
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files


def test_theory_prints_the_reference_values(capsys: pytest.CaptureFixture[str]) -> None:
    line = "theory --model linear --loss ce --classes 2 1e3 1000000 --aspect-ratio 0.5 --json"
    assert main(line.split()) == 0
    records = json.loads(capsys.readouterr().out)
    assert [r["regime"] for r in records] == ["limit"] * 3 + ["large_c"]
    assert [r["n_classes"] for r in records] == [2, 1000, 1000000, None]
    assert records[1]["diag"] == pytest.approx(2.32465273563321e-6, rel=1e-13)
    assert records[2]["offdiag"] == pytest.approx(4.69439926705625e-24, rel=1e-13)
    assert (records[3]["diag_power"], records[3]["offdiag_power"]) == (-2, -4)
    assert records[0]["std_error_diag"] == 0
    assert all(record["divided_by_dim"] is True for record in records)


def test_theory_at_finite_size_and_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    line = "theory --model one_hidden --loss mse --classes 100 --dim 500 --samples 1000 --width 8"
    assert main(line.split()) == 0
    text = capsys.readouterr().out
    assert "159614.062" in text
    assert "finite" in text
    assert main([*line.split(), "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [r["layer"] for r in records] == ["hidden", "output", "cross"]
    assert records[0]["offdiag"] == pytest.approx(587.778839714953, rel=1e-12)
    assert not any(record["divided_by_dim"] for record in records)
    assert isinstance(records[0]["width"], int)


def test_theory_says_what_diverges_and_names_the_ensemble(capsys: pytest.CaptureFixture[str]) -> None:
    line = "theory --model one_hidden --loss mse --classes 10 --aspect-ratio 0.5 --width 3 --init xavier --last-gain 2"
    assert main([*line.split(), "--json"]) == 0
    captured = capsys.readouterr()
    records = json.loads(captured.out)
    assert {record["regime"] for record in records} == {"limit"}  # V's variance depends on C
    assert "the powers of C are not those of Theorems 1 and 2; ask for limit" in captured.err
    assert {(r["init"], r["data_variance"], r["hidden_gain"], r["last_gain"]) for r in records} == {("xavier", 1, 1, 2)}
    line = "theory --model linear --loss ce --classes 1 --aspect-ratio 0.5"
    assert main(line.split()) == 0
    captured = capsys.readouterr()
    assert captured.err == "rmtsim theory: limit, linear layer: there are no off-diagonal blocks at n_classes = 1\n"
    assert main([*line.split(), "--json"]) == 0
    assert "no off-diagonal blocks" in json.loads(capsys.readouterr().out)[0]["note"]
    assert main([*line.replace("1 --", "2 --").split(), "--data-variance", "4"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("lecun, data variance 4\n")


def test_the_table_of_theory_has_no_column_without_news(capsys: pytest.CaptureFixture[str]) -> None:
    line = "theory --model linear --loss ce --classes 10 --aspect-ratio 0.5"
    assert main(line.split()) == 0
    head, at_ten, as_c_grows = capsys.readouterr().out.splitlines()
    assert head.split() == ["layer", "C", "d/N", "diag", "offdiag", "ratio", "regime", "powers"]
    assert at_ten.split()[-2:] == ["limit", "-"]
    assert as_c_grows.split("large_c ")[1] == "-2, -4"
    line = "theory --model one_hidden --loss mse --classes 10 --dim 50 --samples 100 --width 8"
    assert main(line.split()) == 0
    head, *layers = capsys.readouterr().out.splitlines()
    assert head.split() == ["layer", "C", "d/N", "m", "diag", "offdiag", "ratio", "regime"]
    assert [line.split()[0] for line in layers] == ["hidden", "output", "cross"]


def test_json_has_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even where a constant is infinite, as of a hidden layer with few neurons."""
    line = "theory --model one_hidden --loss ce --classes 1 --aspect-ratio 0.5 --width 2 --json"
    assert main(line.split()) == 0
    records = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    [diverging] = [one for one in records if (one["layer"], one["regime"]) == ("hidden", "large_c")]
    assert diverging["offdiag"] is None
    assert math.isinf(large_c("one_hidden", "ce", 0.5, 2)[0].offdiag)


@pytest.mark.parametrize("verb", ["reproduce", "plan", "run", "status", "fit", "figure", "theory"])
def test_every_verb_teaches(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([verb, "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: rmtsim {verb}" in text
    if verb in ("plan", "run"):
        assert all(name in text for name in builtin_specs())
    if verb == "figure":
        assert "--list" in text


@pytest.mark.parametrize("verb", [[], ["run"], ["status"], ["help"]])
def test_help_of_a_verb_is_what_its_switch_prints(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for line in (["help", *verb], [*verb, "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(line)
        assert ended.value.code == 0
        said.append(capsys.readouterr())
    assert said[0] == said[1]
    assert said[0].out.startswith(" ".join(["usage: rmtsim", *verb]))


def test_help_that_lacks_a_package_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rmtsim.sweeps.spec_reference", None)  # as where attrs is not installed
    assert main(["plan", "--help"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("rmtsim: the Python package rmtsim is needed, and is not installed")
    assert said.err.count("\n") == 1


def test_a_reader_that_leaves_is_no_error(store: Path) -> None:
    """`rmtsim fit | head -1` ends quietly."""
    command = f"{sys.executable} -m rmtsim fit --points --store {store} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_nobody_hears_the_messages(tmp_path: Path) -> None:
    """`rmtsim run … 2>&1 | head -1` runs to the end, and a closed stream is no error."""
    spec = SPEC.format(name="a", model="linear", loss="ce", width="").replace("0.01", "0.9")
    (tmp_path / "small.toml").write_text(spec)
    run = f"{sys.executable} -m rmtsim run small.toml --json"
    for place, redirected in (("a", "2>&1 >/dev/null | true"), ("b", "2>&-"), ("c", ">&-")):
        command = f"{run} --store {place} {redirected}; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stdout.endswith("0\n")
        assert "Traceback" not in done.stderr
        assert len(Store(tmp_path / place).read()) == 6 * 32


def test_a_terminal_of_few_letters_is_no_error(store: Path) -> None:
    few = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    line = [sys.executable, "-m", "rmtsim", "fit", "--store", str(store)]
    done = subprocess.run(line, env=os.environ | few, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u03c7" in done.stdout


def test_store_errors_end_with_1(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "draws").mkdir()
    (tmp_path / "draws" / "x.parquet").write_bytes(b"no parquet")
    assert main(["fit", "--store", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "x.parquet cannot be read" in message
    assert message.count("\n") == 1
