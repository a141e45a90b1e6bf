"""Weights and features in each other's place: refused where it is sure, said where it seems so, else not mentioned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rmtsim
from rmtsim.cli.main import main

RNG = np.random.default_rng(5)
V, X = RNG.normal(size=(6, 4)), RNG.normal(size=(30, 4))
RELU = np.maximum(X, 0)


def warned(caplog: pytest.LogCaptureFixture, weights: Any, features: Any, **options: Any) -> list[str]:
    caplog.clear()
    rmtsim.measure(weights, features, nulls=(), **options)
    return caplog.messages


@pytest.mark.parametrize(("name", "value"), [("bias", np.ones(6)), ("groups", list("aabbcc"))])
def test_what_has_an_entry_for_each_class_decides(name: str, value: Any) -> None:
    rmtsim.measure(V, X, nulls=(), **{name: value})
    with pytest.raises(rmtsim.InputError) as error:
        rmtsim.measure(X, V, nulls=(), **{name: value})
    assert str(error.value) == (
        f"{name}: it has an entry for each of the 6 rows of X, and V has 30, so that V and X seem to be swapped; give "
        "the head's weights (C, d) as V and what it is given (M, d) as X"
    )
    with pytest.raises(rmtsim.InputError, match=name) as other:  # a negative control: it fits neither
        rmtsim.measure(V, X, nulls=(), **{name: value[:5]})
    assert "swapped" not in str(other.value)


def test_features_behind_a_relu_have_no_negative_number(caplog: pytest.LogCaptureFixture) -> None:
    [said] = warned(caplog, RELU, V)
    assert said.startswith(
        "measure: no weight is negative, like features behind a ReLU, and some features are; are the "
    )
    assert not warned(caplog, V, RELU)
    assert not warned(caplog, V, X)
    assert not warned(caplog, np.abs(V), RELU)  # of two that have none it cannot be told


@pytest.mark.parametrize(
    ("weights", "features", "words"),
    [
        ("head.npz:weight", "features.npy", ""),
        ("features.npy", "head.npz:weight", "the features are read from"),
        ("features.npy", "v.npy", "the weights are read from"),
        ("x.npy", "head.npz:weight", "the features are read from"),
        ("v.npy", "x.npy", ""),
        ("weight_features.npy", "x.npy", ""),
    ],
)
def test_names_of_files_and_tensors(
    weights: str, features: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    np.savez("head.npz", weight=V)
    for name in ("v", "weight_features"):
        np.save(f"{name}.npy", V)
    for name in ("x", "features"):
        np.save(f"{name}.npy", X)
    assert main(["measure", "--weights", weights, "--features", features, "--nulls", "none"]) == 0
    said = capsys.readouterr().err
    assert len(said.splitlines()) == bool(words)
    assert words in said


def test_on_the_command_line_the_bias_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, values in {"v": V, "x": X, "b": np.ones(6)}.items():
        np.save(tmp_path / f"{name}.npy", values)
    line = [
        "measure",
        "--weights",
        f"{tmp_path}/x.npy",
        "--features",
        f"{tmp_path}/v.npy",
        "--bias",
        f"{tmp_path}/b.npy",
    ]
    assert main(line) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert said == (
        "rmtsim measure: --bias: it has an entry for each of the 6 rows of --features, and --weights has 30, so that "
        "--weights and --features seem to be swapped; give the head's weights (C, d) as --weights and what it is given "
        "(M, d) as --features"
    )


@pytest.mark.parametrize("call", [rmtsim.block_norms, rmtsim.layer_norms, rmtsim.hessian])
@pytest.mark.parametrize("hidden", [False, True])
def test_data_and_last_layer_that_labels_show_to_be_swapped(call: Any, hidden: bool) -> None:
    """Control: in their order they are taken, and labels that fit neither are told as such."""
    rng = np.random.default_rng(0)
    X, V, y = rng.normal(size=(30, 4)), rng.normal(size=(3, 4)), np.arange(30) % 3
    more = {"W": rng.normal(size=(4, 4))} if hidden else {}
    words = r"^X, V: y has a label for each of the 30 rows of V, and X has 3, so that the two seem to be swapped; give"
    for labels in (y, y.tolist()):
        with pytest.raises(rmtsim.InputError, match=words):
            call(V, X, y=labels, **more)
    call(X, V, y=y, **more)
    with pytest.raises(rmtsim.InputError, match=r"^y: .* is not valid; give \(3,\) whole numbers"):
        call(V, X, y=y[:7], **more)
