"""The verb ``measure``: files of each kind, what it prints and writes, and bad input."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

import rmtsim
from rmtsim.cli.main import main
from rmtsim.kernels.last_layer import last_layer_ce

C, D, ROWS = 50, 12, 96


def bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return the upper halves of float32 numbers: bfloat16, rounded towards zero."""
    return (values.view(np.uint32) >> 16).astype("<u2")


def save_bfloat16(path: Path, tensors: dict[str, npt.NDArray[np.float32]]) -> None:
    header: dict[str, Any] = {}
    content = b""
    for name, values in tensors.items():
        data = bfloat16(values).tobytes()
        place = [len(content), len(content) + len(data)]
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": place}
        content += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a head and features in several formats, all with the numbers of its bfloat16 ones."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(size=(C, D)), "b": rng.normal(size=C), "x": rng.normal(size=(ROWS, D))}
    exact = {name: (bfloat16(values.astype("<f4")).astype("<u4") << 16).view("<f4") for name, values in arrays.items()}
    save_bfloat16(tmp_path / "head.safetensors", {"lm_head.weight": exact["w"], "lm_head.bias": exact["b"]})
    save_bfloat16(tmp_path / "x.safetensors", {"features": exact["x"]})
    np.save(tmp_path / "x.npy", exact["x"].astype("float64"))
    np.savez(tmp_path / "head.npz", weight=exact["w"].astype("float64"), bias=exact["b"])
    return tmp_path


FILES = "--weights head.safetensors:lm_head.weight --features x.safetensors --bias head.safetensors:lm_head.bias"


def printed(words: str, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["measure", *words.split(), "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_files_of_each_kind(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """bfloat16 is cast exactly: in float64 the numbers are those of float64 files, in float32 near them."""
    options = "--batch 24 --scale 0.7 --nulls none"
    half = printed(f"{FILES} {options}", capsys)
    same = printed(f"{FILES} {options} --dtype float64", capsys)
    full = printed(f"--weights head.npz:weight --bias head.npz:bias --features x.npy {options}", capsys)
    assert (half["dtype"], same["dtype"], full["dtype"]) == ("float32", "float64", "float64")
    for name in ("diag_sqfro", "offdiag_sqfro", "ratio", "outside", "perplexity", "std_error_ratio"):
        assert same[name] == full[name]
        assert half[name] == pytest.approx(full[name], rel=1e-5)
    arrays = np.load(here / "head.npz")
    direct = rmtsim.measure(
        arrays["weight"], np.load(here / "x.npy"), bias=arrays["bias"], scale=0.7, batch=24, nulls=()
    )
    assert direct.ratio == full["ratio"]
    by_name = rmtsim.measure("head.npz:weight", "x.npy", bias="head.npz:bias", scale=0.7, batch=24, nulls=())
    assert by_name.ratio == full["ratio"]


def test_json_has_what_is_promised(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(f"{FILES} --nulls decoupled gaussian --permutations 3 --top 2 --shuffle 5", capsys)
    needed = "n_classes dim batch batches diag_sqfro offdiag_sqfro ratio outside std_error_diag std_error_offdiag "
    assert set(f"{needed} std_error_ratio std_error_outside perplexity nulls".split()) <= set(found)
    assert (found["n_classes"], found["dim"], found["batch"], found["batches"], found["seed"]) == (C, D, ROWS, 1, 5)
    assert found["std_error_ratio"] is None  # one batch
    assert [null["name"] for null in found["nulls"]] == ["decoupled", "gaussian"]
    assert len(found["pairs"]) == 2


@pytest.mark.parametrize("place", ["rmtsim.heads.batch.last_layer_ce", "rmtsim.files.durable_files.os.replace"])
def test_stopped_it_leaves_nothing_half_done(
    place: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ctrl-C in the second batch, or while the table of classes is written: a table that was there stays."""
    (here / "c.parquet").write_bytes(b"of before")
    before, calls = sorted(here.iterdir()), []

    def stopped(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2 or "replace" in place:
            raise KeyboardInterrupt
        return own(*arguments, **options)

    own = os.replace if "replace" in place else last_layer_ce
    words = f"{FILES} --batch 24 --nulls none --json --classes-out c.parquet"
    with monkeypatch.context() as patched:
        patched.setattr(place, stopped)
        assert main(["measure", *words.split()]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "rmtsim measure: stopped; nothing is left half-done, the same command begins again\n"
    assert (here / "c.parquet").read_bytes() == b"of before"
    assert sorted(here.iterdir()) == before
    assert main(["measure", *words.split()]) == 0
    assert len(pd.read_parquet(here / "c.parquet")) == C


def test_text_and_the_table_of_classes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "names.txt").write_text("\n".join(f"n{k}" for k in range(C)), "utf-8")
    (here / "groups.txt").write_text("\n".join(str(k % 3) for k in range(C)), "utf-8")
    words = f"{FILES} --bias-as left-out --batch 24 --by-sequence --top 4 --vocabulary names.txt --groups groups.txt"
    assert main(["measure", *words.split(), "--nulls", "none", "--classes-out", "c.parquet"]) == 0
    output = capsys.readouterr()
    assert "C = 50, d = 12, 4 batches of N = 24, the bias left out of the blocks, by sequence, float32" in output.out
    assert "within groups" in output.out
    assert output.err.startswith("c.parquet: 50 rows")
    table = pd.read_parquet(here / "c.parquet")
    assert list(table.columns) == ["class", "token", "frequency", "diag_sqfro", "std_error_diag"]
    assert table["frequency"].sum() == pytest.approx(1)
    for name, read in (("c.csv", pd.read_csv), ("c.json", pd.read_json)):
        assert main(["measure", *words.split(), "--nulls", "none", "--classes-out", name]) == 0
        pd.testing.assert_frame_equal(read(here / name), table, check_dtype=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--weights none.npy --features x.npy", "--weights: there is no file none.npy"),
        ("--weights x.npy --features x.npy --bias head.npz:bias", "--bias: "),
        ("--weights head.npz:wieght --features x.npy", "did you mean"),
        ("--weights head.npz:weight --features head.npz:bias", "--features: head.npz:bias has the shape (50,)"),
        ("--weights head.npz:weight --features x.npy --batch 97", "--batch: 97 is more than the 96 rows"),
        ("--weights head.npz:weight --features x.npy --bias-as column", "--bias-as: there is no bias"),
        ("--weights head.npz:weight --features x.npy --scale -1", "rmtsim measure: --scale: '-1' is not valid"),
        ("--weights head.npz:weight --features x.npy --nulls some", "rmtsim measure: --nulls: 'some' is not known"),
        (
            "--weights head.npz:weight --features x.npy --classes-out c.txt",
            "give a file that ends in .csv, .parquet or .json",
        ),
        (
            "--weights head.npz:weight --features x.npy --classes-out no/c.parquet",
            "--classes-out: there is no folder no",
        ),
        ("--weights head.npz:weight --features x.npy --memory 1MiB", "memory: a batch of 96 samples"),
        (
            "--weights head.npz:weight --features x.npy --shuffle 1 --by-sequence",
            "--by-sequence: it contradicts --shuffle; give one of them",
        ),
        ("--weights head.npz:weight --features x.npy --groups none.txt", "--groups: none.txt cannot be read"),
        ("--weights narrow.npy --features x.npy", "--features: x.npy has 12 columns, and narrow.npy has 5"),
        ("--weights nan.npy --features x.npy", "--weights: nan in row 2, column 1"),
        ("--weights x.pt --features x.npy", "--weights: x.pt is a pickle"),
    ],
)
def test_bad_input(words: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(here / "narrow.npy", np.ones((4, 5)))
    broken = np.ones((C, D))
    broken[2, 1] = np.nan
    np.save(here / "nan.npy", broken)
    (here / "x.pt").write_bytes(b"")
    before = sorted(here.iterdir())
    try:
        code = main(["measure", *words.split()])
    except SystemExit as end:
        code = end.code
    output = capsys.readouterr()
    assert code == 2
    assert output.out == ""
    assert output.err.startswith("rmtsim measure: ")
    assert output.err.count("\n") == 1
    assert said in output.err
    assert sorted(here.iterdir()) == before
